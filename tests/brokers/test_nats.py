from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import count

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from gateway_lab.brokers.nats import NatsBroker
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.nats import SourceOptions
from gateway_lab.testing.connector_suite import FEATURES, ConnectorSuite
from gateway_lab.testing.servers import NatsServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()


class NatsRig:
    features = FEATURES
    options = SourceOptions()
    lease_s = 1.5

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.client = Client()

    async def connect(self) -> None:
        self.client = await nats.connect(self.server.url, error_cb=no_error)

    async def broker(self) -> NatsBroker:
        broker = NatsBroker("edge", self.server.url, lease_s=self.lease_s)
        await broker.open()
        return broker

    def program(self) -> str:
        made = f"NatsBroker('edge', {self.server.url!r}, lease_s={self.lease_s})"
        return f"from gateway_lab.brokers.nats import NatsBroker\nbroker = {made}"

    async def fresh_channel(self) -> str:
        number = next(NUMBERS)
        await self.client.jetstream().add_stream(name=f"S{number}", subjects=[f"channel.{number}"])
        return f"channel.{number}"

    def absent_channel(self) -> str:
        return f"channel.{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="edge", protocol="nats", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        stream = self.client.jetstream()
        for each in messages:
            headers = {name: value.decode() for name, value in each.headers}
            if each.key is not None:
                headers["x-gw-key"] = each.key.decode()
            if each.timestamp is not None:
                headers["x-gw-timestamp"] = each.timestamp.isoformat()
            await stream.publish(channel, each.body or b"", headers=headers)

    async def fetch(self, channel: str, n: int) -> list[Message]:
        subscription = await self.client.jetstream().subscribe(channel, ordered_consumer=True)
        found = [a_message(await subscription.next_msg(None)) for _ in range(n)]
        await subscription.unsubscribe()
        return found

    async def cut_connections(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        await self.client.close()
        await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)
        await self.connect()


async def no_error(error: Exception) -> None:
    """Say nothing: tests break connections."""


def a_message(message: Msg) -> Message:
    headers = message.headers or {}
    key = headers.pop("x-gw-key", None)
    return Message(
        body=message.data,
        key=key.encode() if key is not None else None,
        headers=tuple((name, value.encode()) for name, value in headers.items()),
        received=datetime.now(UTC),
    )


class TestNats(ConnectorSuite):
    @pytest.fixture
    async def rig(self, nats_server: NatsServer) -> AsyncIterator[NatsRig]:
        rig = NatsRig(nats_server)
        await rig.connect()
        yield rig
        await rig.client.close()
