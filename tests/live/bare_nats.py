"""A bare client of JetStream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import nats
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, DiscardPolicy, StreamConfig
from nats.js.errors import NotFoundError

from tests.live.carried import chunks, read_record, write_headers
from tests.live.script import Record

PAGE: Final = 500
ASK_S: Final = 20.0


class BareNats:
    """See `bare.Bare`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[JetStreamContext]:
        client = await nats.connect(self._url, error_cb=_ignore, max_reconnect_attempts=1)
        try:
            yield client.jetstream(timeout=ASK_S)
        finally:
            await client.close()

    def create(self, channels: Sequence[str]) -> None:
        asyncio.run(self._create(channels))

    async def _create(self, channels: Sequence[str]) -> None:
        name = channels[0].replace(".", "_")
        async with self._connect() as stream:
            config = StreamConfig(name=name, subjects=list(channels), discard=DiscardPolicy.NEW)
            await stream.add_stream(config)

    def publish(self, channel: str, records: Iterable[tuple[int, Record]]) -> list[int]:
        return asyncio.run(self._publish(channel, records))

    async def _publish(self, channel: str, records: Iterable[tuple[int, Record]]) -> list[int]:
        confirmed: list[int] = []
        async with self._connect() as stream:
            for some in chunks(records, PAGE):
                sent = [
                    await stream.publish_async(channel, record.body, headers=_headers(record))
                    for _, record in some
                ]
                answers = await asyncio.gather(*sent, return_exceptions=True)
                pairs = zip(some, answers, strict=True)
                confirmed += [
                    number for (number, _), answer in pairs if not isinstance(answer, BaseException)
                ]
        return confirmed

    def drain(self, channel: str) -> Iterator[Record]:
        yield from asyncio.run(self._drain(channel))

    async def _drain(self, channel: str) -> list[Record]:
        found: list[Record] = []
        async with self._connect() as stream:
            subscription = await stream.subscribe(channel, ordered_consumer=True)
            info = await subscription.consumer_info()
            left = (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
            while len(found) < left:
                message = await subscription.next_msg(ASK_S)
                headers = {name: value.encode() for name, value in (message.headers or {}).items()}
                found.append(read_record(message.data, headers))
                if len(found) == left:
                    left += message.metadata.num_pending
        return found

    def is_held(self, channel: str) -> bool:
        del channel
        return False

    def lag(self, channel: str, group: str) -> int:
        info = asyncio.run(self._info(channel, group))
        return (info.num_pending or 0) + (info.num_ack_pending or 0) if info else 1

    async def _info(self, channel: str, durable: str) -> ConsumerInfo | None:
        async with self._connect() as stream:
            name = await stream.find_stream_name_by_subject(channel)
            try:
                info: ConsumerInfo = await stream.consumer_info(name, durable)
            except NotFoundError:
                return None
        return info


async def _ignore(_: Exception) -> None:
    """Say nothing of a server that is away."""


def _headers(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in write_headers(record).items()}
