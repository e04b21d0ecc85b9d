from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Self

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from gateway_lab.brokers.kafka import KafkaBroker
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.kafka import SourceOptions
from gateway_lab.testing.connector_rig import (
    LIMIT_S,
    a_message,
)
from gateway_lab.testing.connector_suite import ConnectorSuite
from gateway_lab.testing.servers import KafkaServer, free_port

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()
SESSION_S = 2.0


class Proxy:
    """Stands before the server, at the address that it gives to clients, to break connections."""

    def __init__(self, port: int, server_port: int) -> None:
        self._port, self._server_port = port, server_port
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, to_them = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_them}
        self._writers |= both
        await asyncio.gather(pump(reader, to_them), pump(theirs, writer))
        self._writers -= both


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


class KafkaRig:
    features = frozenset({"attempts", "crash", "cuts", "groups", "order", "stops", "unroutable"})
    options = SourceOptions()

    def __init__(self, server: KafkaServer, proxy: Proxy, port: int) -> None:
        self.server, self._proxy = server, proxy
        self.url = f"kafka://127.0.0.1:{port}"
        # A client that does not go through the proxy until the server names it.
        self.settings = {"bootstrap.servers": f"127.0.0.1:{server.port}"}
        self.admin = AdminClient(self.settings)
        self._name = f"{next(NUMBERS)}"

    async def broker(self, **options: str) -> KafkaBroker:
        named = {"gateway": f"gateway-{self._name}", **options}
        broker = KafkaBroker("stream", self.url, session_s=SESSION_S, **named)
        await broker.open()
        return broker

    def program(self) -> str:
        return (
            "from gateway_lab.brokers.kafka import KafkaBroker\n"
            f"broker = KafkaBroker('stream', {self.url!r}, session_s={SESSION_S},"
            f" gateway='gateway-{self._name}')\n"
        )

    async def fresh_channel(self, partitions: int = 4, **config: str) -> str:
        name = self.absent_channel()
        dotted = {key.replace("_", "."): value for key, value in config.items()}
        made = self.admin.create_topics([NewTopic(name, partitions, 1, config=dotted)])
        await asyncio.to_thread(made[name].result)
        return name

    def absent_channel(self) -> str:
        return f"topic-{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="stream", protocol="kafka", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        await asyncio.to_thread(self._publish, channel, messages)

    def _publish(self, channel: str, messages: Sequence[Message]) -> None:
        producer = Producer({**self.settings, "acks": "all", "linger.ms": 0})
        for each in messages:
            time = int(each.timestamp.timestamp() * 1_000) if each.timestamp else 0
            headers = list(each.headers)
            producer.produce(channel, each.body, each.key, headers=headers, timestamp=time)
        assert producer.flush(LIMIT_S) == 0

    async def fetch(self, channel: str, n: int) -> list[Message]:
        return await asyncio.to_thread(self._fetch, channel, n)

    def _fetch(self, channel: str, n: int) -> list[Message]:
        consumer = Consumer({**self.settings, "group.id": "fetch", "enable.partition.eof": True})
        partitions = consumer.list_topics(timeout=LIMIT_S).topics[channel].partitions
        consumer.assign([TopicPartition(channel, number, 0) for number in partitions])
        got: list[Message] = []
        ends = 0
        while len(got) < n or ends < len(partitions):
            message = consumer.poll(LIMIT_S)
            assert message is not None
            if message.error():
                ends += 1
            else:
                got.append(a_message(message.value(), message.key(), headers=headers_of(message)))
        consumer.close()
        return got

    async def cut_connections(self) -> None:
        self._proxy.cut()

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        self.server.start()  # in this thread: it ends with the one that started it

    async def committed(self, group: str, channel: str, partition: int = 0) -> int:
        """Return what a group has committed."""
        consumer = Consumer({**self.settings, "group.id": group})
        asked = [TopicPartition(channel, partition)]
        [got] = await asyncio.to_thread(consumer.committed, asked, LIMIT_S)
        return got.offset


def headers_of(message) -> tuple[tuple[str, bytes], ...]:
    return tuple(message.headers() or ())


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KafkaServer, int]]:
    """Yield a server that tells clients to come through a port of ours."""
    port = free_port()
    settings = {
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "group.min.session.timeout.ms": "1000",
    }
    with KafkaServer(tmp_path_factory.mktemp("kafka"), settings=settings) as server:
        yield server, port


@pytest.fixture
async def rig(proxied: tuple[KafkaServer, int]) -> AsyncIterator[KafkaRig]:
    server, port = proxied
    async with Proxy(port, server.port) as proxy:
        yield KafkaRig(server, proxy, port)


class TestKafka(ConnectorSuite):
    @pytest.fixture
    def rig(self, rig: KafkaRig) -> KafkaRig:
        return rig
