"""A client of Redis that sees whole messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, cast

from redis.asyncio import Redis

from gateway_lab.messages.message import Message
from tests.live.client_messages import Fetched, chunks, with_edge, without_edge


class RedisClient:
    def __init__(self, url: str) -> None:
        self.connection = Redis.from_url(url)

    async def __aenter__(self) -> Self:
        await self.connection.ping()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.aclose()

    async def create(self, channels: Iterable[str]) -> None:
        for each in channels:
            await self.connection.xgroup_create(each, "made", mkstream=True)

    async def delete(self, channels: Iterable[str]) -> None:
        if names := list(channels):
            await self.connection.delete(*names)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        for chunk in chunks(messages):
            pipeline = self.connection.pipeline(transaction=False)
            for each in chunk:
                fields: dict[Any, Any] = {} if each.body is None else {"body": each.body}
                pipeline.xadd(channel, fields | with_edge(each))
            await pipeline.execute()

    async def count(self, channel: str) -> int:
        return int(await self.connection.xlen(channel))

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: await self._fetch(each) for each in channels}

    async def _fetch(self, channel: str) -> list[Message]:
        entries = cast("Any", await self.connection.xrange(channel))
        return [_of_redis(fields) for _, fields in entries]

    async def left(self, group: str, channel: str) -> int:
        groups = cast("Any", await self.connection.xinfo_groups(channel))
        [found] = [each for each in groups if each["name"] == group.encode()]
        return int(found["pending"]) + int(found["lag"] or 0)


def _of_redis(fields: Mapping[bytes, bytes]) -> Message:
    headers = {name.decode(): value for name, value in fields.items()}
    return without_edge(headers.pop("body", None), headers)
