from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway_lab.brokers.contract import Batch, Handle
from gateway_lab.brokers.memory.broker import MemoryBroker
from gateway_lab.config.plan import AddressPlan
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.handlers.careful import ENDS
from tests.gateway.shop import Shop, balances, faulty, header, number_of, order, settled, until
from tests.gateway.test_handlers import HANDLED, HandledShop, Order, run, why

pytestmark = pytest.mark.anyio


async def die(shop: Shop, times: int = 1) -> None:
    """Read everything and end without settling, as a process does that dies."""
    for _ in range(times):
        await shop.left()


async def die_at(shop: Shop, alias: str, channel: str, times: int) -> None:
    """The same, of a source on another broker."""
    url = shop.environ[f"GATEWAY_BROKER_{alias.upper()}_URL"]
    address = AddressPlan(broker=alias, protocol="memory", channel=channel, pattern=None)
    for _ in range(times):
        broker = MemoryBroker(alias, url, gateway=shop.config.name)
        source = await broker.source(channel, [address], None)
        while source._take(1_000):
            pass
        await broker.close()


class Keeping:
    """A source that keeps starts, as Kafka's does; the notes outlast it."""

    def __init__(self, source: Any, notes: dict[object, list[int]]) -> None:
        self._source, self._notes = source, notes
        self.calls: list[str] = []
        self.settle, self.give_back, self.close = source.settle, source.give_back, source.close
        self.lost = 0

    @property
    def starts(self) -> Keeping:
        return self

    async def read(self, limit: int) -> Batch:
        batch = await self._source.read(limit)
        ends = [self._notes.get(each[2], [0, 0])[0] for each in batch.handles]
        return Batch(batch.messages, batch.handles, ends)

    def guard(self) -> None:
        self.calls.append("guard")

    async def begin(self, handles: Any) -> None:
        for each in handles:
            self._notes[each[2]][0] += 1
        self.calls.append(f"begin {len(handles)}")

    def failed(self, handle: Any, tries: int) -> None:
        self._notes[handle[2]] = [1, tries]

    def failures(self, handle: Handle) -> int:
        assert isinstance(handle, tuple)
        return self._notes.get(handle[2], [0, 0])[1]


class Noted(HandledShop):
    """A shop whose source `orders` keeps starts: offset to how often it ended, and failed."""

    def __init__(self, notes: dict[object, list[int]], text: str = HANDLED) -> None:
        super().__init__(text)
        self.notes, self.keeping = notes, list[Keeping]()

        def wrap(name: str, source: Any) -> Any:
            if name != "orders":
                return source
            self.keeping.append(Keeping(source, notes))
            return self.keeping[-1]

        self.made = Gateway(self.config, environ=self.environ, wrap=wrap)


@pytest.mark.parametrize(("ends", "together"), [(1, 64), (2, 16), (3, 4), (4, 1), (5, 1)])
async def test_the_more_often_it_was_delivered_the_fewer_run_beside_it(
    ends: int, together: int
) -> None:
    shop, under_way, most = HandledShop(), set[int](), list[int]()

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        under_way.add(event.n)
        most.append(len(under_way))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        under_way.discard(event.n)
        return event

    shop.publish([order(n, key=f"k{n}") for n in range(40)])
    await die(shop, ends)
    await run(shop, 40)
    assert max(most) <= together
    assert len(most) == 40 - len(shop.letters())


async def test_where_starts_are_kept_what_was_begun_at_two_ends_runs_alone() -> None:
    shop = Noted({n: [2, 0] for n in range(5)})
    under_way, seen = set[int](), list[int]()

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        assert not under_way
        under_way.add(event.n)
        await asyncio.sleep(0)
        under_way.discard(event.n)
        seen.append(event.n)
        return event

    shop.publish([order(n, key="a") for n in range(5)])
    await run(shop, 5)
    assert seen == [0, 1, 2, 3, 4]
    assert shop.keeping[0].calls == ["guard", *["begin 1"] * 5]


async def test_what_was_under_way_at_one_end_runs_in_groups_and_not_beside_what_is_new() -> None:
    shop, gate, under_way = HandledShop(), asyncio.Event(), set[int]()

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        under_way.add(event.n)
        await gate.wait()
        under_way.discard(event.n)
        return event

    shop.publish([order(n) for n in range(70)])
    await die(shop)
    async with shop.gateway() as gateway:
        await until(lambda: len(under_way) > 2)
        shop.publish([order(500)])
        assert 500 not in under_way
        assert len(under_way) < 65  # those of the next group wait
        gate.set()
        await until(settled(gateway, 71))


async def test_after_five_ends_the_first_is_a_dead_letter_and_the_others_are_tried() -> None:
    shop = HandledShop()

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        return event

    shop.publish([order(n) for n in range(3)])
    await die(shop, ENDS)
    await run(shop, 3)
    (letter,) = shop.letters()
    assert why(letter) == (
        "handler",
        "crashed_process: pay may have been at work on it when a process died, 5 times",
    )
    assert header(letter, "x-gw-dlq-attempts") == "5"
    assert sorted([number_of(letter), *shop.numbers("there", "small")]) == [0, 1, 2]


async def test_where_starts_are_kept_only_what_was_begun_is_counted() -> None:
    shop = Noted({0: [5, 0], 1: [4, 1], 2: [1, 0], 3: [5, 0]})
    seen: list[int] = []

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        seen.append(event.n)
        return event

    shop.publish([order(n, key="a") for n in range(5)])
    await run(shop, 5)
    assert seen == [1, 2, 4]
    assert shop.keeping[0].calls == ["guard", "begin 1", "begin 1"]
    assert shop.notes[1][0] == 5
    assert [why(each)[1] for each in shop.letters()] == [
        "crashed_process: pay was at work on it when a process died, 5 times"
    ] * 2


async def test_tries_of_earlier_processes_count_where_they_are_known() -> None:
    text = HANDLED.replace("initial: 1ms", "attempts: 4, initial: 1ms")
    shop = Noted({0: [1, 2], 1: [3, 1]}, text)
    tries: list[int] = []

    @shop.made.handler("orders")
    async def pay(event: Order) -> None:
        tries.append(event.n)
        raise RuntimeError("no")

    shop.publish([order(n, key="a") for n in range(3)])
    await run(shop, 3)
    assert [tries.count(n) for n in range(3)] == [2, 1, 4]
    assert [header(each, "x-gw-dlq-attempts") for each in shop.letters()] == ["4"] * 3
    assert {header(each, "x-gw-dlq-attempts-at-most") for each in shop.letters()} == {None}
    assert shop.notes[0] == [1, 3]  # it failed by itself: it has ended no process


async def test_tries_of_earlier_processes_are_told_as_at_most_where_only_deliveries_count() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms", "attempts: 3, initial: 1ms"))

    @shop.made.handler("orders")
    async def pay() -> None:
        raise RuntimeError("no")

    shop.publish([order(1)])
    await die(shop, 2)
    await run(shop, 1)
    (letter,) = shop.letters()
    assert header(letter, "x-gw-dlq-attempts") == "3"
    assert header(letter, "x-gw-dlq-attempts-at-most") == "9"


async def test_what_waits_for_its_next_try_holds_up_nothing_that_runs_apart() -> None:
    shop = HandledShop(HANDLED.replace("initial: 1ms, max: 5ms", "initial: 1h, max: 1h"))
    seen: list[int] = []

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        seen.append(event.n)
        if event.n == 0:
            raise RuntimeError("no")
        return event

    shop.publish([order(n) for n in range(4)])
    await die(shop, 3)
    gateway = shop.gateway()
    await gateway.start()
    await until(settled(gateway, 3))
    assert sorted(seen) == [0, 1, 2, 3]
    await gateway.stop(now=True)


async def test_a_stop_gives_back_what_still_waits_to_run_apart() -> None:
    shop, started = HandledShop(), asyncio.Event()

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        started.set()
        await asyncio.Event().wait()
        return event

    shop.publish([order(n) for n in range(3)])
    await die(shop, 2)
    gateway = shop.gateway()
    await gateway.start()
    await started.wait()
    await gateway.stop(now=True)
    assert balances(gateway)
    assert len(await shop.left()) == 3


async def test_what_a_stop_ends_has_ended_no_process() -> None:
    shop, started = Noted({0: [4, 1]}), asyncio.Event()

    @shop.made.handler("orders")
    async def pay(event: Order) -> Order:
        started.set()
        await asyncio.Event().wait()
        return event

    shop.publish([order(0)])
    gateway = shop.gateway()
    await gateway.start()
    await started.wait()
    assert shop.notes[0] == [5, 1]
    await gateway.stop(now=True)
    assert shop.notes[0] == [1, 5]  # 1 try failed, 3 were begun at ends, and this one


async def test_a_source_whose_target_stands_still_holds_up_no_other_that_runs_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with faulty(monkeypatch) as faults:
        shop, seen = HandledShop(), list[int]()

        @shop.made.handler("orders")
        async def pay(event: Order) -> Order:
            seen.append(event.n)
            return event

        @shop.made.handler("more")
        async def forget(event: Order) -> None:
            seen.append(event.n)

        shop.publish([order(1)])
        shop.server("there").publish("more", [order(2), order(3)])
        await die(shop, 2)
        await die_at(shop, "there", "more", 2)
        faults.stalled = {"there"}
        async with shop.gateway() as gateway:
            await until(settled(gateway, 2))
            assert sorted(seen) == [1, 2, 3]
            faults.stalled.clear()
            await until(settled(gateway, 3))


async def test_what_is_new_waits_for_nothing_that_comes_behind_it() -> None:
    shop = Noted({n: [n % 2, 0] for n in range(64)})
    seen: list[int] = []

    @shop.made.handler("orders")
    async def handle(event: Order) -> Order:
        seen.append(event.n)
        return event

    shop.publish([order(n, key="a") for n in range(64)])
    await run(shop, 64)
    assert seen == list(range(64))
    assert shop.keeping[0].calls == ["guard", *["begin 1"] * 32]
