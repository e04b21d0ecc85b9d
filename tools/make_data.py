"""Makes the captures of data/: invented messages that have crossed real brokers.

`python tools/make_data.py` starts Kafka, RabbitMQ, NATS and Redis, publishes the messages of each
profile, in their order, where its config reads them, and records them with the tap of a gateway
that reads and drops them. Each message of a file is what came out of its broker. Two columns are put back:
`seq` is the number by which it was published, and `received` the time of day that it was invented
for, since a day goes through in seconds. So the files are the same each time, byte for byte with
the locked Polars.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis.asyncio import Redis

from gateway_lab.brokers.carried import write_time
from gateway_lab.brokers.contract import Broker, Outgoing, Place
from gateway_lab.brokers.nats.broker import NatsBroker
from gateway_lab.brokers.rabbitmq.broker import RabbitmqBroker
from gateway_lab.brokers.variables import address_variable
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS
from gateway_lab.captures.generate import generate_traffic
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.rows import message_of
from gateway_lab.captures.write import write_batches
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config, read_config
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import KEY_HEADER, TIMESTAMP_HEADER
from gateway_lab.protocols.redis import BODY_FIELD
from gateway_lab.recording.tap import Tap
from gateway_lab.testing.servers import SERVERS, Server

DATA = Path(__file__).parents[1] / "data"
SEED = 7
MESSAGES = {
    "business": 25_000,
    "users": 20_000,
    "payments": 10_000,
    "metrics": 20_000,
    "commands": 5_000,
    "conversion": 5_000,
    "observable": 15_000,
}

ALIASES = MappingProxyType(
    {"stream": "kafka", "work": "rabbitmq", "edge": "nats", "cache": "redis"}
)
"""The brokers of the configs in data/."""

LIMIT_S = 120
_PLACE = ("kind", "channel", "partition")


def main() -> None:
    """Write one capture a profile."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as each:
        servers = {
            alias: each.enter_context(SERVERS[protocol](Path(folder) / protocol))
            for alias, protocol in ALIASES.items()
        }
        for profile in MESSAGES:
            path = DATA / f"{profile}.parquet"
            write(profile, path, servers)
            size = path.stat().st_size / 1_000_000
            print(f"{path.name}: {size:.2f} MB, {scan_capture(path).digest}")


def write(profile: str, path: Path, servers: Mapping[str, Server]) -> None:
    """Send the messages of a profile through servers, and write what came out.

    Args:
        profile: A name of `MESSAGES`.
        path: The file, which is replaced.
        servers: Each of `ALIASES` to its server.
    """
    invented = generate_traffic(profile, n=MESSAGES[profile], seed=SEED)
    config = _reader(profile)
    environ = {address_variable(alias): each.url for alias, each in servers.items()}
    with tempfile.TemporaryDirectory() as folder:
        with Tap(config, Path(folder) / "tap") as tap:
            gateway = Gateway(config, environ=environ, wrap=tap.wrap)
            asyncio.run(_cross(invented, gateway, servers))
        crossed = scan_capture(Path(folder) / "tap").frame.collect()
    by = f"run {profile}, published and received as generate {profile} says"
    metadata = replace(invented.metadata, recorded_by=by)
    write_batches([put_back(invented.frame.collect(), crossed)], path, metadata=metadata)


def put_back(invented: pl.DataFrame, crossed: pl.DataFrame) -> pl.DataFrame:
    """Give messages that came out of brokers the number and time that they were invented with.

    A broker keeps the order of each partition, so the n-th that came out is the n-th that went in.
    `seq` of what came out is the order in which the tap saw it.
    """
    place = pl.int_range(pl.len()).over(_PLACE)
    went_in = invented.select("seq", "received", *_PLACE, nth=place)
    came_out = crossed.sort("seq").with_columns(nth=place)
    joined = went_in.join(
        came_out.drop("seq", "received"),
        on=[*_PLACE, "nth"],
        nulls_equal=True,
        validate="1:1",
        maintain_order="left",
    )
    if not invented.height == crossed.height == joined.height:
        raise AssertionError(f"{invented.height} went in, {crossed.height} came out")
    return joined.select(*COLUMNS)


def sent_at(message: Message) -> datetime:
    """Return the time that a message is published with where a broker gives one to all."""
    sent = message.timestamp or message.received
    return sent.replace(microsecond=sent.microsecond // 1_000 * 1_000)


def _reader(profile: str) -> GatewayConfig:
    """Make a config that reads what the one in data/ reads, and drops it."""
    config = read_config(DATA / f"{profile}.yaml")
    sources = {
        name: {"from": [{"broker": each.broker, "channel": each.channel} for each in one.addresses]}
        for name, one in config.sources.items()
    }
    aliases = {each.broker for one in config.sources.values() for each in one.addresses}
    route = {"name": "all", "to": ["drop"]}
    router = {"source": list(sources), "match": "first", "routes": [route], "unmatched": "drop"}
    document = {
        "gateway_lab": 1,
        "name": config.name,
        "brokers": {alias: config.brokers[alias] for alias in sorted(aliases)},
        "sources": sources,
        "routers": {"all": router},
    }
    return parse_config(json.dumps(document))


async def _cross(invented: Capture, gateway: Gateway, servers: Mapping[str, Server]) -> None:
    """Publish messages, and run a gateway until it has settled them all."""
    messages = [message_of(row) for row in invented.frame.collect().iter_rows(named=True)]
    for alias, server in servers.items():
        if own := [each for each in messages if each.broker == alias]:
            await _PUBLISH[server.protocol](server, own)
    async with asyncio.timeout(LIMIT_S), gateway:
        while (source := gateway.stats().sources[0]).settled < len(messages):
            if source.state is State.RED:
                raise AssertionError(source.reason)
            await asyncio.sleep(0.05)


async def _to_kafka(server: Server, messages: list[Message]) -> None:
    await asyncio.to_thread(_produce, server, messages)


def _produce(server: Server, messages: list[Message]) -> None:
    """Publish to the partitions that the messages were invented for, as a producer may choose."""
    settings: Any = {"bootstrap.servers": f"127.0.0.1:{server.port}", "enable.idempotence": True}
    topics = {each.channel: 0 for each in messages}
    for each in messages:
        topics[each.channel] = max(topics[each.channel], int(each.partition or 0) + 1)
    kept: dict[str, str] = {"retention.ms": "-1"}  # the day they are of is long gone
    wanted = [NewTopic(name, count, 1, config=kept) for name, count in topics.items()]
    admin = AdminClient(settings)
    for made in admin.create_topics(wanted).values():
        made.result(LIMIT_S)
    producer = Producer(settings | {"queue.buffering.max.messages": len(messages) + 1})
    for each in messages:
        producer.produce(
            each.channel,
            each.body,
            each.key,
            partition=int(each.partition or 0),
            headers=list(each.headers),
            timestamp=int(sent_at(each).timestamp() * 1_000),
        )
    if producer.flush(LIMIT_S):
        raise AssertionError("Kafka did not take all messages")


async def _to_rabbitmq(server: Server, messages: list[Message]) -> None:
    sent = [_outgoing(each, each.timestamp) for each in messages]
    await _send(RabbitmqBroker("work", server.url), sent)


async def _to_nats(server: Server, messages: list[Message]) -> None:
    sent = [_outgoing(each, sent_at(each)) for each in messages]
    await _send(NatsBroker("edge", server.url), sent)


def _outgoing(message: Message, sent: datetime | None) -> Outgoing:
    return Outgoing(
        message.channel, message.key, message.headers, message.body, sent, str(message.seq)
    )


async def _send(broker: Broker, messages: list[Outgoing]) -> None:
    await broker.open()
    await broker.create([Place(each, is_read=True) for each in {m.channel for m in messages}])
    failures = await broker.sink().send(messages)
    await broker.close()
    if any(failures):
        raise AssertionError(f"not all were taken: {next(filter(None, failures))}")


async def _to_redis(server: Server, messages: list[Message]) -> None:
    """Publish with ids of our own, else they would be made of the time of day."""
    async with Redis.from_url(server.url) as redis, redis.pipeline(transaction=False) as pipeline:
        for each in messages:
            milliseconds = int(each.received.timestamp() * 1_000)
            pipeline.xadd(each.channel, _fields(each), id=f"{milliseconds}-{each.seq}")
        await pipeline.execute()


def _fields(message: Message) -> dict[Any, Any]:
    fields: dict[str, bytes] = {BODY_FIELD: message.body or b"", **dict(message.headers)}
    if message.key is not None:
        fields[KEY_HEADER] = message.key
    if message.timestamp is not None:
        fields[TIMESTAMP_HEADER] = write_time(message.timestamp).encode()
    return fields


_PUBLISH: Mapping[str, Callable[[Server, list[Message]], Awaitable[None]]] = MappingProxyType(
    {"kafka": _to_kafka, "rabbitmq": _to_rabbitmq, "nats": _to_nats, "redis": _to_redis}
)


if __name__ == "__main__":
    main()
