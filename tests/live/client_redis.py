"""A client of Redis that sees whole messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, cast

from redis.asyncio import Redis

from gateway_lab.messages.message import Message
from tests.live.client_messages import AT_ONCE, LIMIT_S, Fetched, chunks, with_edge, without_edge


class RedisClient:
    def __init__(self, url: str, *, body: str = "body") -> None:
        """Take an address, and the field that holds a body."""
        self.connection = Redis.from_url(url, socket_timeout=LIMIT_S)
        self._body = body

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
                fields: dict[Any, Any] = {} if each.body is None else {self._body: each.body}
                pipeline.xadd(channel, fields | with_edge(each))
            await pipeline.execute()

    async def count(self, channel: str) -> int:
        return int(await self.connection.xlen(channel))

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: await self._fetch(each) for each in channels}

    async def _fetch(self, channel: str) -> list[Message]:
        found: list[Message] = []
        start = b"-"
        while page := await self._page(channel, start):
            found += [self._message(fields) for _, fields in page]
            start = b"(" + page[-1][0]
        return found

    async def _page(self, channel: str, start: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
        page: Any = await self.connection.xrange(channel, start, count=AT_ONCE)
        return cast("list[tuple[bytes, dict[bytes, bytes]]]", page)

    def _message(self, fields: Mapping[bytes, bytes]) -> Message:
        headers = {name.decode(): value for name, value in fields.items()}
        return without_edge(headers.pop(self._body, None), headers)

    async def left(self, group: str, channel: str) -> int:
        for each in cast("Any", await self.connection.xinfo_groups(channel)):
            if each["name"] == group.encode():
                unread = await self._page(channel, b"(" + each["last-delivered-id"])
                return int(each["pending"]) + len(unread)
        return await self.count(channel)

    async def is_held(self, channel: str) -> bool:
        del channel
        return False
