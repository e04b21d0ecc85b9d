"""A client of NATS that sees whole messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Self

import nats
from nats.aio.client import Client as NatsConnection
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext

from gateway_lab.messages.message import Message
from tests.live.client_messages import AT_ONCE, LIMIT_S, Fetched, chunks, with_edge, without_edge


class NatsClient:
    """Each channel that it creates is a stream of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self.connection: NatsConnection = await nats.connect(self._url)
        self.stream: JetStreamContext = self.connection.jetstream(
            timeout=LIMIT_S, publish_async_max_pending=4 * AT_ONCE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def create(self, channels: Iterable[str]) -> None:
        for each in channels:
            name = stream_name(each)
            config = StreamConfig(name=name, subjects=[each], discard="new")  # type: ignore[arg-type]
            await self.stream.add_stream(config)

    async def delete(self, channels: Iterable[str]) -> None:
        for each in channels:
            await self.stream.delete_stream(stream_name(each))

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        for chunk in chunks(messages):
            stored = [
                await self.stream.publish_async(
                    channel,
                    each.body or b"",
                    headers={name: value.decode() for name, value in with_edge(each).items()},
                )
                for each in chunk
            ]
            await asyncio.wait_for(asyncio.gather(*stored), LIMIT_S)

    async def count(self, channel: str) -> int:
        name = await self.stream.find_stream_name_by_subject(channel)
        info = await self.stream.stream_info(name, subjects_filter=channel)
        return int((info.state.subjects or {}).get(channel, 0))

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: await self._fetch(each) for each in channels}

    async def _fetch(self, subject: str) -> list[Message]:
        number = await self.count(subject)
        if not number:
            return []
        reading = await self.stream.subscribe(subject, ordered_consumer=True)
        got = [await reading.next_msg(LIMIT_S) for _ in range(number)]
        await reading.unsubscribe()
        return [
            without_edge(
                each.data, {name: value.encode() for name, value in (each.headers or {}).items()}
            )
            for each in got
        ]

    async def left(self, group: str, channel: str) -> int:
        name = await self.stream.find_stream_name_by_subject(channel)
        info = await self.stream.consumer_info(name, group)
        return (info.num_pending or 0) + (info.num_ack_pending or 0)


def stream_name(subject: str) -> str:
    return subject.replace(".", "_")
