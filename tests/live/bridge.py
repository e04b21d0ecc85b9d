"""What a bridge of a few lines does: a FastStream subscriber that publishes, with its defaults.

It is the negative control of the harness, which must convict it: `python -m tests.live.bridge`
reads `CHANNEL.in` of one broker and writes `CHANNEL.out` of another. It says what becomes of it
as `tests.live.child` does.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from dataclasses import replace
from typing import Annotated, Any

from faststream import Context
from faststream.confluent import KafkaBroker
from faststream.nats import JStream, NatsBroker
from faststream.rabbit import RabbitBroker, RabbitQueue
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.parser import BinaryMessageFormatV1

from tests.live.failpoints import tell
from tests.live.script import Record

REDIS_FIELD = "__data__"
"""Where FastStream puts an envelope of headers and body into an entry of Redis."""


def main() -> None:
    """Bridge until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("channel")
    parser.add_argument("source")
    parser.add_argument("target")
    asyncio.run(_run(parser.parse_args()))


async def _run(wanted: argparse.Namespace) -> None:
    source = _connect(wanted.source, os.environ["GATEWAY_BROKER_FROM_URL"])
    target = _connect(wanted.target, os.environ["GATEWAY_BROKER_TO_URL"])
    publish = _publisher(wanted.target, f"{wanted.channel}.out")

    async def handle(message: Annotated[Any, Context()]) -> None:
        headers = {name: str(value) for name, value in message.headers.items()}
        try:
            await target.publish(message.body, headers=headers, **publish)
        except Exception:
            tell("failed")
            raise
        tell("published")

    _subscribe(source, wanted.source, wanted.channel)(handle)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with source, target:
        await target.connect()
        await source.start()
        tell("started")
        await stopped.wait()
    tell("ended")


def _connect(protocol: str, url: str) -> Any:
    quiet = logging.getLogger("bridge")
    match protocol:
        case "kafka":
            return KafkaBroker(url.removeprefix("kafka://"), logger=quiet)
        case "rabbitmq":
            return RabbitBroker(url, logger=quiet)
        case "nats":
            return NatsBroker(url, logger=quiet)
        case _:
            return RedisBroker(url, logger=quiet)


def _subscribe(broker: Any, protocol: str, name: str) -> Any:
    """Subscribe to a channel for good; whatever has a default keeps it."""
    channel = f"{name}.in"
    match protocol:
        case "kafka":
            return broker.subscriber(channel, group_id=name, auto_offset_reset="earliest")
        case "rabbitmq":
            return broker.subscriber(RabbitQueue(channel, declare=False))
        case "nats":
            stream = JStream(channel.replace(".", "_"), declare=False)
            return broker.subscriber(channel, stream=stream, durable=name)
        case _:
            return broker.subscriber(stream=StreamSub(channel, group=name, consumer="bridge"))


def _publisher(protocol: str, channel: str) -> dict[str, Any]:
    match protocol:
        case "kafka":
            return {"topic": channel}
        case "rabbitmq":
            return {"queue": channel}
        case "nats":
            return {"subject": channel}
        case _:
            return {"stream": channel}


def unwrap(record: Record) -> Record:
    """Take a body out of FastStream's envelope."""
    body, _ = BinaryMessageFormatV1.parse(record.body)
    return replace(record, body=body)


if __name__ == "__main__":
    main()
