"""A client of RabbitMQ that sees whole messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self
from uuid import uuid4

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldTable

from gateway_lab.messages.message import Message
from tests.live.client_messages import AT_ONCE, LIMIT_S, Fetched, chunks, with_edge, without_edge

BACK_S: Final = 0.5
"""How long a queue has to be empty until it is taken to be."""


class RabbitmqClient:
    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._connection = await aiormq.connect(self._url)
        self.channel: AbstractChannel = await self._connection.channel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def create(self, channels: Iterable[str]) -> None:
        quorum: FieldTable = {"x-queue-type": "quorum"}
        for each in channels:
            await self.channel.queue_declare(each, durable=True, arguments=quorum)

    async def delete(self, channels: Iterable[str]) -> None:
        for each in channels:
            await self.channel.queue_delete(each)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        for chunk in chunks(messages):
            await asyncio.gather(*[self._publish(channel, each) for each in chunk])

    async def _publish(self, channel: str, message: Message) -> None:
        headers: FieldTable = {name: bytearray(value) for name, value in with_edge(message).items()}
        properties = Basic.Properties(headers=headers, delivery_mode=2, message_id=uuid4().hex)
        confirmed = await self.channel.basic_publish(
            message.body or b"", routing_key=channel, properties=properties, mandatory=True
        )
        assert isinstance(confirmed, Basic.Ack)

    async def count(self, channel: str) -> int:
        return (await self.channel.queue_declare(channel, passive=True)).message_count or 0

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: await self._fetch(each) for each in channels}

    async def _fetch(self, queue: str) -> list[Message]:
        number = await self.count(queue)
        if not number:
            return []
        arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        started = await self.channel.basic_consume(queue, arrived.put, no_ack=True)
        async with asyncio.timeout(LIMIT_S + number / AT_ONCE):
            got = [_of_rabbitmq(await arrived.get()) for _ in range(number)]
        await self.channel.basic_cancel(started.consumer_tag or "")
        while not arrived.empty():
            got.append(_of_rabbitmq(arrived.get_nowait()))
        return got

    async def left(self, group: str, channel: str) -> int:
        """Count what is in the queue, once its readers are gone: a queue has no groups.

        What a reader had that ended comes back a moment later, so it has to be empty for a while.
        """
        del group
        end = time.monotonic() + BACK_S
        while not (number := await self.count(channel)) and time.monotonic() < end:  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(BACK_S / 10)
        return number

    async def is_held(self, channel: str) -> bool:
        """Say whether it has consumers, be it ones that were killed a moment ago."""
        return bool((await self.channel.queue_declare(channel, passive=True)).consumer_count)


def _of_rabbitmq(delivered: DeliveredMessage) -> Message:
    table: dict[str, Any] = dict(delivered.header.properties.headers or {})
    table.pop("x-delivery-count", None)
    headers = {
        name: value.encode() if isinstance(value, str) else bytes(value)
        for name, value in table.items()
    }
    return without_edge(delivered.body, headers)
