"""A bare client of Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.live.script import Record

PARTITIONS: Final = 4
ASK_S: Final = 20.0

_SILENT = logging.getLogger("tests.live.kafka")
_SILENT.disabled = True


class BareKafka:
    """See `bare.Bare`."""

    def __init__(self, url: str) -> None:
        hosts = url.removeprefix("kafka://")
        self._settings: dict[str, Any] = {
            "bootstrap.servers": hosts,
            "log_level": 0,
            "logger": _SILENT,
            "reconnect.backoff.max.ms": 500,
        }

    @cached_property
    def _producer(self) -> Producer:
        return Producer({**self._settings, "enable.idempotence": True, "linger.ms": 5})

    @cached_property
    def _looker(self) -> Consumer:
        return self._consumer("bare-looker")

    def create(self, channels: Sequence[str]) -> None:
        admin = AdminClient(self._settings)
        made = admin.create_topics([NewTopic(each, PARTITIONS, 1) for each in channels])
        for each in made.values():
            each.result()

    def publish(self, channel: str, records: Iterable[tuple[int, Record]]) -> list[int]:
        confirmed: list[int] = []

        def note(number: int, error: object, _: object) -> None:
            if error is None:
                confirmed.append(number)

        producer = self._producer
        for number, record in records:
            while True:
                try:
                    producer.produce(
                        channel,
                        record.body,
                        record.key,
                        headers=list(record.headers),
                        timestamp=record.timestamp_ms or 0,
                        on_delivery=partial(note, number),
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush()
        return confirmed

    def drain(self, channel: str) -> Iterator[Record]:
        consumer = self._consumer("bare-drain")
        try:
            ends = {each.partition: self._end(consumer, each) for each in self._partitions(channel)}
            left = {partition for partition, (first, end) in ends.items() if end > first}
            consumer.assign([TopicPartition(channel, each, ends[each][0]) for each in left])
            while left:
                for message in consumer.consume(1_000, 1.0):
                    if message.error():
                        continue
                    yield _record(message)
                    partition, offset = message.partition(), message.offset()
                    if offset is not None and offset + 1 >= ends[partition or 0][1]:
                        left.discard(partition or 0)
        finally:
            consumer.close()

    def size(self, channel: str) -> int:
        """Return how many messages have been stored in a channel."""
        ends = [self._end(self._looker, each) for each in self._partitions(channel)]
        return sum(end - first for first, end in ends)

    def is_held(self, channel: str) -> bool:
        del channel
        return False

    def lag(self, channel: str, group: str) -> int:
        consumer = self._consumer(group)
        try:
            committed = consumer.committed(self._partitions(channel), timeout=ASK_S)
            return sum(self._left(consumer, each) for each in committed)
        finally:
            consumer.close()

    def _left(self, consumer: Consumer, committed: TopicPartition) -> int:
        first, end = self._end(consumer, committed)
        return end - max(first, committed.offset)

    def _end(self, consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
        """Ask for as long as a server that has come back may need to lead its partitions."""
        limit = time.monotonic() + ASK_S
        while True:
            try:
                first, end = consumer.get_watermark_offsets(partition, timeout=ASK_S)
            except KafkaException:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.1)
            else:
                return first, end

    def _partitions(self, channel: str) -> list[TopicPartition]:
        return [TopicPartition(channel, number) for number in range(PARTITIONS)]

    def _consumer(self, group: str) -> Consumer:
        own = {"group.id": group, "enable.auto.commit": False, "fetch.wait.max.ms": 50}
        return Consumer(self._settings | own)


def _record(message: Message) -> Record:
    body, key, time = message.value(), message.key(), message.timestamp()
    headers: Any = message.headers() or []
    return Record(
        body if isinstance(body, bytes) else b"",
        key if isinstance(key, bytes) else None,
        tuple((name, value) for name, value in headers),
        time[1],
    )
