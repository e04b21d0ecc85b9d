"""Handlers that hang, and handlers that block the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway_lab.gateway.counters import State
from gateway_lab.gateway.handlers import lanes as handler_lanes
from gateway_lab.gateway.handlers.pool import HandlerPool
from tests.gateway.shop import header, order, settled, until
from tests.gateway.test_handlers import HANDLED, HandledShop, Order, run, why

pytestmark = pytest.mark.anyio

TWICE = HANDLED.replace("initial: 1ms", "attempts: 2, initial: 1ms")
LIMIT_S = 60


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler_lanes, "GRACE_S", 0.05)


class Deaf:
    """Waits for ever, whoever cancels it, until it is released."""

    def __init__(self) -> None:
        self.is_released = False
        self._wake = asyncio.Event()

    async def wait(self) -> None:
        while not self.is_released:
            try:
                await self._wake.wait()
            except asyncio.CancelledError:
                continue

    def release(self) -> None:
        self.is_released = True
        self._wake.set()


async def test_a_plain_function_that_hangs_fails_its_try_and_holds_its_thread_alone() -> None:
    shop, end = HandledShop(TWICE), threading.Event()

    @shop.made.handler("orders", timeout=0.05)
    def stuck(event: Order) -> Order:
        if event.n == 1:
            end.wait(LIMIT_S)
        return event

    shop.publish([order(n, key=f"k{n}") for n in range(5)])
    try:
        await run(shop, 5)
    finally:
        end.set()
    (letter,) = shop.letters()
    assert why(letter) == ("handler", "stuck: it hangs: no end within 0.05 s")
    assert sorted(shop.numbers("there", "small")) == [0, 2, 3, 4]


async def test_when_all_threads_hang_the_source_is_red_and_says_in_which_handlers() -> None:
    shop, end = HandledShop(), threading.Event()
    shop.made.handlers.__dict__["_pool"] = HandlerPool(2)

    @shop.made.handler("orders", timeout=0.05)
    def stuck() -> None:
        end.wait(LIMIT_S)

    shop.publish([order(n, key=f"k{n}") for n in range(4)])
    try:
        async with shop.gateway() as gateway:
            await until(lambda: gateway.stats().sources[0].state is State.RED)
            assert gateway.stats().sources[0].reason == (
                "source orders: all 2 threads for plain functions hang, in stuck (2)\n"
                "hint: give what they wait for a limit, and start the gateway again"
            )
    finally:
        end.set()
    assert len(await shop.left()) == 4


async def test_a_plain_function_that_waits_for_a_thread_does_not_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, running, looks = HandledShop(), list[int](), list[int]()
    pool, release = HandlerPool(1), threading.Event()
    shop.made.handlers.__dict__["_pool"] = pool
    look = handler_lanes.HandlerLanes._look

    def counted(self: handler_lanes.HandlerLanes) -> None:
        looks.append(1)
        look(self)

    monkeypatch.setattr(handler_lanes.HandlerLanes, "_look", counted)

    @shop.made.handler("orders", timeout=0.4)
    def pay(event: Order) -> Order:
        running.append(event.n)
        return event

    taken = asyncio.create_task(pool.run("another", lambda: release.wait(LIMIT_S)))
    shop.publish([order(n, key=f"k{n}") for n in range(4)])
    async with shop.gateway() as gateway:
        await until(lambda: len(looks) > 8)  # twice as long as a try may take
        assert (running, gateway.stats().sources[0].retried) == ([], 0)
        release.set()
        await until(settled(gateway, 4))
    await taken
    assert sorted(shop.numbers("there", "small")) == [0, 1, 2, 3]


async def test_a_handler_that_swallows_its_cancellation_is_left_and_its_key_goes_on() -> None:
    shop, deaf = HandledShop(TWICE), Deaf()

    @shop.made.handler("orders", timeout=0.02)
    async def deafly(event: Order) -> Order:
        if event.n == 1:
            await deaf.wait()
        return event

    shop.publish([order(n, key="a") for n in range(4)])
    await run(shop, 4)
    (letter,) = shop.letters()
    assert why(letter)[1] == ("deafly: it hangs: no end within 0.02 s, and it cannot be cancelled")
    assert header(letter, "x-gw-dlq-attempts") == "2"
    assert shop.numbers("there", "small") == [0, 2, 3]
    deaf.release()


async def test_when_too_many_cannot_be_cancelled_the_source_is_red(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handler_lanes, "HANDLERS_AT_ONCE", 2)
    shop, deaf = HandledShop(), Deaf()

    @shop.made.handler("orders", timeout=0.02)
    async def deafly() -> None:
        await deaf.wait()

    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await until(lambda: gateway.stats().sources[0].state is State.RED)
        told = "source orders: 2 handlers hang, and cannot be cancelled: deafly (2)"
        assert gateway.stats().sources[0].reason.startswith(told)
    assert len(await shop.left()) == 1
    deaf.release()


async def test_what_a_handler_returns_when_its_time_is_long_over_is_not_delivered() -> None:
    shop, deaf = HandledShop(HANDLED.replace("initial: 1ms", "attempts: 1, initial: 1ms")), Deaf()
    ended = asyncio.Event()

    @shop.made.handler("orders", timeout=0.02)
    async def deafly(event: Order) -> Order:
        await deaf.wait()
        ended.set()
        return event

    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 1))
        deaf.release()
        await ended.wait()
    assert len(shop.letters()) == 1
    assert shop.numbers("there", "small") == []


async def test_a_handler_that_blocks_the_event_loop_is_named_with_the_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, found = HandledShop(), list[int]()

    def block() -> None:
        end, before = time.monotonic() + LIMIT_S, blocked()
        while blocked() == before and time.monotonic() < end:
            time.sleep(0.01)
        found.append(blocked() - before)

    def blocked() -> int:
        return shop.made.stats().sources[0].blocked

    @shop.made.handler("orders")
    async def busy(event: Order) -> Order:
        block()
        return event

    shop.publish([order(1, key="a"), order(2, key="a")])
    await run(shop, 2)
    assert found == [1, 1]
    (told,) = [each for each in caplog.records if "blocks the event loop" in each.getMessage()]
    assert told.getMessage() == (
        "the handler busy blocks the event loop: nothing else moves; await what it waits for, or "
        "write it as a plain function"
    )
    reason = str(told.__dict__["reason"])
    assert reason.startswith(f"block ({__file__}:")
    assert reason.split(" < ")[1].startswith(f"busy ({__file__}:")
    assert told.__dict__["source"] == "orders"


DEAF = """
import asyncio, sys, threading, time
from tests.gateway.shop import order, until
from tests.gateway.test_handlers import HandledShop
import gateway_lab.gateway.handlers.lanes as lanes
lanes.GRACE_S = 0.1

async def main():
    shop, started = HandledShop(), []

    if sys.argv[1] == "deaf":
        @shop.made.handler("orders")
        async def deafly():
            started.append(1)
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass
    else:
        @shop.made.handler("orders")
        def stuck():
            started.append(1)
            threading.Event().wait()

    shop.publish([order(1)])
    gateway = shop.gateway()
    await gateway.start()
    await until(lambda: started)
    await gateway.stop(now=True)
    print(gateway.stats().sources[0].state)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["deaf", "plain"])
def test_a_process_ends_although_a_handler_does_not(kind: str) -> None:
    command = [sys.executable, "-c", DEAF, kind]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, cwd=Path.cwd(), check=True
    )
    assert ended.stdout == "stopped\n"
