"""Channels whose names messages choose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

import pytest

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing, Place
from gateway_lab.brokers.memory.broker import MemoryBroker, MemorySink
from gateway_lab.gateway import lane
from gateway_lab.gateway.gateway import Gateway
from tests.gateway.shop import SHOP, Shop, faulty, header, number_of, order, settled, until

pytestmark = pytest.mark.anyio

BACK = SHOP.replace("max_channels: 3", "max_channels: 2")


async def test_a_channel_that_a_message_names_is_created_when_it_is_first_met() -> None:
    shop = Shop()
    async with shop.gateway(create_channels=True) as gateway:
        shop.publish([order(n, key="k", tenant="new") for n in range(20)])
        await until(settled(gateway, 20))
        shop.publish([order(20, key="k", tenant="new")])
        await until(settled(gateway, 21))
    assert shop.numbers("here", "tenant.new") == list(range(21))
    assert shop.letters() == []


async def test_none_is_created_unasked() -> None:
    shop = Shop()
    async with shop.gateway() as gateway:
        shop.publish([order(1, tenant="new")])
        await until(settled(gateway, 1))
    assert "tenant.new" not in shop.server("here").channels
    [letter] = shop.letters()
    assert header(letter, "x-gw-dlq-class") == "unroutable"


async def test_no_more_are_created_than_a_target_may_write_to() -> None:
    shop = Shop(BACK)
    async with shop.gateway(create_channels=True) as gateway:
        shop.publish([order(n, tenant=f"t{n}") for n in range(4)])
        await until(settled(gateway, 4))
    created = [each for each in shop.server("here").channels if each.startswith("tenant.t")]
    assert sorted(created) == ["tenant.t0", "tenant.t1"]
    assert [number_of(each) for each in shop.letters()] == [2, 3]


async def test_what_was_under_way_when_a_channel_was_created_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, created, sends = Shop(), asyncio.Event(), count()
    send, create = MemorySink.send, MemoryBroker.create

    async def answer_late(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
        number, answers = next(sends), await send(self, batch)
        if number == 1:
            await created.wait()
        return answers

    async def note(self: MemoryBroker, places: Sequence[Place]) -> None:
        await create(self, places)
        if any(place.channel == "tenant.new" for place in places):
            created.set()

    monkeypatch.setattr(lane, "SEND_LIMIT", 1)
    monkeypatch.setattr(MemorySink, "sends_at_once", 2)
    monkeypatch.setattr(MemorySink, "send", answer_late)
    monkeypatch.setattr(MemoryBroker, "create", note)
    shop.publish([order(n, tenant="new") for n in range(2)])
    config = shop.config.edit_router("size", enabled=False)
    async with Gateway(config, environ=shop.environ, create_channels=True) as gateway:
        await until(settled(gateway, 2))
    assert sorted(shop.numbers("here", "tenant.new")) == [0, 1]
    assert shop.letters() == []


async def test_a_lane_has_a_bound_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "MAX_CREATED", 1)
    shop = Shop()
    async with shop.gateway(create_channels=True) as gateway:
        for n in range(2):
            shop.publish([order(n, tenant=f"t{n}")])
            await until(settled(gateway, n + 1))
    assert [number_of(each) for each in shop.letters()] == [1]


async def test_a_channel_that_cannot_be_created_is_a_dead_letter_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()

    async def refuse(_: MemoryBroker, places: list[Place]) -> None:
        if any(place.channel == "tenant.new" for place in places):
            raise BrokerError(Failure(FailureClass.CONFIGURATION, "no permission to create"))

    with faulty(monkeypatch):
        monkeypatch.setattr(MemoryBroker, "create", refuse)
        async with shop.gateway(create_channels=True) as gateway:
            shop.publish([order(1, tenant="new"), order(2, tenant="a")])
            await until(settled(gateway, 2))
    assert [number_of(each) for each in shop.letters()] == [1]
    assert shop.numbers("here", "tenant.a") == [2]
    assert "a channel cannot be created on broker here" in caplog.text
