from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Self, TypeVar

import aiormq
import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.common import FieldTable

from gateway_lab.brokers.rabbitmq import RabbitmqBroker
from gateway_lab.brokers.rabbitmq_frames import read_content
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.rabbitmq import SourceOptions
from gateway_lab.testing.connector_rig import a_message
from gateway_lab.testing.connector_suite import ConnectorSuite
from gateway_lab.testing.servers import RabbitmqServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()
T = TypeVar("T")
QUORUM: FieldTable = {"x-queue-type": "quorum"}


class Proxy:
    """Stands between connector and server, to break connections as a network does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._writers |= both
        await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))
        self._writers -= both


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


class RabbitmqRig:
    features = frozenset({"attempts", "cuts", "order", "stops", "unroutable"})
    options = SourceOptions()

    def __init__(self, server: RabbitmqServer, proxy: Proxy) -> None:
        self._server, self._proxy = server, proxy

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._proxy.port}/"

    async def broker(self, *, window: int = 10_000, lease_s: float = 600) -> RabbitmqBroker:
        broker = RabbitmqBroker("rabbit", self.url, window=window, lease_s=lease_s)
        await broker.open()
        return broker

    async def ask(self, question: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        """Ask on a connection that is not the connector's."""
        async with aiormq.connect(self._server.url) as connection:
            return await question(await connection.channel())

    async def fresh_channel(self) -> str:
        name = self.absent_channel()
        await self.ask(lambda bare: bare.queue_declare(name, durable=True, arguments=QUORUM))
        return name

    def absent_channel(self) -> str:
        return f"queue-{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="rabbit", protocol="rabbitmq", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        async def publish(bare: AbstractChannel) -> None:
            for each in messages:
                headers: FieldTable = {name: bytearray(value) for name, value in each.headers}
                if each.key is not None:
                    headers["x-gw-key"] = bytearray(each.key)
                if each.timestamp is not None:
                    headers["x-gw-timestamp"] = each.timestamp.isoformat()
                properties = aiormq.spec.Basic.Properties(headers=headers, delivery_mode=2)
                await bare.basic_publish(
                    each.body or b"", routing_key=channel, properties=properties, mandatory=True
                )

        await self.ask(publish)

    async def fetch(self, channel: str, n: int) -> list[Message]:
        async def fetch(bare: AbstractChannel) -> list[Message]:
            got: list[Message] = []
            while len(got) < n:
                got += [as_message(each) async for each in everything_in(channel, bare)]
            return got

        return await self.ask(fetch)

    async def cut_connections(self) -> None:
        self._proxy.cut()

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def start(self) -> None:
        self._server.start()  # in this thread: it ends with the one that started it


async def everything_in(queue: str, bare: AbstractChannel) -> AsyncIterator[DeliveredMessage]:
    """Get what a queue holds now; it all goes back when the channel closes."""
    while (delivered := await bare.basic_get(queue)).delivery_tag:
        yield delivered


def as_message(delivered: DeliveredMessage) -> Message:
    key, timestamp, headers = read_content(delivered.header)
    return a_message(delivered.body, key, headers=headers, timestamp=timestamp)


@pytest.fixture
async def rig(rabbitmq_server: RabbitmqServer) -> AsyncIterator[RabbitmqRig]:
    async with Proxy(rabbitmq_server.port) as proxy:
        yield RabbitmqRig(rabbitmq_server, proxy)


class TestRabbitmq(ConnectorSuite):
    @pytest.fixture
    def rig(self, rig: RabbitmqRig) -> RabbitmqRig:
        return rig
