"""One handler on four real servers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
import pytest
from faststream import Context, Depends, StreamMessage
from pydantic import BaseModel

from gateway_lab.config.load import parse_config
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.handlers.middlewares import REQUEST_ID_HEADER, RequestId, RequestIdFilter
from gateway_lab.messages.message import Message
from gateway_lab.recording.redrive import Wish, redrive
from gateway_lab.testing.servers import RedisServer, Server
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


def _orders() -> list[Message]:
    return [
        Message(
            body=msgspec.json.encode({"n": n}),
            key=b"%d" % (n % 3),
            headers=((REQUEST_ID_HEADER, b"req-%d" % n),) if n % 5 else (),
            received=datetime.now(UTC),
        )
        for n in range(20)
    ]


def _has_its_id(n: int, message: Message) -> bool:
    """Say whether an id came along, or was made, since there was none."""
    id_ = header(message, REQUEST_ID_HEADER)
    return id_ == f"req-{n}" if n % 5 else bool(id_ and UUID(id_))


async def test_one_function_handles_sources_on_all_four_brokers(
    servers: Mapping[str, Server], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(RequestIdFilter())
    clients = {name: Fresh(name, each.url) for name, each in servers.items()}
    environ = {f"GATEWAY_BROKER_{name.upper()}_URL": each.url for name, each in servers.items()}
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
            await client.publish(f"{NAME}-in", _orders())
        await until(lambda: sum(each.settled for each in gateway.stats().sources) >= 80)
    assert balances(gateway)
    for client in clients.values():
        found = (await client.fetch([f"{NAME}-out"]))[f"{NAME}-out"]
        numbers = [msgspec.json.decode(each.body or b"")["n"] - 1_000 for each in found]
        assert sorted(numbers) == [n for n in range(20) if n != 13]
        of_one = [n for n in numbers if n % 3 == 1]
        assert of_one == sorted(of_one)
        assert all(map(_has_its_id, numbers, found))
    failed = [each for each in caplog.records if "the handler add failed" in each.getMessage()]
    assert Counter(each.__dict__["request_id"] for each in failed) == {"req-13": 12, "req-7": 8}
    letters = (await clients["kafka"].fetch([f"{NAME}-dead"]))[f"{NAME}-dead"]
    assert {header(each, "x-gw-dlq-attempts") for each in letters} == {"3"}
    assert {header(each, "x-gw-dlq-reason") for each in letters} == {"add: RuntimeError: no"}
    assert len(letters) == 4


AGAIN = f"{NAME}-again"
ONE = f"""
gateway_lab: 1
name: {AGAIN}
brokers: {{here: redis}}
events:
  Order: {{type: object, required: [n], properties: {{n: {{type: integer}}}}}}
sources:
  orders: {{broker: here, channel: {AGAIN}-in, event: Order, handler: {{returns: Order}}}}
targets:
  big: {{broker: here, channel: {AGAIN}-big}}
  small: {{broker: here, channel: {AGAIN}-small}}
routers:
  size:
    source: orders
    match: first
    routes: [{{name: big, when: n >= 100, to: [big]}}]
    unmatched: [small]
retry: {{attempts: 2, initial: 1ms}}
dead_letter: {{broker: here, channel: {AGAIN}-dead}}
"""


async def test_a_letter_of_a_handler_enters_again_at_the_handler_and_the_routers(
    redis_server: RedisServer,
) -> None:
    client = Fresh("redis", redis_server.url)
    environ = {"GATEWAY_BROKER_HERE_URL": redis_server.url}
    config = parse_config(ONE)
    gateway = Gateway(config, environ=environ, create_channels=True)
    is_away = [True]

    @gateway.handler("orders")
    async def raise_price(order: Order) -> Order:
        if is_away and order.n % 2:
            raise ConnectionError("the shop is away")
        return Order(n=order.n * 50)

    async def found(channel: str) -> list[int]:
        letters = (await client.fetch([f"{AGAIN}-{channel}"]))[f"{AGAIN}-{channel}"]
        return sorted(msgspec.json.decode(each.body or b"")["n"] for each in letters)

    async with gateway:
        await until(lambda: str(gateway.stats().sources[0].state) == "running")
        received = datetime.now(UTC)
        await client.publish(
            f"{AGAIN}-in", [Message(body=b'{"n":%d}' % n, received=received) for n in range(6)]
        )
        await until(lambda: gateway.stats().sources[0].settled >= 6)
        assert await found("dead") == [1, 3, 5]
        assert (await found("small"), await found("big")) == ([0], [100, 200])
        is_away.clear()
        past_it = await redrive(config, Wish(wait_s=2), environ)
        assert (past_it.delivered, await found("big")) == (0, [100, 200])  # it has a handler
        again = await redrive(config, Wish(to_source=True, wait_s=2), environ)
        assert again.delivered == 3
        await until(lambda: gateway.stats().sources[0].settled >= 9)
    assert (await found("small"), await found("big")) == ([0, 50], [100, 150, 200, 250])
    assert await found("dead") == [1, 3, 5]  # a stream keeps them; their group has read them
    done = await redrive(config, Wish(to_source=True, wait_s=2), environ)
    assert done.delivered == 0
