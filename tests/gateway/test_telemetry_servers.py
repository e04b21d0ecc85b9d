"""One trace from Kafka through RabbitMQ and NATS to Redis, on real servers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import pytest

from gateway_lab.config.load import parse_config
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import Server
from tests.gateway.shop import balances, header, until
from tests.gateway.spans import PARENT, SAMPLED, TRACE, Seen, id_of, parent_of, told, trace_of
from tests.live.clients import Fresh

pytestmark = [pytest.mark.anyio, pytest.mark.broker]

CHAIN = ("kafka", "rabbitmq", "nats", "redis")
NAME = f"telemetry-{os.getpid()}"
CONFIG = "\n".join(
    [
        f"gateway_lab: 1\nname: {NAME}",
        "brokers: {kafka: kafka, rabbitmq: rabbitmq, nats: nats, redis: redis}",
        "events:\n  Order: {type: object, required: [n], properties: {n: {type: integer}}}",
        "sources:",
        *(f"  from_{each}: {{broker: {each}, channel: {NAME}, event: Order}}" for each in CHAIN),
        "targets:",
        *(f"  to_{each}: {{broker: {each}, channel: {NAME}}}" for each in CHAIN[1:]),
        f"  end: {{broker: redis, channel: {NAME}-end}}",
        "routers:",
        *(
            f"  {each}:\n    source: from_{each}\n    match: all\n    unmatched: drop\n"
            f"    routes: [{{name: on, to: [{target}]}}]"
            for each, target in zip(CHAIN, [*(f"to_{e}" for e in CHAIN[1:]), "end"], strict=True)
        ),
        f"dead_letter: {{broker: kafka, channel: {NAME}-dead}}\n",
    ]
)


def path_to(name: str, seen: Seen) -> list[str]:
    """The spans from that of a name back to the first, which follows the message's own trace."""
    parents = {id_of(each): parent_of(each) for each in seen.spans}
    at, path = id_of(seen.one(name)), []
    while at in parents:
        path.append(at)
        at = parents[at]
    assert at == PARENT
    return path


async def test_a_trace_goes_on_from_broker_to_broker(servers: Mapping[str, Server]) -> None:
    urls = {name: each.url for name, each in servers.items()}
    environ = {f"GATEWAY_BROKER_{name.upper()}_URL": url for name, url in urls.items()}
    seen = Seen()
    gateway = Gateway(parse_config(CONFIG), environ=environ, create_channels=True)
    gateway.telemetry = seen.telemetry
    async with gateway:
        await until(lambda: {str(each.state) for each in gateway.stats().sources} == {"running"})
        headers = (SAMPLED, ("tracestate", b"shop=1"))
        bodies = (msgspec.json.encode({"n": 1}), b'{"n": "x"}')
        await Fresh("kafka", urls["kafka"]).publish(
            NAME,
            [
                Message(body=body, key=b"k", headers=headers, received=datetime.now(UTC))
                for body in bodies
            ],
        )
        await until(lambda: sum(each.settled for each in gateway.stats().sources) >= 5)
    assert balances(gateway)
    assert {trace_of(each) for each in seen.spans} == {TRACE}
    path = path_to(f"send {NAME}-end", seen)
    systems = {id_of(each): told(each)["messaging.system"] for each in seen.spans}
    assert [systems[each] for each in path] == [
        *("redis", "redis", "redis", "nats", "nats", "rabbitmq", "rabbitmq", "kafka")
    ]
    [offset] = {
        told(each)["messaging.kafka.offset"]
        for each in seen.named(f"process {NAME}")
        if id_of(each) == path[-1]
    }
    assert offset in {0, 1}
    redis, kafka = Fresh("redis", urls["redis"]), Fresh("kafka", urls["kafka"])
    [arrived] = (await redis.fetch([f"{NAME}-end"]))[f"{NAME}-end"]
    assert header(arrived, "traceparent") == f"00-{TRACE}-{path[0]}-01"
    assert header(arrived, "tracestate") == "shop=1"
    [letter] = (await kafka.fetch([f"{NAME}-dead"]))[f"{NAME}-dead"]
    assert header(letter, "traceparent") == (
        f"00-{TRACE}-{id_of(seen.one(f'send {NAME}-dead'))}-01"
    )
