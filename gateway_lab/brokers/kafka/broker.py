"""Kafka: topics to read from and to write to, over confluent-kafka.

settings.py    the address, and the client's settings
errors.py      what errors mean
topics.py      which topics there are
browser.py     looking through topics, without a group
source.py      reading and settling, in the event loop
consumer.py    the thread behind it, which owns the consumer
shelf.py       what lies between the two
watermark.py   how far a partition may be committed
note.py        how often messages were read, kept with what is committed
messages.py    from the client's messages to ours
sink.py        sending with confirmation
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import confluent_kafka

from gateway_lab.brokers.contract import Place
from gateway_lab.brokers.kafka.browser import KafkaBrowser
from gateway_lab.brokers.kafka.consumer import ConsumerThread
from gateway_lab.brokers.kafka.errors import configuration
from gateway_lab.brokers.kafka.settings import OnError, read_settings, reading, writing
from gateway_lab.brokers.kafka.sink import KafkaSink, Producer
from gateway_lab.brokers.kafka.source import KafkaSource
from gateway_lab.brokers.kafka.topics import Topics
from gateway_lab.brokers.names import group_name
from gateway_lab.config.plan import AddressPlan
from gateway_lab.protocols.kafka import SourceOptions, check_channel, matches

SESSION_S = 45.0
"""After how long the partitions of a process that is gone go to another one."""


class KafkaBroker:
    """One Kafka cluster.

    Args:
        alias: Its name in the config.
        url: `kafka://host:port,host:port`, or `kafkas://`; see `read_settings`.
        gateway: Begins the names of consumer groups that no option names.
        member: A name of this process that stays the same over restarts, and no other process of
            the gateway has: it takes its partitions over at once when it comes again. Empty: its
            partitions go to others as soon as it closes.
        session_s: After how long a process that is gone has lost its partitions.
    """

    protocol = "kafka"

    def __init__(
        self,
        alias: str,
        url: str,
        *,
        gateway: str = "",
        member: str = "",
        session_s: float = SESSION_S,
    ) -> None:
        self.alias = alias
        self._address = read_settings(alias, url)
        self._gateway, self._member, self._session_s = gateway, member, session_s
        self._topics = Topics(alias, self._address)
        self._sink: KafkaSink | None = None
        self._sources: list[KafkaSource] = []

    async def open(self) -> None:
        """Connect, waiting as long as the broker is away; see the contract."""
        await self._topics.look()

    async def source(
        self, name: str, addresses: Sequence[AddressPlan], options: object
    ) -> KafkaSource:
        """Open a source as a member of its consumer group; see the contract."""
        where = f"broker {self.alias}, source {name}"
        channels = [each.channel for each in addresses if each.channel is not None]
        if missing := await self.missing([Place(each, is_read=True) for each in channels]):
            absent = ", ".join(each.channel for each in missing)
            raise configuration(f"there is no topic {absent}", where=where)
        patterns = [each.pattern for each in addresses if each.pattern is not None]
        named = options.group if isinstance(options, SourceOptions) else None
        settings = reading(
            self._address,
            group=named or group_name(self._gateway, name),
            # Sources may share a group, and no two of its members a name.
            member=self._member and f"{self._member}.{self.alias}.{name}",
            session_s=self._session_s,
        )
        make = partial(
            ConsumerThread,
            settings,
            _Subscription(self._topics, channels, patterns),
            self.alias,
            where,
        )
        source = KafkaSource(where, make)
        self._sources.append(source)
        return source

    async def browser(
        self, addresses: Sequence[AddressPlan], options: object, *, from_start: bool = True
    ) -> KafkaBrowser:
        """Look through topics; see the contract."""
        del options  # they name a group
        there = await self._topics.look()
        channels = {each.channel for each in addresses if each.channel is not None}
        if absent := sorted(channels - there):
            reason = f"there is no topic {', '.join(absent)}"
            raise configuration(reason, where=f"broker {self.alias}")
        patterns = [each.pattern for each in addresses if each.pattern is not None]
        found = {each for each in there for pattern in patterns if matches(pattern, each)}
        browser = KafkaBrowser(self._address, sorted(channels | found), self.alias)
        await browser.open(from_start=from_start)
        return browser

    def sink(self) -> KafkaSink:
        """Return the one sink of this connection: one producer for a cluster and process."""
        if self._sink is None:
            self._sink = KafkaSink(self._topics, self._make_producer)
        return self._sink

    def _make_producer(self, on_error: OnError) -> Producer:
        return cast("Producer", confluent_kafka.Producer(writing(self._address, on_error)))

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """Return those that are not there; looking creates nothing."""
        there = await self._topics.look() if places else frozenset()
        return [each for each in places if each.channel not in there]

    async def create(self, places: Sequence[Place]) -> None:
        """Create topics with the server's defaults; one that is there is left as it is."""
        for each in places:
            if problem := check_channel(each.channel):
                raise configuration(f"illegal topic: {problem}", where=f"broker {self.alias}")
        await self._topics.create([each.channel for each in places])

    async def risks(self, places: Sequence[Place]) -> list[str]:
        """Say which topics keep one copy, or confirm what only one server has; see the contract."""
        return await self._topics.risks(sorted({each.channel for each in places}))

    async def close(self) -> None:
        """Close sources, sink and connection; never raises, never hangs."""
        for source in self._sources:
            await source.close()
        if self._sink:
            await self._sink.close()
        await asyncio.to_thread(self._topics.close)


@dataclass(frozen=True, slots=True)
class _Subscription:
    """Topics by name and by pattern.

    Patterns are ours to match: the client would know another dialect, and Kafka's own topics.
    """

    _topics: Topics
    _channels: Sequence[str]
    _patterns: Sequence[str]

    @property
    def is_fixed(self) -> bool:
        return not self._patterns

    def gone(self) -> list[str]:
        """Name the topics that are not there, of those given by name; none if nobody knows."""
        there = self._topics.try_to_look()
        return [] if there is None else [each for each in self._channels if each not in there]

    def topics(self) -> list[str] | None:
        """Return the topics there are now; None if the broker is away."""
        if self.is_fixed:
            return sorted(set(self._channels))
        if (there := self._topics.try_to_look()) is None:
            return None
        found = {each for each in there for pattern in self._patterns if matches(pattern, each)}
        return sorted(found.union(self._channels))
