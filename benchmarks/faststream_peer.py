"""What FastStream's pages show: a subscriber that awaits its publish, message by message."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Annotated, Any

from faststream import AckPolicy, Context, FastStream, StreamMessage
from faststream.confluent import KafkaBroker
from faststream.nats import NatsBroker
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from faststream.redis import RedisBroker

from benchmarks.bare import TEXTS, clocks, done_since
from benchmarks.stage import Done, Job
from gateway_lab.brokers.nats.streams import safe_name

Publish = Callable[[str, "StreamMessage[Any]"], Awaitable[object]]


def forward(job: Job) -> Done:
    """Do a job, but for the last message's acknowledgement."""
    return asyncio.run(_forward(job))


async def _forward(job: Job) -> Done:
    source, target = (
        _broker(job.source, job.urls["source"]),
        _broker(job.target, job.urls["target"]),
    )
    publish = _publisher(target)
    channels = cycle(job.channels)
    finished = asyncio.Event()
    starts: list[tuple[float, float]] = []
    left = job.count

    async def handle(message: Annotated[StreamMessage[Any], Context("message")]) -> None:
        nonlocal left
        if not starts:
            starts.append(clocks())
        await publish(next(channels), message)
        left -= 1
        if not left:
            finished.set()

    _subscribe(source, job.channel)(handle)
    await target.connect()
    app = FastStream(source, logger=None)
    await app.start()
    await finished.wait()
    taken = done_since(starts[0])
    await app.stop()
    await target.stop()
    return taken


def _broker(protocol: str, url: str) -> Any:
    quiet: dict[str, Any] = {"log_level": logging.DEBUG, "decoder": _raw}
    match protocol:
        case "kafka":
            return KafkaBroker(url.removeprefix("kafka://"), **quiet)
        case "rabbitmq":
            channel = Channel(publisher_confirms=True, on_return_raises=True, prefetch_count=500)
            return RabbitBroker(url, default_channel=channel, **quiet)
        case "nats":
            return NatsBroker(url, **quiet)
        case _:
            return RedisBroker(url, **quiet)


async def _raw(message: StreamMessage[Any]) -> bytes:
    """Leave the body as it came."""
    body: bytes = message.body
    return body


def _subscribe(broker: Any, channel: str) -> Callable[[Any], Any]:
    policy = AckPolicy.NACK_ON_ERROR
    if isinstance(broker, KafkaBroker):
        return broker.subscriber(
            channel, group_id=uuid.uuid4().hex, auto_offset_reset="earliest", ack_policy=policy
        )
    there = RabbitQueue(channel, declare=False)
    subscriber: Callable[[Any], Any] = broker.subscriber(there, ack_policy=policy)
    return subscriber


def _publisher(broker: Any) -> Publish:
    """Return what writes a message with its headers and two more, and waits for the broker."""

    async def publish(channel: str, message: StreamMessage[Any]) -> None:
        headers: Any = {name: _text(value) for name, value in message.headers.items()} | TEXTS
        if isinstance(broker, KafkaBroker):
            key = message.raw_message.key() if hasattr(message.raw_message, "key") else None
            await broker.publish(message.body, channel, headers=headers, key=key)
        elif isinstance(broker, RabbitBroker):
            await broker.publish(message.body, channel, headers=headers, persist=True)
        elif isinstance(broker, NatsBroker):
            await broker.publish(message.body, channel, headers=headers, stream=safe_name(channel))
        else:
            await broker.publish(message.body, stream=channel, headers=headers)

    return publish


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
