"""Looking through topics of Kafka: partitions are assigned by hand, so no group knows of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as RawMessage

from gateway_lab.brokers.contract import BrokerError
from gateway_lab.brokers.kafka.errors import classify, configuration, error_of, is_configuration
from gateway_lab.brokers.kafka.messages import read_message
from gateway_lab.brokers.kafka.settings import Settings, reading
from gateway_lab.brokers.pauses import pauses
from gateway_lab.messages.message import Message

Answer = TypeVar("Answer")

_POLL_S: Final = 0.1
_ASK_S: Final = 5.0
_OWN: Final = Settings({"enable.partition.eof": True, "auto.offset.reset": "earliest"})
"""The client wants the name of a group, also where none is joined and nothing is committed."""


class KafkaBrowser:
    """Looks through topics; see `contract.Browser`."""

    def __init__(self, address: Mapping[str, object], topics: Sequence[str], alias: str) -> None:
        """Name what to look through; nothing is connected yet.

        Args:
            address: From `read_settings`.
            topics: They are there.
            alias: Of the broker.
        """
        settings = reading(address, group="gateway-lab-browser", member="", session_s=45.0)
        self._consumer = Consumer(settings | _OWN)
        self._topics, self._alias = topics, alias
        self._ends: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def has_caught_up(self) -> bool:
        """Whether everything was read that was there at the opening."""
        return not self._ends

    async def open(self, *, from_start: bool) -> None:
        """Assign all partitions, waiting as long as the broker is away.

        Raises:
            BrokerError: Of class `configuration`.
        """
        starts: list[TopicPartition] = []
        for partition in await self._ask(self._partitions):
            first, end = await self._ask(lambda each=partition: self._bounds(each))  # type: ignore[misc]
            starts.append(
                TopicPartition(
                    partition.topic, partition.partition, offset=first if from_start else end
                )
            )
            if from_start and first < end:
                self._ends[partition.topic, partition.partition] = end
        self._consumer.assign(starts)

    async def read(self, limit: int) -> list[Message]:
        """Wait for messages; see the contract."""
        was_behind = not self.has_caught_up
        while not self._is_closed:
            messages = await asyncio.to_thread(self._fetch, limit)
            if messages or (was_behind and self.has_caught_up):
                return messages
        raise configuration("the browser is closed", where=f"broker {self._alias}")

    async def close(self) -> None:
        """End the client."""
        if not self._is_closed:
            self._is_closed = True
            await asyncio.to_thread(self._end)

    # --- in a thread; one call of the client at a time ---

    def _fetch(self, limit: int) -> list[Message]:
        """Take what has arrived: wait a little for the first, and take those behind it."""
        with self._lock:
            if self._is_closed or (first := self._consumer.poll(_POLL_S)) is None:
                return []
            more = self._consumer.consume(limit - 1, 0) if limit > 1 else ()
            return self._taken([first, *more])

    def _taken(self, raw: Iterable[RawMessage]) -> list[Message]:
        messages: list[Message] = []
        received = datetime.now(UTC)
        for each in raw:
            partition, offset = self._place(each)
            if (error := each.error()) is not None:
                self._judge(partition, error)
                continue
            place = partition[0], str(partition[1])
            messages.append(read_message(each, place, offset, self._alias, received))
            if offset + 1 >= self._ends.get(partition, offset + 2):
                self._ends.pop(partition)
        return messages

    @staticmethod
    def _place(raw: RawMessage) -> tuple[tuple[str, int], int]:
        topic: Any = raw.topic()
        partition: Any = raw.partition()
        offset: Any = raw.offset()
        return (topic, partition), offset

    def _judge(self, partition: tuple[str, int], error: KafkaError) -> None:
        """Take an error in a message's place; the client mends most by itself."""
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            self._ends.pop(partition, None)
        elif is_configuration(error):
            raise BrokerError(classify(error), where=f"broker {self._alias}")

    def _partitions(self) -> list[TopicPartition]:
        """Ask for all topics: asking for one by name may create it."""
        known = self._consumer.list_topics(timeout=_ASK_S).topics
        return [
            TopicPartition(topic, number)
            for topic in self._topics
            if topic in known
            for number in sorted(known[topic].partitions)
        ]

    def _bounds(self, partition: TopicPartition) -> tuple[int, int]:
        bounds: tuple[int, int] = self._consumer.get_watermark_offsets(partition, timeout=_ASK_S)
        return bounds

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        for pause in pauses():
            try:
                return await asyncio.to_thread(question)
            except KafkaException as exception:
                if is_configuration(error := error_of(exception)):
                    raise BrokerError(classify(error), where=f"broker {self._alias}") from None
            await asyncio.sleep(pause)
        raise AssertionError  # pauses never end

    def _end(self) -> None:
        with self._lock, suppress(KafkaException, RuntimeError):
            self._consumer.close()
