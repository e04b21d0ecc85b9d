"""A client of NATS that sees whole messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Self

import nats
from nats.aio.client import Client as NatsConnection
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from gateway_lab.messages.message import Message
from tests.live.client_messages import AT_ONCE, LIMIT_S, Fetched, chunks, with_edge, without_edge


class NatsClient:
    """Channels that are created together are one stream: it takes a message id for all of them."""

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
        if names := list(channels):
            stream = names[0].replace(".", "_")
            config = StreamConfig(name=stream, subjects=names, discard=DiscardPolicy.NEW)
            await self.stream.add_stream(config)

    async def delete(self, channels: Iterable[str]) -> None:
        for each in channels:
            try:
                stream = await self.stream.find_stream_name_by_subject(each)
            except NotFoundError:
                continue
            config = (await self.stream.stream_info(stream)).config
            left = [subject for subject in config.subjects or () if subject != each]
            if left:
                await self.stream.update_stream(config.evolve(subjects=left))
                await self.stream.purge_stream(stream, subject=each)
            else:
                await self.stream.delete_stream(stream)

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
        try:
            info = await self.stream.consumer_info(name, group)
        except NotFoundError:
            return await self.count(channel)
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def is_held(self, channel: str) -> bool:
        del channel
        return False
