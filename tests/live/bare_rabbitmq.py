"""A bare client of RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from pamqp.commands import Queue
from pamqp.common import FieldTable

from tests.live.carried import chunks, read_record, write_headers
from tests.live.script import Record

PAGE: Final = 200
ASK_S: Final = 20.0
QUORUM: Final[FieldTable] = {"x-queue-type": "quorum"}


class BareRabbitmq:
    """See `bare.Bare`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[AbstractChannel]:
        connection = await aio_pika.connect(self._url, timeout=ASK_S)
        async with connection:
            yield await connection.channel(on_return_raises=True)

    def create(self, channels: Sequence[str]) -> None:
        asyncio.run(self._create(channels))

    async def _create(self, channels: Sequence[str]) -> None:
        async with self._connect() as channel:
            for each in channels:
                await channel.declare_queue(each, durable=True, arguments=QUORUM)

    def publish(self, channel: str, records: Iterable[tuple[int, Record]]) -> list[int]:
        return asyncio.run(self._publish(channel, records))

    async def _publish(self, queue: str, records: Iterable[tuple[int, Record]]) -> list[int]:
        confirmed: list[int] = []
        async with self._connect() as channel:
            exchange = channel.default_exchange
            for some in chunks(records, PAGE):
                sent = [exchange.publish(_message(each), queue) for _, each in some]
                answers = await asyncio.gather(*sent, return_exceptions=True)
                pairs = zip(some, answers, strict=True)
                confirmed += [
                    number for (number, _), answer in pairs if not isinstance(answer, BaseException)
                ]
        return confirmed

    def drain(self, channel: str) -> Iterator[Record]:
        yield from asyncio.run(self._drain(channel))

    async def _drain(self, name: str) -> list[Record]:
        found: list[Record] = []
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        async with self._connect() as channel:
            queue = await _look(channel, name)
            left = queue.declaration_result.message_count or 0
            await channel.set_qos(prefetch_count=1_000)
            tag = await queue.consume(arrived.put)
            while len(found) < left:
                message = await asyncio.wait_for(arrived.get(), ASK_S)
                await message.ack()
                headers = {key: _bytes(value) for key, value in message.headers.items()}
                found.append(read_record(message.body, headers))
            await queue.cancel(tag)
        return found

    def lag(self, channel: str, group: str) -> int:
        """Count what is ready; what a gateway holds comes back when it ends."""
        del group
        return asyncio.run(self._declared(channel)).message_count or 0

    def is_held(self, channel: str) -> bool:
        """Say whether it has consumers, be it ones that were killed a moment ago."""
        return bool(asyncio.run(self._declared(channel)).consumer_count)

    async def _declared(self, name: str) -> Queue.DeclareOk:
        async with self._connect() as channel:
            return (await _look(channel, name)).declaration_result


async def _look(channel: AbstractChannel, name: str) -> AbstractQueue:
    return await channel.declare_queue(name, passive=True)


def _message(record: Record) -> aio_pika.Message:
    headers = {name: value.decode() for name, value in write_headers(record).items()}
    persistent = aio_pika.DeliveryMode.PERSISTENT
    return aio_pika.Message(record.body, headers=dict(headers), delivery_mode=persistent)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
