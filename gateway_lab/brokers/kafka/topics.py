"""Which topics there are: asked for as a whole, since asking for one by name may create it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its public name
    AdminClient,
    ConfigResource,
)
from confluent_kafka.cimpl import NewTopic

from gateway_lab.brokers.contract import BrokerError
from gateway_lab.brokers.kafka.errors import (
    classify,
    configuration,
    error_of,
    is_configuration,
)
from gateway_lab.brokers.kafka.settings import Settings, asking
from gateway_lab.brokers.pauses import pauses

_ASK_S: Final = 2.0
FRESH_S: Final = 1.0
"""How long a topic that was absent is not asked for again."""

KNOWN_S: Final = 30.0
"""How long a topic that was there counts as being there."""

_ABSENT_BOUND: Final = 10_000
_COPIES: Final = 2  # fewer, and one server's disk is all there is


class Topics:
    """The topics of one cluster, as of the last look.

    Args:
        alias: Of the connection.
        address: From `read_settings`.
    """

    def __init__(self, alias: str, address: Settings) -> None:
        self._alias, self._may_talk_to = alias, address.may_talk_to
        self._refused: KafkaError | None = None
        self._client: AdminClient | None = AdminClient(asking(address, self._heard))
        self._there: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._absent: dict[str, float] = {}

    def _heard(self, error: KafkaError) -> None:
        if is_configuration(error):
            self._refused = error

    @property
    def _admin(self) -> AdminClient:
        if self._client is None:
            raise configuration("the connection is closed", where=f"broker {self._alias}")
        return self._client

    def _heard_error(self) -> KafkaError | None:
        self._admin.poll(0)  # an error that tells more comes by callback
        return self._refused

    @property
    def is_stale(self) -> bool:
        """Whether the last look is too old to be trusted."""
        return time.monotonic() - self._looked_at > KNOWN_S

    async def find(self, topics: Sequence[str]) -> frozenset[str]:
        """Return those that are there; one that was absent a moment ago is not looked for again.

        Raises:
            BrokerError: Of class `configuration`.
        """
        now = time.monotonic()
        unsure = [
            each
            for each in topics
            if each not in self._there and now - self._absent.get(each, -FRESH_S) >= FRESH_S
        ]
        if unsure or self.is_stale:
            await self.look()
        if len(self._absent) > _ABSENT_BOUND:
            self._absent.clear()
        self._absent.update((each, now) for each in unsure if each not in self._there)
        return self._there.intersection(topics)

    async def look(self) -> frozenset[str]:
        """Ask the server, for as long as it is away, and return all topics.

        Raises:
            BrokerError: Of class `configuration`: it answers, but not to us.
        """
        for pause in pauses():
            if (topics := await asyncio.to_thread(self.try_to_look)) is not None:
                return topics
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    def try_to_look(self) -> frozenset[str] | None:
        """Ask the server once, from any thread; None if it is away.

        Raises:
            BrokerError: Of class `configuration`.
        """
        self._refused = None
        asked_at = time.monotonic()
        try:
            cluster = self._admin.list_topics(timeout=_ASK_S)
        except KafkaException as exception:
            error = self._heard_error() or error_of(exception)
            if is_configuration(error):
                raise BrokerError(classify(error), where=f"broker {self._alias}") from None
            return None
        if not self._may_talk_to(str(each.host) for each in cluster.brokers.values()):
            reason = "the cluster names servers on other machines, and the address is without TLS"
            hint = "write kafkas://, or add ?plaintext=allowed to the address"
            raise configuration(reason, where=f"broker {self._alias}", hint=hint)
        self._there, self._looked_at = frozenset(cluster.topics), asked_at
        return self._there

    async def risks(self, topics: Sequence[str]) -> list[str]:
        """Say which topics lose messages with one server; nothing where it may not be known."""
        try:
            return await asyncio.to_thread(self._risks, topics)
        except (KafkaException, BrokerError):
            return []

    def _risks(self, topics: Sequence[str]) -> list[str]:
        there = self._admin.list_topics(timeout=_ASK_S).topics
        copies = {
            each: min(len(one.replicas) for one in there[each].partitions.values())
            for each in topics
            if each in there and there[each].partitions
        }
        single = [each for each, count in copies.items() if count < _COPIES]
        lax = [each for each in copies if each not in single and self._in_sync(each) < _COPIES]
        found = [f"topic {each} has one copy: it is lost with its server" for each in single]
        return found + [
            f"min.insync.replicas of topic {each} is 1: what one server has is confirmed"
            for each in lax
        ]

    def _in_sync(self, topic: str) -> int:
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        [answer] = self._admin.describe_configs([resource], request_timeout=_ASK_S).values()
        return int(answer.result()["min.insync.replicas"].value)

    def close(self) -> None:
        """End the client; it takes a moment."""
        self._client = None

    async def create(self, topics: Sequence[str]) -> None:
        """Create topics with the server's defaults, and wait until they are there.

        Raises:
            BrokerError: Of class `configuration`.
        """
        absent = set(topics) - await self.look()
        while absent:
            await asyncio.to_thread(self._create, absent)
            absent -= await self.look()

    def _create(self, topics: set[str]) -> None:
        wanted = [NewTopic(each, -1, -1) for each in sorted(topics)]
        made: dict[str, Future[None]] = self._admin.create_topics(wanted, request_timeout=_ASK_S)
        for topic, each in made.items():
            try:
                each.result()
            except KafkaException as exception:
                self._judge(topic, error_of(exception))

    def _judge(self, topic: str, error: KafkaError) -> None:
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS or error.retriable():
            return
        if error.code() in _AWAY:
            return
        raise configuration(
            f"topic {topic} cannot be created: {error.name()}", where=f"broker {self._alias}"
        )


_AWAY: Final = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
    }
)
