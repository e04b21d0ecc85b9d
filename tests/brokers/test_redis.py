from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from gateway_lab.brokers.redis import RedisBroker
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.redis import SourceOptions
from gateway_lab.testing.connector_suite import FEATURES, ConnectorSuite
from gateway_lab.testing.servers import RedisServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()


class RedisRig:
    features = FEATURES
    options = SourceOptions()
    lease_s = 1.5

    def __init__(self, server: RedisServer, client: Redis) -> None:
        self.server, self.client = server, client

    async def broker(self, **fields: object) -> RedisBroker:
        broker = RedisBroker("cache", self.server.url, lease_s=self.lease_s, **fields)  # type: ignore[arg-type]
        await broker.open()
        return broker

    def program(self) -> str:
        made = f"RedisBroker('cache', {self.server.url!r}, lease_s={self.lease_s})"
        return f"from gateway_lab.brokers.redis import RedisBroker\nbroker = {made}"

    async def fresh_channel(self) -> str:
        channel = self.absent_channel()
        await self.client.xgroup_create(channel, "made", mkstream=True)
        return channel

    def absent_channel(self) -> str:
        return f"channel.{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="cache", protocol="redis", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        pipeline = self.client.pipeline()
        for each in messages:
            fields: dict[Any, Any] = {} if each.body is None else {"body": each.body}
            fields |= dict(each.headers)
            if each.key is not None:
                fields["x-gw-key"] = each.key
            if each.timestamp is not None:
                fields["x-gw-timestamp"] = each.timestamp.isoformat()
            pipeline.xadd(channel, fields)
        await pipeline.execute()

    async def fetch(self, channel: str, n: int) -> list[Message]:
        entries: list[tuple[bytes, dict[bytes, bytes]]] = []
        while len(entries) < n:
            entries = cast("Any", await self.client.xrange(channel))
        return [a_message(fields) for _, fields in entries]

    async def cut_connections(self) -> None:
        await self.client.client_kill_filter(_type="normal", skipme=True)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)


def a_message(fields: dict[bytes, bytes]) -> Message:
    own = {b"body", b"x-gw-key", b"x-gw-timestamp"}
    headers = [(name.decode(), value) for name, value in fields.items() if name not in own]
    return Message(
        body=fields.get(b"body"),
        key=fields.get(b"x-gw-key"),
        headers=tuple(headers),
        received=datetime.now(UTC),
    )


class TestRedis(ConnectorSuite):
    @pytest.fixture
    async def rig(self, redis_server: RedisServer) -> AsyncIterator[RedisRig]:
        async with Redis.from_url(redis_server.url) as client:
            yield RedisRig(redis_server, client)
