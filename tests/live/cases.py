"""One case of a failpoint: a gateway is killed at one place, another one finishes its work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from gateway_lab.testing.server_process import Server
from tests.live.books import Books
from tests.live.failpoints import FAILPOINTS, OF_KAFKA, exists
from tests.live.ledger import Bounds, Verdict
from tests.live.script import MIXED, Script
from tests.live.stage import Stage

PROTOCOLS: Final = ("kafka", "rabbitmq", "nats", "redis")


@dataclass(frozen=True, slots=True)
class Case:
    """A failpoint between two brokers, by their protocols."""

    failpoint: str
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.failpoint} {self.source}-{self.target}"


def all_cases() -> list[Case]:
    """Return every case that there is: 104, since only Kafka commits and rebalances."""
    every = product(FAILPOINTS, PROTOCOLS, PROTOCOLS)
    return [Case(*each) for each in every if exists(each[0], each[1])]


def chosen_cases() -> list[Case]:
    """Return 32 that have every failpoint with each source, with each target, and all pairs."""
    return list(_choose())


def _choose() -> Iterator[Case]:
    number = 0
    for failpoint in FAILPOINTS:
        if failpoint in OF_KAFKA:
            yield from (Case(failpoint, "kafka", target) for target in PROTOCOLS)
            continue
        for at, source in enumerate(PROTOCOLS):
            yield Case(failpoint, source, PROTOCOLS[(at + number) % 4])
        number += 1


def play(case: Case, source: Server, target: Server, folder: Path, *, count: int) -> Verdict:
    """Kill a gateway at the failpoint, let another finish, and judge."""
    stage = Stage(folder, source, target, Script(seed=count, count=count, mix=MIXED))
    stage.publish()
    books = _killed(case, stage, count)
    return stage.judge(bounds_of(case.source, case.target, books[0]), books)


def _killed(case: Case, stage: Stage, count: int) -> list[Books]:
    """Return the books of all gateways, the killed one first."""
    at = {"mid_fanout": count // 14, "during_dead_letter": count // 14}
    options = (
        f"--failpoint={case.failpoint}",
        f"--at={at.get(case.failpoint, count * 2 // 5)}",
        f"--chunk={count // 10}",
    )
    with stage.gateway(*options) as first:
        if case.failpoint != "during_rebalance":
            killed = first.wait_for("killed")
            first.finish()
            return [Books(**killed["books"]), *stage.finish()]
        first.wait_for("holding")
        with stage.gateway("--member=other") as second:
            killed = first.wait_for("killed")
            first.finish()
            return [Books(**killed["books"]), stage.stop(second), *stage.finish()]


def bounds_of(source: str, target: str, *killed: Books) -> Bounds:
    """Say what is allowed after kills, from what was under way then.

    What was not settled comes again, with at most two deliveries each. On Kafka so does what was
    settled since the last commit, a second before at most: in a case as short as this, all.
    """
    again = sum(each.read if source == "kafka" else each.read - each.settled for each in killed)
    return Bounds(
        duplicates=2 * again,
        keeps_order=source == "kafka",
        one_id=source != "rabbitmq",
        deduplicates=target == "nats",
    )
