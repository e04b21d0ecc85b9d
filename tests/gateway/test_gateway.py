from __future__ import annotations

import asyncio
import gc

import pytest

from gateway_lab.brokers.contract import Batch, BrokerError, Source
from gateway_lab.brokers.wrapped import WrappedSource
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ConfigError
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from tests.gateway.shop import (
    CONFIGURATION,
    RECEIVED,
    SHOP,
    TWO,
    Shop,
    balances,
    faulty,
    header,
    order,
    settled,
    until,
)

pytestmark = pytest.mark.anyio


def state(gateway: Gateway, source: str = "orders") -> State:
    return next(each.state for each in gateway.stats().sources if each.source == source)


def reason(gateway: Gateway, source: str = "orders") -> str:
    return next(each.reason for each in gateway.stats().sources if each.source == source)


async def test_messages_go_where_the_config_says() -> None:
    shop = Shop()
    shop.publish([order(1), order(100), order(2, kind="waste"), order(3, tenant="a")])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 4))
    assert sorted(shop.numbers("there", "small")) == [1, 3]
    assert shop.numbers("there", "big") == [100]
    assert shop.numbers("here", "tenant.a") == [3]
    assert await shop.left() == []


async def test_the_books_balance_and_have_the_names_of_a_replay() -> None:
    shop = Shop()
    invalid = Message(body=b"{", received=RECEIVED)
    shop.publish([order(1), order(2, kind="waste"), order(3, kind="parked"), invalid])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 4))
    stats = gateway.stats()
    size, tenants = stats.routers
    assert (size.messages, size.matched, size.unmatched, size.invalid) == (4, 2, 1, 1)
    assert (tenants.messages, tenants.matched, tenants.unmatched, tenants.invalid) == (4, 0, 3, 1)
    ways = {(way.router, way.route, way.target): way for way in stats.ways}
    assert ways["size", None, "small"].delivered == 1
    assert ways["size", "waste", "drop"].dropped == 1
    assert ways["size", "parked", "dead_letter"].dead_lettered == 1
    assert ways[None, None, "dead_letter"].dead_lettered == 1
    assert ways["tenants", None, "drop"].dropped == 3
    assert balances(gateway)


async def test_what_is_delivered_says_which_message_and_route_it_comes_from() -> None:
    shop = Shop()
    shop.publish([order(100, tenant="a"), order(101, tenant="a")])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 2))
    big, tenant = shop.fetch("there", "big"), shop.fetch("here", "tenant.a")
    ids = {header(each, "x-gw-id") for each in big}
    assert len(ids) == 2
    assert {header(each, "x-gw-id") for each in tenant} == ids
    assert {header(each, "x-gw-route") for each in big} == {"size/big"}
    assert {header(each, "x-gw-route") for each in tenant} == {"tenants/tenant"}


async def test_a_source_waits_until_every_broker_that_it_needs_is_there() -> None:
    shop = Shop()
    shop.server("there").stop()
    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await until(lambda: state(gateway) is State.WAITING)
        shop.server("there").start()
        await until(settled(gateway, 1))
    assert shop.numbers("there", "small") == [1]


async def test_a_source_goes_on_while_another_waits_for_its_broker() -> None:
    shop = Shop(TWO)
    shop.server("other").create(["others", "kept"])
    shop.server("letters").create(["dead.others"])
    shop.server("there").stop()
    shop.server("other").publish("others", [order(7)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 1))
        assert state(gateway, "orders") is State.WAITING
        assert state(gateway, "others") is State.RUNNING
    assert state(gateway, "orders") is State.STOPPED
    assert shop.numbers("other", "kept") == [7]


async def test_a_source_that_stops_red_leaves_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(TWO)
    shop.server("other").create(["others", "kept"])
    shop.server("letters").create(["dead.others"])
    shop.publish([order(1)])
    with faulty(monkeypatch) as faults:
        faults.judge["there"] = lambda _: CONFIGURATION
        async with shop.gateway() as gateway:
            await until(lambda: state(gateway, "orders") is State.RED)
            shop.server("other").publish("others", [order(7)])
            await until(settled(gateway, 1))
    assert reason(gateway, "orders") == "no permission"
    assert shop.numbers("other", "kept") == [7]
    assert [each.body for each in await shop.left()] == [b'{"n":1}']


async def test_missing_channels_are_named_before_anything_is_read() -> None:
    shop = Shop()
    shop.server("there").delete("big")
    shop.server("letters").delete("dead.orders")
    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await gateway.wait()
    assert state(gateway) is State.RED
    assert "there is no channel big on there, dead.orders on letters" in reason(gateway)
    assert "--create-channels" in reason(gateway)
    assert len(await shop.left()) == 1


async def test_missing_channels_are_created_when_asked_for() -> None:
    shop = Shop()
    shop.server("here").delete("orders")
    shop.server("there").delete("big")
    shop.server("letters").delete("dead.orders")
    async with shop.gateway(create_channels=True) as gateway:
        await until(lambda: state(gateway) is State.RUNNING)
        shop.publish([order(100)])
        await until(settled(gateway, 1))
    assert shop.numbers("there", "big") == [100]


async def test_a_source_that_no_router_reads_is_left_alone() -> None:
    text = SHOP.replace("source: orders", "source: others").replace(
        "targets:\n", "  others: {broker: here, channel: tenant.a, event: Order}\ntargets:\n"
    )
    shop = Shop(text)
    shop.server("letters").create(["dead.others"])
    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await until(lambda: state(gateway, "others") is State.RUNNING)
        assert state(gateway, "orders") is State.IDLE
    assert len(await shop.left()) == 1


async def test_a_clean_stop_finishes_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    with faulty(monkeypatch) as faults:
        faults.stalled.add("there")
        async with shop.gateway() as gateway:
            shop.publish([order(n) for n in range(50)])
            await until(lambda: gateway.stats().sources[0].read == 50)
            stopping = asyncio.create_task(gateway.stop())
            await asyncio.sleep(0)
            faults.stalled.clear()
            await stopping
    assert sorted(shop.numbers("there", "small")) == list(range(50))
    assert await shop.left() == []
    assert balances(gateway)


async def test_a_stop_in_a_hurry_gives_back_what_is_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    with faulty(monkeypatch) as faults:
        faults.stalled.add("there")
        async with shop.gateway() as gateway:
            shop.publish([order(n) for n in range(50)])
            await until(lambda: gateway.stats().sources[0].read == 50)
            stopping = asyncio.create_task(gateway.stop())
            await asyncio.sleep(0)
            await gateway.stop(now=True)
            await stopping
    assert state(gateway) is State.STOPPED
    assert len(await shop.left()) == 50
    assert gateway.stats().sources[0].given_back == 50
    assert balances(gateway)


async def test_no_task_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = asyncio.all_tasks()
    shop = Shop()
    with faulty(monkeypatch) as faults:
        faults.stalled.add("there")
        async with shop.gateway() as gateway:
            shop.publish([order(1), order(2, kind="parked")])
            await until(lambda: gateway.stats().sources[0].read == 2)
            await gateway.stop(now=True)
    gc.collect()
    assert asyncio.all_tasks() == before


async def test_two_gateways_each_get_all_messages_of_a_channel() -> None:
    shop = Shop()
    other = Gateway(shop.config.with_parts(name="other"), environ=shop.environ)
    shop.publish([order(1)])
    async with shop.gateway() as gateway, other:
        await until(settled(gateway, 1))
        await until(settled(other, 1))
    assert shop.numbers("there", "small") == [1, 1]


class Tap(WrappedSource):
    """Notes what is read."""

    def __init__(self, source: Source, tapped: list[Message]) -> None:
        super().__init__(source)
        self._tapped = tapped

    async def read(self, limit: int) -> Batch:
        batch = await super().read(limit)
        self._tapped += batch.messages
        return batch


async def test_what_wraps_a_source_is_read_in_its_place() -> None:
    shop = Shop()
    tapped: dict[str, list[Message]] = {}

    def wrap(name: str, source: Source) -> Source:
        return Tap(source, tapped.setdefault(name, []))

    shop.publish([order(1), order(2)])
    async with Gateway(shop.config, environ=shop.environ, wrap=wrap) as gateway:
        await until(settled(gateway, 2))
    assert [each.body for each in tapped["orders"]] == [b'{"n":1}', b'{"n":2}']
    assert await shop.left() == []


async def test_a_source_that_ends_by_what_is_no_exception_is_red_all_the_same() -> None:
    class Fatal(BaseException):
        pass

    class Broken(WrappedSource):
        async def read(self, limit: int) -> Batch:
            raise Fatal(limit)

    shop = Shop()

    def wrap(_: str, source: Source) -> Source:
        return Broken(source)

    async with Gateway(shop.config, environ=shop.environ, wrap=wrap) as gateway:
        await until(lambda: gateway.stats().sources[0].state is State.RED)
    assert gateway.stats().sources[0].reason.startswith("a defect of gateway_lab: Fatal in read")


async def test_an_address_that_is_not_set_is_told_at_once() -> None:
    config = parse_config(SHOP.replace("there: memory", "there: kafka"))
    with pytest.raises(BrokerError, match="GATEWAY_BROKER_THERE_URL is not set"):
        async with Gateway(config, environ={}):
            pass


def test_a_config_with_an_error_is_refused() -> None:
    with pytest.raises(ConfigError, match="the gateway cannot run, the config has errors"):
        Gateway(parse_config(SHOP.replace("to: [big]", "to: [bgi]")))
