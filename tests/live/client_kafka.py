"""A client of Kafka that sees whole messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from gateway_lab.messages.message import Message
from tests.live.client_messages import AT_ONCE, LIMIT_S, Fetched, a_message, chunks


class KafkaClient:
    def __init__(self, url: str) -> None:
        servers = url.removeprefix("kafka://")
        self.settings: dict[str, Any] = {"bootstrap.servers": servers, "log_level": 0}
        self.admin = AdminClient(self.settings)
        self._producer = Producer({**self.settings, "acks": "all", "linger.ms": 5})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        del self._producer, self.admin

    async def create(self, channels: Iterable[str], partitions: int = 4) -> None:
        # Captured messages keep their times: retention by time would take them at once.
        forever = {"retention.ms": "-1"}
        topics = [NewTopic(each, partitions, 1, config=forever) for each in channels]
        if topics:
            made = self.admin.create_topics(topics).values()
            await asyncio.gather(*[asyncio.to_thread(each.result, LIMIT_S) for each in made])
            await self._until({each.topic for each in topics}, are_there=True)

    async def delete(self, channels: Iterable[str]) -> None:
        if names := list(channels):
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
        for chunk in chunks(messages):
            for each in chunk:
                time = round(each.timestamp.timestamp() * 1_000) if each.timestamp else 0
                headers: Any = list(each.headers)
                self._producer.produce(
                    channel, each.body, each.key, headers=headers, timestamp=time
                )
            self._producer.poll(0)
        assert self._producer.flush(LIMIT_S) == 0

    async def count(self, channel: str) -> int:
        ends = await asyncio.to_thread(self._ends, channel)
        return sum(high - low for low, high in ends.values())

    def _ends(self, channel: str) -> dict[int, tuple[int, int]]:
        consumer = self._consumer("nobody")
        partitions = self.admin.list_topics(timeout=LIMIT_S).topics[channel].partitions
        places = [TopicPartition(channel, number) for number in partitions]
        try:
            ends: list[Any] = [consumer.get_watermark_offsets(each, LIMIT_S) for each in places]
        finally:
            consumer.close()
        return dict(zip(partitions, ends, strict=True))

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
        ends = 0
        while ends < len(places):
            first = consumer.poll(LIMIT_S)
            assert first is not None, "Kafka does not answer"
            for message in (first, *consumer.consume(AT_ONCE, 0)):
                if message.error():
                    ends += 1
                else:
                    fetched[message.topic() or ""].append(_of_kafka(message))
        consumer.close()
        return fetched

    async def left(self, group: str, channel: str) -> int:
        return await asyncio.to_thread(self._left, group, channel)

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


def _of_kafka(message: Any) -> Message:
    _, milliseconds = message.timestamp()
    headers = tuple((name, value or b"") for name, value in message.headers() or ())
    time = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return a_message(message.value(), message.key(), headers, time)
