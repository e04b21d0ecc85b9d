from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import pytest
from faststream import Context, Depends, Header, Logger, StreamMessage
from faststream.exceptions import AckMessage, NackMessage, RejectMessage
from pydantic import BaseModel, field_validator

from gateway_lab.config.load import parse_config
from gateway_lab.errors import ConfigError, GatewayLabError
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.recording.redrive import Wish, redrive
from tests.gateway.shop import (
    RECEIVED,
    SHOP,
    Shop,
    balances,
    header,
    number_of,
    order,
    settled,
    until,
)

pytestmark = pytest.mark.anyio

HANDLED = SHOP.replace(
    "event: Order}\n",
    "event: Order, handler: {returns: Order}}\n"
    "  more: {broker: there, channel: more, event: Order, handler: {returns: Order}}\n",
).replace("source: orders", "source: [orders, more]")


class Order(BaseModel):
    n: int
    kind: str = "none"

    @field_validator("n")
    @classmethod
    def _is_small(cls, n: int) -> int:
        if n > 1_000:
            raise ValueError("too many")
        return n


class HandledShop(Shop):
    """A shop with handlers on `orders` and `more`, that do nothing unless a test registers them."""

    def __init__(self, text: str = HANDLED) -> None:
        super().__init__(text)
        self.server("there").create(["more"])
        self.server("letters").create(["dead.more"])
        self.made = super().gateway()

    def gateway(self, *, create_channels: bool = False) -> Gateway:
        del create_channels
        for source in self.config.sources.keys() - self.made.handlers.sources:
            self.made.handler(source)(_nothing)
        return self.made


async def _nothing() -> None:
    return None


def why(letter: Message) -> tuple[str | None, str | None]:
    return header(letter, "x-gw-dlq-class"), header(letter, "x-gw-dlq-reason")


async def run(shop: HandledShop, number: int) -> Gateway:
    async with shop.gateway() as gateway:
        await until(settled(gateway, number))
    assert balances(gateway)
    assert await shop.left() == []
    return gateway


async def test_one_function_handles_sources_on_several_brokers() -> None:
    shop = HandledShop()
    seen: list[tuple[str, int]] = []

    @shop.made.handler("orders", "more")
    async def double(
        event: Order, message: Annotated[StreamMessage[Message], Context("message")]
    ) -> Order:
        seen.append((message.raw_message.broker, event.n))
        return Order(n=event.n * 2)

    shop.publish([order(1), order(50)])
    shop.server("there").publish("more", [order(2)])
    await run(shop, 3)
    assert sorted(seen) == [("here", 1), ("here", 50), ("there", 2)]
    assert sorted(shop.numbers("there", "small")) == [2, 4]
    assert shop.numbers("there", "big") == [100]


async def test_a_plain_function_runs_in_a_thread_of_the_pool() -> None:
    shop = HandledShop()
    threads: list[str] = []

    @shop.made.handler("orders")
    def handle(event: dict[str, Any]) -> dict[str, Any]:
        threads.append(threading.current_thread().name)
        return {**event, "n": event["n"] + 1}

    shop.publish([order(1)])
    await run(shop, 1)
    assert shop.numbers("there", "small") == [2]
    assert threads[0].startswith("gateway-lab-handler")


async def test_fields_of_the_event_are_arguments_by_name() -> None:
    shop = HandledShop()

    @shop.made.handler("orders")
    async def handle(n: int, kind: str = "none") -> dict[str, Any]:
        return {"n": n, "kind": kind}

    shop.publish([order(1), order(2, kind="waste")])
    await run(shop, 2)
    assert [each.body for each in shop.fetch("there", "small")] == [b'{"n":1,"kind":"none"}']


async def test_what_a_function_depends_on_is_made_once_a_message_and_cleaned_up() -> None:
    shop = HandledShop()
    made: list[str] = []

    async def session() -> AsyncIterator[str]:
        made.append("open")
        yield "session"
        made.append("close")

    def plain() -> int:
        return 10

    async def service(
        session: Annotated[str, Depends(session)], by: Annotated[int, Depends(plain)]
    ) -> tuple[str, int]:
        return session, by

    @shop.made.handler("orders")
    async def handle(
        event: Order,
        session: Annotated[str, Depends(session)],
        service: Annotated[tuple[str, int], Depends(service)],
    ) -> Order:
        made.append("handle")
        assert service[0] == session
        return Order(n=event.n * service[1])

    shop.publish([order(3)])
    await run(shop, 1)
    assert made == ["open", "handle", "close"]
    assert shop.numbers("there", "small") == [30]


async def test_a_test_overrides_a_dependency() -> None:
    shop = HandledShop()

    async def real() -> int:
        raise AssertionError

    async def fake() -> int:
        return 7

    @shop.made.handler("orders")
    async def handle(n: Annotated[int, Depends(real)]) -> dict[str, int]:
        return {"n": n}

    shop.made.dependencies.override(real, fake)
    shop.publish([order(1)])
    await run(shop, 1)
    assert shop.numbers("there", "small") == [7]


async def test_context_header_and_logger_are_given(caplog: pytest.LogCaptureFixture) -> None:
    shop = HandledShop()
    caplog.set_level(logging.INFO)

    @shop.made.handler("orders")
    async def handle(
        event: Order,
        logger: Logger,
        kind: Annotated[str, Header("x-kind")],
        other: Annotated[str, Header("x-other", default="none")],
    ) -> Order:
        logger.info("%s %s", kind, other)
        return event

    message = msgspec.structs.replace(order(1), headers=(("x-kind", b"new"),))
    shop.publish([message])
    await run(shop, 1)
    assert ("gateway_lab.handlers.handle", "new none") in [
        (each.name, each.getMessage()) for each in caplog.records
    ]


async def test_messages_of_one_key_are_handled_in_order_and_others_at_once() -> None:
    shop = HandledShop()
    gate, seen, under_way = asyncio.Event(), [], set()

    @shop.made.handler("orders")
    async def handle(
        event: Order, message: Annotated[StreamMessage[Message], Context("message")]
    ) -> Order:
        key = message.raw_message.key
        assert key not in under_way
        under_way.add(key)
        if len(under_way) > 2:
            gate.set()
        await gate.wait()
        under_way.discard(key)
        seen.append((key, event.n))
        return event

    shop.publish([order(n, key=f"k{n % 8}") for n in range(80)])
    await run(shop, 80)
    for key in {key for key, _ in seen}:
        numbers = [n for k, n in seen if k == key]
        assert numbers == sorted(numbers)
    big_and_small = [*shop.fetch("there", "small"), *shop.fetch("there", "big")]
    of_one = [number_of(each) for each in big_and_small if each.key == b"k3"]
    assert of_one == sorted(of_one)


async def test_a_handler_that_fails_is_tried_again_while_others_go_on() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms, max: 5ms", "attempts: 3, initial: 5ms"))
    tries: list[int] = []

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        tries.append(event.n)
        if event.n == 1 and tries.count(1) < 3:
            raise RuntimeError("the payment service is away")
        return event

    shop.publish([order(1, key="a"), order(2, key="b"), order(3, key="a"), order(4, key="a")])
    gateway = await run(shop, 4)
    assert tries.count(1) == 3
    assert tries.index(2) < len(tries) - 1 - tries[::-1].index(1)
    assert [n for n in shop.numbers("there", "small") if n != 2] == [1, 3, 4]
    assert gateway.stats().sources[0].retried == 2


async def test_after_the_last_try_there_is_a_dead_letter_with_their_number() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms", "attempts: 4, initial: 1ms"))

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        raise RuntimeError(f"amount {event.n}")

    shop.publish([order(5)])
    await run(shop, 1)
    (letter,) = shop.letters()
    assert why(letter) == ("handler", "pay: RuntimeError: amount 5")
    assert header(letter, "x-gw-dlq-attempts") == "4"
    assert letter.body == b'{"n":5}'


async def test_what_faststream_s_exceptions_ask_is_done() -> None:
    shop = HandledShop()
    tries: list[int] = []

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order | None:
        tries.append(event.n)
        if event.n == 1:
            raise AckMessage
        if event.n == 2 and tries.count(2) == 1:
            raise NackMessage(delay=0.001)
        if event.n == 3:
            raise RejectMessage
        return None if event.n == 4 else event

    shop.publish([order(n) for n in (1, 2, 3, 4)])
    gateway = await run(shop, 4)
    assert shop.numbers("there", "small") == [2]
    assert [why(each) for each in shop.letters()] == [
        ("handler", "handle: it rejected the message")
    ]
    assert header(shop.letters()[0], "x-gw-dlq-attempts") == "1"
    drops = [each for each in gateway.stats().ways if each.target == "drop" and not each.router]
    assert [each.dropped for each in drops] == [2]


async def test_a_wrong_return_value_is_a_dead_letter_at_once() -> None:
    shop = HandledShop()
    wrong: list[Any] = [{"n": "many"}, 5, {"n": object()}]

    @shop.made.handler("orders")
    async def handle(event: Order) -> Any:
        return wrong[event.n]

    shop.publish([order(n) for n in range(3)])
    await run(shop, 3)
    reasons = {number_of(each): why(each) for each in shop.letters()}
    assert {of_class for of_class, _ in reasons.values()} == {"handler"}
    assert [reasons[n][1] for n in range(3)] == [
        "handle: it returned no Order: n: expected integer, got string",
        "handle: it returned no Order: expected object, got integer",
        "handle: JSON cannot hold this dict: there is a value of type object in it",
    ]


async def test_an_invalid_event_never_gets_to_a_handler() -> None:
    shop = HandledShop()
    seen: list[int] = []

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        seen.append(event.n)
        return event

    shop.publish([Message(body=b'{"n":"x"}', received=RECEIVED), order(2_000)])
    gateway = await run(shop, 2)
    assert seen == []
    assert sorted(map(why, shop.letters()), key=str) == [
        ("invalid", "n: Value error, too many"),
        ("invalid", "n: expected integer, got string"),
    ]
    assert gateway.stats().routers[0].invalid == 2


async def test_what_a_handler_sends_belongs_to_its_message() -> None:
    shop = HandledShop()
    tries: list[int] = []

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order | None:
        tries.append(event.n)
        await shop.made.send("big", {"n": event.n + 1})
        await shop.made.send("big", Order(n=event.n + 2))
        if len(tries) == 1:
            raise RuntimeError
        return None

    shop.publish([order(1)])
    gateway = await run(shop, 1)
    assert shop.numbers("there", "big") == [2, 3]
    assert {header(each, "x-gw-route") for each in shop.fetch("there", "big")} == {"send", "send-2"}
    ways = {(way.route, way.target): way.delivered for way in gateway.stats().ways}
    assert ways == {("send", "big"): 1, ("send-2", "big"): 1}


async def test_nothing_is_sent_outside_a_handler_or_to_a_target_that_no_router_names() -> None:
    shop = HandledShop()
    with pytest.raises(GatewayLabError, match="no message that this could belong to"):
        await shop.made.send("big", {})

    @shop.made.handler("orders")
    async def handle() -> None:
        await shop.made.send("bigg", {})

    shop.publish([order(1)])
    await run(shop, 1)
    assert "names a target 'bigg'" in str(why(shop.letters()[0])[1])


async def test_a_handler_that_does_not_end_is_tried_again_and_named() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms", "attempts: 2, initial: 1ms"))

    @shop.made.handler("orders", timeout=0.01)
    async def stuck() -> None:
        await asyncio.Event().wait()

    shop.publish([order(1)])
    await run(shop, 1)
    assert why(shop.letters()[0]) == (
        "handler",
        "stuck: it hangs: no end within 0.01 s",
    )
    assert header(shop.letters()[0], "x-gw-dlq-attempts") == "2"


async def test_an_error_in_a_cleanup_fails_the_try() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms", "attempts: 1, initial: 1ms"))

    async def session() -> AsyncIterator[int]:
        yield 1
        raise OSError("cannot close")

    @shop.made.handler("orders")
    async def handle(event: Order, _: Annotated[int, Depends(session)]) -> Order:
        return event

    shop.publish([order(1)])
    await run(shop, 1)
    assert why(shop.letters()[0]) == ("handler", "handle: OSError: cannot close")
    assert shop.numbers("there", "small") == []


async def test_what_waits_for_its_next_try_comes_again_after_a_stop() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms, max: 5ms", "initial: 1h, max: 1h"))

    @shop.made.handler("orders")
    async def handle() -> None:
        raise RuntimeError

    shop.publish([order(1)])
    gateway = shop.gateway()
    await gateway.start()
    await until(lambda: gateway.stats().sources[0].retried)
    await gateway.stop(now=True)
    assert [each.body for each in await shop.left()] == [b'{"n":1}']


def test_an_unknown_source_is_refused_by_name() -> None:
    shop = HandledShop()
    with pytest.raises(ConfigError, match="no source 'oders'") as refused:
        shop.made.handler("oders")
    assert refused.value.hint == "did you mean 'orders'?"


def test_what_is_no_function_is_refused() -> None:
    shop = HandledShop()

    async def many() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigError, match="many yields"):
        shop.made.handler("orders")(many)
    with pytest.raises(ConfigError, match="is no function"):
        shop.made.handler("orders")(Order)
    with pytest.raises(ConfigError, match="names no source"):
        shop.made.handler()


def test_a_source_has_one_handler() -> None:
    shop = HandledShop()
    shop.made.handler("orders")(_nothing)
    with pytest.raises(ConfigError, match="orders has a handler already"):
        shop.made.handler("orders")


async def test_declared_and_registered_handlers_must_agree() -> None:
    shop = HandledShop()
    with pytest.raises(ConfigError, match="no function is registered for the handler of more, ord"):
        await shop.made.start()
    plain = Gateway(parse_config(SHOP), environ=shop.environ)
    plain.handler("orders")(_nothing)
    with pytest.raises(ConfigError, match="registered for orders, which declares no handler"):
        await plain.start()


async def test_a_letter_is_handled_again_when_it_is_sent_back_to_its_source() -> None:
    shop, is_away = HandledShop(HANDLED.replace("initial: 1ms", "attempts: 1, initial: 1ms")), [1]

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        if is_away:
            raise RuntimeError("away")
        return Order(n=event.n * 100)

    shop.publish([order(5)])
    async with shop.gateway() as gateway:
        await until(shop.letters)
        is_away.clear()
        past_it = await redrive(shop.config, Wish(wait_s=0.2), shop.environ)
        assert (past_it.delivered, past_it.dropped) == (0, 0)
        assert "has a handler" in str(past_it.piles)
        again = await redrive(shop.config, Wish(to_source=True, wait_s=0.2), shop.environ)
        assert again.delivered == 1
        await until(settled(gateway, 2))
    assert shop.numbers("there", "big") == [500]


async def test_what_was_read_is_handled_and_routed_by_the_config_that_it_was_read_under() -> None:
    shop, gate, started = HandledShop(), asyncio.Event(), asyncio.Event()

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        started.set()
        await gate.wait()
        return event

    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await started.wait()
        await gateway.reload(
            parse_config(HANDLED.replace("unmatched: [small]", "unmatched: [big]"))
        )
        shop.publish([order(2)])
        gate.set()
        await until(settled(gateway, 2))
    assert shop.numbers("there", "small") == [1]
    assert shop.numbers("there", "big") == [2]


async def test_a_dependency_reads_headers_too() -> None:
    shop = HandledShop()

    async def tenant(name: Annotated[str, Header("x-tenant")]) -> str:
        return name.upper()

    @shop.made.handler("orders")
    async def handle(n: int, name: Annotated[str, Depends(tenant)]) -> dict[str, Any]:
        return {"n": n, "kind": name}

    shop.publish([msgspec.structs.replace(order(1), headers=(("x-tenant", b"acme"),))])
    await run(shop, 1)
    assert [each.body for each in shop.fetch("there", "small")] == [b'{"n":1,"kind":"ACME"}']
