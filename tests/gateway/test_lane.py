"""Order within a lane: what is refused inside a pipeline is overtaken, unless order is strict."""

from __future__ import annotations

from itertools import count

import pytest

from gateway_lab.brokers.contract import Failure, Outgoing
from tests.gateway.shop import (
    RETRYABLE,
    SHOP,
    FaultySink,
    Shop,
    faulty,
    n_of,
    order,
    settled,
    until,
)

RABBITMQ = SHOP.replace("there: memory", "there: rabbitmq")
STRICT = RABBITMQ.replace("channel: big", "channel: big, options: {order: strict}")


def refuse_the_first_tries(*numbers: int) -> object:
    tries = {number: count() for number in numbers}

    def judge(outgoing: Outgoing) -> Failure | None:
        of_it = tries.get(n_of(outgoing))
        return RETRYABLE if of_it and next(of_it) == 0 else None

    return judge


@pytest.mark.anyio
async def test_a_sink_that_keeps_order_by_itself_gets_all_of_a_key_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FaultySink, "sends_at_once", 16)
    shop = Shop(STRICT)
    with faulty(monkeypatch) as faults:
        shop.publish(order(n, key="a") for n in range(100, 150))
        async with shop.gateway() as gateway:
            await until(settled(gateway, 50))
    assert faults.sends == 1
    assert shop.numbers("there", "big") == list(range(100, 150))


async def arrived(
    text: str, monkeypatch: pytest.MonkeyPatch, *refused: int
) -> tuple[list[int], int]:
    """Return what arrived of three messages when some are refused once, and how many were late."""
    shop = Shop(text)
    with faulty(monkeypatch) as faults:
        faults.judge["there"] = refuse_the_first_tries(*refused)  # type: ignore[assignment]
        shop.publish([order(n, key="a") for n in (100, 101, 102)])
        async with shop.gateway() as gateway:
            await until(settled(gateway, 3))
            [overtaken] = [each.overtaken for each in gateway.stats().sources]
    return shop.numbers("there", "big"), overtaken


@pytest.mark.anyio
async def test_a_message_refused_inside_a_pipeline_is_overtaken_and_that_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await arrived(RABBITMQ, monkeypatch, 100) == ([101, 102, 100], 1)


@pytest.mark.anyio
async def test_one_that_passes_overtakes_all_of_its_key_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await arrived(RABBITMQ, monkeypatch, 100, 101) == ([102, 100, 101], 2)


@pytest.mark.anyio
async def test_with_strict_order_nothing_of_its_key_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await arrived(STRICT, monkeypatch, 100) == ([100, 101, 102], 0)


@pytest.mark.anyio
async def test_strict_order_delivers_each_message_of_one_key_in_turn() -> None:
    shop = Shop(STRICT)
    shop.publish(order(n, key="a") for n in range(100, 150))
    async with shop.gateway() as gateway:
        await until(settled(gateway, 50))
    assert shop.numbers("there", "big") == list(range(100, 150))
