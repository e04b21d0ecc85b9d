from __future__ import annotations

import logging
import subprocess
import sys
from functools import partial
from typing import Any

import msgspec
import pytest
from faststream import BaseMiddleware

from gateway_lab.errors import ConfigError
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.handlers.middlewares import RequestId, RequestIdFilter, Timing
from gateway_lab.gateway.log_lines import line_of, request_id
from gateway_lab.messages.message import Message
from tests.gateway.shop import RECEIVED, SHOP, Shop, balances, header, order, settled, until

pytestmark = pytest.mark.anyio

TELEMETRY = type(
    "KafkaTelemetryMiddleware",
    (BaseMiddleware,),
    {"__module__": "faststream.kafka.opentelemetry.middleware"},
)
HANDLED = SHOP.replace("event: Order}", "event: Order, handler: {returns: Order}}")


def with_id(message: Message, value: bytes) -> Message:
    return msgspec.structs.replace(message, headers=(("X-Request-Id", value),))


class Noting(BaseMiddleware[Any, Any]):
    """Writes down each hook."""

    def __init__(self, msg: Any, /, *, context: Any, name: str, notes: list[str]) -> None:
        super().__init__(msg, context=context)
        self.name, self.notes = name, notes

    async def on_receive(self) -> None:
        self.notes.append(f"{self.name} receive")

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        self.notes.append(f"{self.name} consume")
        return await call_next(msg)

    async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
        self.notes.append(f"{self.name} publish {cmd.destination}")
        return await call_next(cmd)

    async def after_processed(self, exc_type: Any = None, *_: Any) -> bool:
        self.notes.append(f"{self.name} after {exc_type.__name__ if exc_type else None}")
        return False


def made(shop: Shop, *middlewares: Any) -> Gateway:
    return Gateway(shop.config, environ=shop.environ, middlewares=middlewares)


async def run(gateway: Gateway, number: int) -> Gateway:
    async with gateway:
        await until(settled(gateway, number))
    assert balances(gateway)
    return gateway


async def test_middlewares_stand_around_routing_without_a_handler() -> None:
    shop, notes = Shop(), list[str]()
    shop.publish([order(1)])
    chain = [partial(Noting, name=name, notes=notes) for name in ("outer", "inner")]
    await run(made(shop, *chain), 1)
    assert notes == [
        "outer receive",
        "inner receive",
        "outer consume",
        "inner consume",
        "outer publish small",
        "inner publish small",
        "inner after None",
        "outer after None",
    ]
    assert shop.numbers("there", "small") == [1]


async def test_each_try_of_a_handler_goes_through_the_chain() -> None:
    shop, notes = Shop(HANDLED), list[str]()
    gateway = made(shop, partial(Noting, name="one", notes=notes))

    @gateway.handler("orders")
    async def handle(event: dict[str, int]) -> dict[str, int]:
        if notes.count("one consume") == 1:
            raise RuntimeError
        return event

    shop.publish([order(1)])
    await run(gateway, 1)
    assert [each for each in notes if "after" in each] == [
        "one after RuntimeError",
        "one after None",
    ]
    assert shop.numbers("there", "small") == [1]


async def test_without_a_handler_all_kinds_of_messages_go_as_they_would() -> None:
    shop, plain = Shop(), Shop()
    messages = [
        order(1),
        order(100, tenant="a"),
        order(2, kind="waste"),
        order(3, kind="parked"),
        Message(body=None, received=RECEIVED),
        Message(body=b"{", received=RECEIVED),
    ]
    for each in (shop, plain):
        each.publish(messages)
    with_chain = await run(made(shop, Timing), 6)
    without = await run(plain.gateway(), 6)
    assert with_chain.stats().routers == without.stats().routers
    assert set(with_chain.stats().ways) == set(without.stats().ways)


async def test_a_request_id_travels_on_to_the_targets_and_into_logs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, seen = Shop(HANDLED), list[str]()
    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(RequestIdFilter())
    gateway = made(shop, RequestId, Timing)

    @gateway.handler("orders")
    async def handle(event: dict[str, int]) -> dict[str, int]:
        record = logging.LogRecord("gateway_lab.x", logging.INFO, "", 1, "hello", (), None)
        seen.append(line_of(record)["request_id"])
        return event

    shop.publish([with_id(order(1), b"abc-1")])
    await run(gateway, 1)
    (target,) = shop.fetch("there", "small")
    assert [each for each in target.headers if each[0].lower() == "x-request-id"] == [
        ("x-request-id", b"abc-1")
    ]
    assert seen == ["abc-1"]
    timed = [each for each in caplog.records if each.name == "gateway_lab.messages"]
    assert [each.request_id for each in timed] == ["abc-1"]  # type: ignore[attr-defined]
    assert timed[0].getMessage().endswith("s: done")
    assert request_id.get() == ""


async def test_a_request_id_is_in_the_lines_of_each_failure_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop(HANDLED.replace("initial: 1ms", "attempts: 2, initial: 1ms"))
    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(RequestIdFilter())
    gateway = made(shop, Timing, RequestId)

    @gateway.handler("orders")
    async def handle(n: int) -> dict[str, int]:
        if n == 1:
            raise RuntimeError
        return {"n": n}

    shop.publish([with_id(order(1, key="a"), b"bad"), with_id(order(2, key="a"), b"good")])
    await run(gateway, 2)
    told = [
        (each.request_id, each.getMessage().partition(" s: ")[2] or each.getMessage())  # type: ignore[attr-defined]
        for each in caplog.records
        if "took" in each.getMessage() or "failed" in each.getMessage()
    ]
    assert told == [
        ("bad", "failed: RuntimeError"),
        ("bad", "the handler handle failed, try 1 of 2"),
        ("bad", "failed: RuntimeError"),
        ("bad", "the handler handle failed, try 2 of 2"),
        ("good", "done"),
    ]


async def test_a_message_without_a_request_id_has_not_that_of_another() -> None:
    shop, seen = Shop(HANDLED), list[str]()
    gateway = made(shop)

    @gateway.handler("orders")
    async def handle(n: int) -> None:
        seen.append(request_id.get())
        request_id.set(str(n))

    shop.publish([order(1, key="a"), order(2, key="a")])
    await run(gateway, 2)
    assert seen == ["", ""]


@pytest.mark.parametrize("value", [None, b"", b"two\nlines", b"x" * 129, b"\xff"])
async def test_a_request_id_is_made_where_there_is_none_to_trust(value: bytes | None) -> None:
    shop = Shop()
    shop.publish([order(1) if value is None else with_id(order(1), value)])
    await run(made(shop, RequestId), 1)
    (target,) = shop.fetch("there", "small")
    given = header(target, "x-request-id")
    assert given
    assert len(given) == 36


async def test_headers_that_no_middleware_changed_stay_byte_for_byte() -> None:
    headers = (("binary", b"\xff\x00"), ("twice", b"1"), ("twice", b"2"))
    shop = Shop()
    shop.publish([msgspec.structs.replace(order(1), headers=headers)])
    await run(made(shop, RequestId), 1)
    (target,) = shop.fetch("there", "small")
    assert target.headers[:3] == headers


async def test_a_middleware_that_swallows_a_delivery_is_told_by_a_dead_letter() -> None:
    class Swallow(BaseMiddleware[Any, Any]):
        async def publish_scope(self, *_: Any) -> Any:
            return None

    shop = Shop()
    shop.publish([order(1)])
    await run(made(shop, Swallow), 1)
    assert "publish each delivery once" in str(header(shop.letters()[0], "x-gw-dlq-reason"))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (object(), "makes no middlewares"),
        (dict, "dict is no BaseMiddleware"),
        (TELEMETRY, "knows the messages of one broker alone"),
    ],
)
def test_what_is_no_middleware_is_refused(wrong: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        made(Shop(), wrong)


def test_without_handlers_and_middlewares_faststream_is_not_loaded() -> None:
    code = (
        "import sys, gateway_lab as gl; from tests.gateway.shop import Shop; Shop().gateway();"
        "print([name for name in sys.modules if name.startswith(('faststream', 'fast_depends'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
