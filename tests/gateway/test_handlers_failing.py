"""How handlers fail, in the words that a user reads; and that nobody else waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest
from faststream import Context, Depends, StreamMessage
from faststream.exceptions import NackMessage

from gateway_lab.errors import ConfigError
from gateway_lab.messages.message import Message
from tests.gateway.shop import number_of, order, settled, until
from tests.gateway.test_handlers import HANDLED, HandledShop, Order, run, why

pytestmark = pytest.mark.anyio

TWICE = HANDLED.replace("initial: 1ms", "attempts: 2, initial: 1ms")
ONCE = HANDLED.replace("initial: 1ms", "attempts: 1, initial: 1ms")
SLOWLY = HANDLED.replace("initial: 1ms, max: 5ms", "initial: 1h, max: 1h")


async def test_a_dependency_that_raises_fails_the_try_before_the_function_begins() -> None:
    shop, seen = HandledShop(ONCE), list[int]()

    async def session() -> int:
        raise ConnectionError("no database at all")

    @shop.made.handler("orders")
    async def pay(event: Order, _: Annotated[int, Depends(session)]) -> Order:
        seen.append(event.n)
        return event

    shop.publish([order(1)])
    await run(shop, 1)
    assert [why(each) for each in shop.letters()] == [
        ("handler", "pay: ConnectionError: no database at all")
    ]
    assert seen == []


async def test_a_dependency_is_cleaned_up_although_the_function_has_failed() -> None:
    shop, told = HandledShop(ONCE), list[str]()

    async def session() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            told.append("closed")

    @shop.made.handler("orders")
    async def pay(event: Order, _: Annotated[int, Depends(session)]) -> Order:
        raise ValueError(f"{event.n} is too much")

    shop.publish([order(1)])
    await run(shop, 1)
    assert [why(each)[1] for each in shop.letters()] == ["pay: ValueError: 1 is too much"]
    assert told == ["closed"]


class Fatal(BaseException):
    """What is no Exception."""


async def _cancelled(event: Order) -> Order:
    task = asyncio.create_task(asyncio.sleep(event.n))
    task.cancel()
    await task
    return event


async def _fatal(event: Order) -> Order:
    raise Fatal(f"no more than {event.n}")


def _nothing_left(_: Order) -> Order:
    return next(iter(()))


async def _no_text(event: Order) -> Order:
    raise ValueError(f"{event.n}" + b"\xff".decode(errors="surrogateescape"))


async def _asks_strangely(_: Order) -> Order:
    raise NackMessage(delay=timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_cancelled, "_cancelled: it was cancelled, and not by the gateway"),
        (_fatal, "_fatal: Fatal: no more than 1"),
        (_nothing_left, "_nothing_left: RuntimeError: a plain function raised StopIteration"),
        (_no_text, r"_no_text: ValueError: 1\udcff"),
        (_asks_strangely, "_asks_strangely: it asked for another try"),
    ],
)
async def test_whatever_a_handler_raises_it_fails_its_try_and_the_source_goes_on(
    function: Callable[[Order], Order], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop = HandledShop(TWICE)
    shop.made.handler("orders")(function)
    shop.publish([order(1, key="k"), order(1, key="k"), order(1)])
    await run(shop, 3)
    assert [why(each) for each in shop.letters()] == [("handler", reason)] * 3
    assert not [each for each in caplog.records if "no more" in str(each.__dict__.get("reason"))]


async def test_the_log_says_where_it_was_raised_and_nothing_of_the_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = HandledShop(ONCE)

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        raise ValueError(f"secret {event.n}")

    shop.publish([order(77)])
    await run(shop, 1)
    (told,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert told.getMessage() == "the handler pay failed, try 1 of 1"
    assert str(told.__dict__["reason"]).startswith(f"ValueError in pay ({__file__}:")
    assert "77" not in str(told.__dict__["reason"]).partition(":")[0]


async def test_who_asks_for_another_try_until_there_is_none_says_so() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms", "attempts: 2, initial: 1ms"))

    @shop.made.handler("orders")
    async def pay(message: Annotated[StreamMessage[Message], Context("message")]) -> None:
        await message.nack()

    shop.publish([order(1)])
    await run(shop, 1)
    assert [why(each)[1] for each in shop.letters()] == ["pay: it asked for another try"]


async def test_a_message_is_rejected_by_its_own_method() -> None:
    shop = HandledShop()

    @shop.made.handler("orders")
    async def pay(message: Annotated[StreamMessage[Message], Context("message")]) -> None:
        await message.reject()

    shop.publish([order(1)])
    await run(shop, 1)
    assert [why(each)[1] for each in shop.letters()] == ["pay: it rejected the message"]


async def test_an_acknowledged_message_is_settled_once_and_dropped() -> None:
    shop = HandledShop()

    @shop.made.handler("orders")
    async def pay(message: Annotated[StreamMessage[Message], Context("message")]) -> None:
        await message.ack()

    shop.publish([order(1)])
    gateway = await run(shop, 1)
    assert [each.dropped for each in gateway.stats().ways] == [1]
    assert shop.letters() == []


@pytest.mark.parametrize("asks", [True, False])
async def test_what_waits_for_its_next_try_holds_up_its_own_key_alone(*, asks: bool) -> None:
    shop = HandledShop(HANDLED if asks else SLOWLY)
    seen: list[int] = []

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        seen.append(event.n)
        if event.n == 0:
            raise NackMessage(delay=3_600) if asks else RuntimeError
        return event

    shop.publish([order(0, key="k0"), order(1, key="k0")])
    shop.publish([order(n, key=f"k{n}") for n in range(2, 300)])  # some share its lane
    gateway = shop.gateway()
    await gateway.start()
    await until(settled(gateway, 298))
    assert sorted(seen) == [0, *range(2, 300)]
    await gateway.stop(now=True)
    assert sorted(map(number_of, await shop.left())) == [0, 1]


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError) as refused:
        HandledShop().made.handler("orders", timeout=seconds)
    assert str(refused.value) == (
        f"a handler cannot have {seconds!r} seconds\n"
        "hint: say how many seconds one try may take, such as timeout=30"
    )


async def test_what_differs_between_config_and_program_is_said_with_what_to_do() -> None:
    shop = HandledShop()
    shop.made.handler("orders")(_nothing)
    with pytest.raises(ConfigError) as missing:
        await shop.made.start()
    assert str(missing.value) == (
        "no function is registered for the handler of more\n"
        "hint: register it, @gateway.handler('more'), and name its module to `gateway-lab run`: "
        "--app MODULE:GATEWAY"
    )
    with pytest.raises(ConfigError) as unknown:
        shop.made.handler("mores")
    assert str(unknown.value) == (
        "there is no source 'mores' to handle\nhint: did you mean 'more'?"
    )


def test_a_decorator_without_its_source_is_told() -> None:
    shop = HandledShop()
    for sources in ((), (_nothing,)):
        with pytest.raises(ConfigError) as refused:
            shop.made.handler(*sources)
        assert str(refused.value) == (
            'the handler names no source\nhint: @gateway.handler("users")'
        )


async def _nothing(event: dict[str, Any]) -> dict[str, Any]:
    return event
