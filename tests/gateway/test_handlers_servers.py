"""One handler on four real servers."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import pytest
from faststream import Context, Depends, StreamMessage
from pydantic import BaseModel

from gateway_lab.config.load import parse_config
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.middlewares import RequestId
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import KafkaServer, NatsServer, RabbitmqServer, RedisServer
from tests.gateway.shop import balances, header, until
from tests.live.clients import Fresh

pytestmark = [pytest.mark.anyio, pytest.mark.broker]

PROTOCOLS = ("kafka", "rabbitmq", "nats", "redis")
NAME = f"handlers-{os.getpid()}"
RING = "\n".join(
    [
        f"gateway_lab: 1\nname: {NAME}",
        "brokers: {kafka: kafka, rabbitmq: rabbitmq, nats: nats, redis: redis}",
        "events:\n  Order: {type: object, required: [n], properties: {n: {type: integer}}}",
        "sources:",
        *(
            f"  from_{p}: {{broker: {p}, channel: {NAME}-in, event: Order, "
            "handler: {returns: Order}}"
            for p in PROTOCOLS
        ),
        "targets:",
        *(f"  to_{p}: {{broker: {p}, channel: {NAME}-out}}" for p in PROTOCOLS),
        "routers:",
        *(
            f"  {p}:\n    source: from_{p}\n    match: all\n    unmatched: drop\n"
            f"    routes: [{{name: all, to: [to_{PROTOCOLS[n - 3]}]}}]"
            for n, p in enumerate(PROTOCOLS)
        ),
        "retry: {attempts: 3, initial: 1ms}",
        f"dead_letter: {{broker: kafka, channel: {NAME}-dead}}\n",
    ]
)


class Order(BaseModel):
    n: int


async def by() -> int:
    return 1_000


async def test_one_function_handles_sources_on_all_four_brokers(
    kafka_server: KafkaServer,
    rabbitmq_server: RabbitmqServer,
    nats_server: NatsServer,
    redis_server: RedisServer,
) -> None:
    servers = (kafka_server, rabbitmq_server, nats_server, redis_server)
    urls = {name: each.url for name, each in zip(PROTOCOLS, servers, strict=True)}
    clients = {name: Fresh(name, url) for name, url in urls.items()}
    environ = {f"GATEWAY_BROKER_{name.upper()}_URL": url for name, url in urls.items()}
    tries = Counter[tuple[str, int]]()
    gateway = Gateway(
        parse_config(RING), environ=environ, create_channels=True, middlewares=[RequestId]
    )

    @gateway.handler(*(f"from_{each}" for each in PROTOCOLS))
    async def add(
        order: Order,
        more: Annotated[int, Depends(by)],
        message: Annotated[StreamMessage[Message], Context("message")],
    ) -> Order:
        place = message.raw_message.broker, order.n
        tries[place] += 1
        if order.n == 13 or (order.n == 7 and tries[place] < 3):
            raise RuntimeError("no")
        return Order(n=order.n + more)

    async with gateway:
        await until(lambda: {str(each.state) for each in gateway.stats().sources} == {"running"})
        for client in clients.values():
            await client.publish(
                f"{NAME}-in",
                [
                    Message(
                        body=msgspec.json.encode({"n": n}),
                        key=b"%d" % (n % 3),
                        received=datetime.now(UTC),
                    )
                    for n in range(20)
                ],
            )
        await until(lambda: sum(each.settled for each in gateway.stats().sources) >= 80)
    assert balances(gateway)
    for client in clients.values():
        found = (await client.fetch([f"{NAME}-out"]))[f"{NAME}-out"]
        numbers = [msgspec.json.decode(each.body or b"")["n"] - 1_000 for each in found]
        assert sorted(numbers) == [n for n in range(20) if n != 13]
        of_one = [n for n in numbers if n % 3 == 1]
        assert of_one == sorted(of_one)
        assert all(header(each, "x-request-id") for each in found)
    letters = (await clients["kafka"].fetch([f"{NAME}-dead"]))[f"{NAME}-dead"]
    assert {header(each, "x-gw-dlq-attempts") for each in letters} == {"3"}
    assert {header(each, "x-gw-dlq-reason") for each in letters} == {"add: RuntimeError: no"}
    assert len(letters) == 4
