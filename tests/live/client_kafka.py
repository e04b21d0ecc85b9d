"""A client of Kafka that sees whole messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from gateway_lab.messages.message import Message
from tests.live.client_messages import AT_ONCE, LIMIT_S, Fetched, a_message, chunks


class KafkaClient:
    def __init__(self, url: str) -> None:
        servers = url.removeprefix("kafka://")
        self.settings: dict[str, Any] = {"bootstrap.servers": servers, "log_level": 0}

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient(self.settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.__dict__.pop("admin", None)

    async def create(self, channels: Iterable[str], partitions: int = 4) -> None:
        # Captured messages keep their times: retention by time would take them at once.
        forever = {"retention.ms": "-1"}
        topics = [NewTopic(each, partitions, 1, config=forever) for each in channels]
        if topics:
            made = self.admin.create_topics(topics).values()
            await asyncio.gather(*[asyncio.to_thread(each.result, LIMIT_S) for each in made])
            await self._until({each.topic for each in topics}, are_there=True)

    async def delete(self, channels: Iterable[str]) -> None:
        if names := list(await self._topics() & set(channels)):
            gone = self.admin.delete_topics(names).values()
            await asyncio.gather(*[asyncio.to_thread(each.result, LIMIT_S) for each in gone])
            await self._until(set(names), are_there=False)

    async def _until(self, names: set[str], *, are_there: bool) -> None:
        """Wait until the broker has heard of what the controller did."""
        wanted = names if are_there else set()
        async with asyncio.timeout(LIMIT_S):
            while names & await self._topics() != wanted:  # noqa: ASYNC110 - it asks a server
                await asyncio.sleep(0.02)

    async def _topics(self) -> set[str]:
        return set((await asyncio.to_thread(self.admin.list_topics, timeout=LIMIT_S)).topics)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        await asyncio.to_thread(self._publish, channel, messages)

    def _publish(self, channel: str, messages: Sequence[Message]) -> None:
        producer = Producer({**self.settings, "enable.idempotence": True, "linger.ms": 5})
        failed: list[object] = []

        def note(error: object, _: object) -> None:
            if error:
                failed.append(error)

        for chunk in chunks(messages):
            for each in chunk:
                at_ms = round(each.timestamp.timestamp() * 1_000) if each.timestamp else 0
                headers: Any = list(each.headers)
                own: Any = {"headers": headers, "timestamp": at_ms, "on_delivery": note}
                producer.produce(channel, each.body, each.key, **own)
            while len(producer) > AT_ONCE:
                producer.poll(0.1)
        assert producer.flush(LIMIT_S) == 0
        assert not failed, failed[0]

    async def count(self, channel: str) -> int:
        ends = await asyncio.to_thread(self._ends, channel)
        return sum(high - low for low, high in ends.values())

    def _ends(self, channel: str) -> dict[int, tuple[int, int]]:
        consumer = self._consumer("nobody")
        try:
            partitions = consumer.list_topics(channel, LIMIT_S).topics[channel].partitions
            return {
                number: _end(consumer, TopicPartition(channel, number)) for number in partitions
            }
        finally:
            consumer.close()

    def _consumer(self, group: str) -> Consumer:
        own = {"group.id": group, "enable.auto.commit": False, "enable.partition.eof": True}
        return Consumer({**self.settings, **own})

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return await asyncio.to_thread(self._fetch, list(channels))

    def _fetch(self, channels: Sequence[str]) -> Fetched:
        fetched: Fetched = {each: [] for each in channels}
        topics = self.admin.list_topics(timeout=LIMIT_S).topics
        places = [
            TopicPartition(each, number, 0)
            for each in channels
            for number in topics[each].partitions
        ]
        consumer = self._consumer("nobody")
        consumer.assign(places)
        ended: set[tuple[str | None, int | None]] = set()  # an end may be told of again
        while len(ended) < len(places):
            first = consumer.poll(LIMIT_S)
            assert first is not None, "Kafka does not answer"
            for message in (first, *consumer.consume(AT_ONCE, 0)):
                if error := message.error():
                    if error.code() == KafkaError._PARTITION_EOF:
                        ended.add((message.topic(), message.partition()))
                else:
                    fetched[message.topic() or ""].append(_of_kafka(message))
        consumer.close()
        return fetched

    async def left(self, group: str, channel: str) -> int:
        return await asyncio.to_thread(self._left, group, channel)

    async def is_held(self, channel: str) -> bool:
        del channel
        return False

    def _left(self, group: str, channel: str) -> int:
        ends, consumer = self._ends(channel), self._consumer(group)
        try:
            committed = consumer.committed([TopicPartition(channel, at) for at in ends], LIMIT_S)
        finally:
            consumer.close()
        return sum(
            ends[each.partition][1] - max(each.offset, ends[each.partition][0])
            for each in committed
        )


def _end(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Ask for as long as a server that has come back may need to lead its partitions."""
    limit = time.monotonic() + LIMIT_S
    while True:
        try:
            low, high = consumer.get_watermark_offsets(place, LIMIT_S)
        except KafkaException:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)
        else:
            return low, high


def _of_kafka(message: Any) -> Message:
    _, milliseconds = message.timestamp()
    headers = tuple((name, value or b"") for name, value in message.headers() or ())
    at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return a_message(message.value(), message.key(), headers, at)
