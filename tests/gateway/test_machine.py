"""Whatever fails, in whatever order: nothing is lost, invented, settled early or out of order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from gateway_lab.brokers.contract import Failure, Outgoing
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from tests.gateway.shop import (
    AMBIGUOUS,
    PERMANENT,
    RETRYABLE,
    SHOP,
    UNROUTABLE,
    Shop,
    faulty,
    header,
    n_of,
    number_of,
    order,
    until,
)

FAILURES = st.sampled_from([RETRYABLE, AMBIGUOUS, PERMANENT, UNROUTABLE])

TURNS = st.integers(0, 40)


async def turn(times: int) -> None:
    """Let everything that is ready go on, so many times."""
    for _ in range(times):
        await asyncio.sleep(0)


class Delivering(RuleBasedStateMachine):
    """One source with two targets and dead letters; a broker fails, stalls, cuts, or all dies."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.shop = Shop(SHOP.replace("n >= 100", "n < 0"))
        self.comes_again = False
        self.refused: set[int] = set()
        self.published: dict[int, str] = {}
        self.faulty = faulty(pytest.MonkeyPatch())
        self.faults = self.faulty.__enter__()
        self.faults.on_settle = self.check_settled
        self.gateway: Gateway
        self.run(self.start())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    async def start(self) -> None:
        self.gateway = await self.shop.gateway().__aenter__()

    def everything(self) -> list[Message]:
        shop = self.shop
        return shop.fetch("there", "small") + shop.fetch("here", "tenant.a") + shop.letters()

    def check_settled(self, settled: list[Message]) -> None:
        small = set(self.shop.numbers("there", "small"))
        tenant = set(self.shop.numbers("here", "tenant.a"))
        letters = {
            (number_of(each), header(each, "x-gw-dlq-target")) for each in self.shop.letters()
        }
        for n in map(number_of, settled):
            assert n in small or (n, "small") in letters
            assert n % 2 or n in tenant or (n, "tenant") in letters

    # --- what happens ---

    @rule(keys=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=20), turns=TURNS)
    def publish(self, keys: list[str], turns: int) -> None:
        start = len(self.published)
        numbers = dict(enumerate(keys, start))
        self.published |= numbers
        self.shop.publish(
            order(n, key=key, **({} if n % 2 else {"tenant": "a"})) for n, key in numbers.items()
        )
        self.run(turn(turns))

    @rule(alias=st.sampled_from(["here", "there"]), failure=FAILURES, every=st.integers(1, 3))
    def fail(self, alias: str, failure: Failure, every: int) -> None:
        def judge(outgoing: Outgoing) -> Failure | None:
            if self.faults.sends % every:
                return None
            if failure in {PERMANENT, UNROUTABLE}:
                self.refused.add(n_of(outgoing))
            return failure

        self.faults.judge[alias] = judge

    @rule()
    def heal(self) -> None:
        self.faults.judge.clear()
        self.faults.stalled.clear()

    @rule(failure=st.sampled_from([None, RETRYABLE, AMBIGUOUS]))
    def fail_letters(self, failure: Failure | None) -> None:
        self.faults.judge["letters"] = lambda _: failure

    @rule(alias=st.sampled_from(["here", "there", "letters"]))
    def stall(self, alias: str) -> None:
        self.faults.stalled ^= {alias}

    @rule(turns=TURNS)
    def go_on(self, turns: int) -> None:
        self.run(turn(turns))

    @rule()
    def cut(self) -> None:
        self.comes_again = True
        self.shop.server("here").cut_connections()

    @rule()
    def die(self) -> None:
        async def kill() -> None:
            for task in self.gateway._running.values():
                task.cancel()
            await self.gateway.stop()
            await self.start()

        self.run(kill())

    @precondition(lambda self: not self.faults.stalled)
    @rule()
    def stop_and_start(self) -> None:
        async def again() -> None:
            self.faults.judge.clear()
            await self.gateway.stop()
            await self.start()

        self.run(again())

    # --- and in the end ---

    def teardown(self) -> None:
        self.faults.judge.clear()
        self.faults.stalled.clear()
        try:
            self.run(self.come_to_rest())
            self.check()
        finally:
            self.faulty.__exit__(None, None, None)
            self.loop.close()

    async def come_to_rest(self) -> None:
        await until(
            lambda: {each.state for each in self.gateway.stats().sources} == {State.RUNNING}
        )
        self.published[len(self.published)] = "z"
        self.shop.publish([order(len(self.published) - 1, key="z", tenant="a")])
        await until(lambda: {*self.published} <= {number_of(each) for each in self.everything()})
        await self.gateway.stop()
        assert self.comes_again or await self.shop.left() == []

    def check(self) -> None:
        shop, evens = (
            self.shop,
            {n for n, key in self.published.items() if n % 2 == 0 or key == "z"},
        )
        letters = defaultdict(set)
        for each in shop.letters():
            letters[header(each, "x-gw-dlq-target")].add(number_of(each))
        assert {*shop.numbers("there", "small")} | letters["small"] == {*self.published}
        assert {*shop.numbers("here", "tenant.a")} | letters["tenant"] == evens
        ids = {(number_of(each), header(each, "x-gw-id")) for each in self.everything()}
        assert len(ids) == len(self.published)
        for channel in (shop.numbers("there", "small"), shop.numbers("here", "tenant.a")):
            self.check_order(list(dict.fromkeys(channel)))

    def check_order(self, firsts: list[int]) -> None:
        """What was refused for good is overtaken, also when it comes again and then succeeds."""
        for key in set(self.published.values()):
            mine = [n for n in firsts if self.published[n] == key and n not in self.refused]
            assert mine == sorted(mine)


TestDelivering = Delivering.TestCase
