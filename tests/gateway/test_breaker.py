"""A source whose handler fails for too many messages stops, and keeps what it did not take."""

from __future__ import annotations

import pytest
from faststream.exceptions import RejectMessage

from gateway_lab.gateway.counters import State
from gateway_lab.gateway.handlers.breaker import LEAST, LOOKED_AT, PART, Breaker
from tests.gateway.shop import number_of, order, until
from tests.gateway.test_handlers import HANDLED, HandledShop, Order, run

pytestmark = pytest.mark.anyio

ONCE = HANDLED.replace("initial: 1ms", "attempts: 1, initial: 1ms")


async def test_a_handler_that_always_fails_stops_its_source_and_no_other() -> None:
    shop = HandledShop(ONCE)

    @shop.made.handler("orders")
    async def pay(_: Order) -> Order:
        raise ConnectionError("no bank")

    @shop.made.handler("more")
    async def keep(event: Order) -> Order:
        return event

    shop.publish([order(n) for n in range(1_000)])
    async with shop.gateway() as gateway:
        failing, other = gateway.stats().sources
        assert (failing.source, other.source) == ("orders", "more")
        await until(lambda: gateway.stats().sources[0].state is State.RED)
        reason = gateway.stats().sources[0].reason
        assert "its handler failed for 100 of the last 100 messages" in reason
        assert "start the gateway again" in reason
        shop.server("there").publish("more", [order(1)])
        await until(lambda: gateway.stats().sources[1].settled == 1)
    condemned, left = ({*map(number_of, each)} for each in (shop.letters(), await shop.left()))
    assert len(condemned) <= LEAST
    assert condemned | left == {*range(1_000)}


async def test_what_a_handler_rejects_by_its_own_wish_is_no_failure() -> None:
    shop = HandledShop(ONCE)

    @shop.made.handler("orders")
    async def pay(_: Order) -> Order:
        raise RejectMessage

    shop.publish([order(n) for n in range(3 * LEAST)])
    await run(shop, 3 * LEAST)
    assert len(shop.letters()) == 3 * LEAST


def test_a_few_failures_stop_nothing() -> None:
    breaker = Breaker()
    assert {breaker.failed() for _ in range(LEAST - 1)} == {None}
    assert breaker.failed()


def test_a_fifth_may_fail_and_no_more() -> None:
    breaker = Breaker()
    for _ in range(LOOKED_AT):
        breaker.passed()
    assert {breaker.failed() for _ in range(LOOKED_AT // PART)} == {None}
    assert breaker.failed() == "its handler failed for 201 of the last 1,000 messages"


def test_what_was_long_ago_does_not_count() -> None:
    breaker = Breaker()
    for _ in range(LEAST - 1):
        breaker.failed()
    for _ in range(LOOKED_AT):
        breaker.passed()
    assert {breaker.failed() for _ in range(LOOKED_AT // PART)} == {None}
