"""How long a row waits for its commit: the batches of a capture, as a gateway would store them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl

from gateway_lab.batches.cost import StoreCost
from gateway_lab.batches.window import GRACE_S, Timeline
from gateway_lab.config.plan import BatchPlan
from gateway_lab.offline.batched import PLACE, batch_messages
from gateway_lab.offline.tasks import Run

_GRACE_US = round(GRACE_S * 1e6)
_NOTHING = StoreCost(per_batch=0.0, per_row=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What becomes of a capture with one size and time of a batch.

    Attributes:
        batches: How many there are.
        rows: How many messages they hold.
        cost: Seconds that the database works for them.
        p50: Seconds from a message to the commit of its row: half of all have less.
        p99: 99 of 100 have less.
        longest: All have less or as much.
    """

    batches: int
    rows: int
    cost: float
    p50: float
    p99: float
    longest: float


class Arrivals:
    """When the messages of a batch's source came, partition by partition."""

    def __init__(self, run: Run, plan: BatchPlan) -> None:
        parts = batch_messages(run, plan, ()).partition_by(PLACE, maintain_order=True)
        self._received = [part["_received"] for part in parts]
        self._timelines = [Timeline(part["_time"], part["_received"]) for part in parts]

    @property
    def rows(self) -> int:
        """How many messages there are."""
        return sum(map(len, self._received))

    @property
    def seconds(self) -> float:
        """The time from the first to the last."""
        ends = [(each.min(), each.max()) for each in self._received]
        firsts, lasts = zip(*ends, strict=True) if ends else ((0,), (0,))
        return float(max(lasts) - min(firsts)) / 1e6

    def time(self, *, size: int, every_us: int, cost: StoreCost | None) -> Timing | None:
        """Store them in batches, one after the other through one connection; None: there are none.

        Args:
            size: The most messages of a batch.
            every_us: How long after its first message a batch ends.
            cost: Of the database; None: nothing is stored.
        """
        cuts = [list(each.cut(size=size, every_us=every_us)) for each in self._timelines]
        if not cuts:
            return None
        cost = cost or _NOTHING
        commits = self._committed(cuts, size, every_us, cost)
        waits = pl.concat(map(_waits, self._received, cuts, commits))
        p50, p99 = (waits.quantile(share, "lower") or 0.0 for share in (0.5, 0.99))
        batches = sum(map(len, cuts))
        return Timing(
            batches=batches,
            rows=self.rows,
            cost=batches * cost.per_batch + self.rows * cost.per_row,
            p50=p50 / 1e6,
            p99=p99 / 1e6,
            longest=cast("int", waits.max()) / 1e6,
        )

    def _committed(
        self, cuts: Sequence[Sequence[tuple[int, int]]], size: int, every_us: int, cost: StoreCost
    ) -> list[list[int]]:
        """Say when each batch of each partition is committed: they wait for each other."""
        closed = sorted(
            (closes, place, number)
            for place, timeline in enumerate(self._timelines)
            for number, closes in enumerate(_closes(timeline, cuts[place], size, every_us))
        )
        commits = [[0] * len(cut) for cut in cuts]
        free = 0
        for closes, place, number in closed:
            first, behind = cuts[place][number]
            free = max(free, closes) + round(cost.seconds(behind - first) * 1e6)
            commits[place][number] = free
        return commits


def _closes(
    timeline: Timeline, cut: Sequence[tuple[int, int]], size: int, every_us: int
) -> Iterator[int]:
    """Say when each batch closes: with its last message, at its timer, or before a late one."""
    received, end = timeline.received_us, cut[-1][1]
    for first, behind in cut:
        rings = received[first] + every_us + _GRACE_US
        if behind - first == size:
            yield received[behind - 1]
        else:
            yield rings if behind == end else min(rings, received[behind])


def _waits(received: pl.Series, cut: Sequence[tuple[int, int]], commits: list[int]) -> pl.Series:
    """Return the µs that each message of a partition waits."""
    begins = [first for first, _ in cut[1:]]
    steps = pl.zeros(len(received), pl.UInt32, eager=True).scatter(begins, 1)
    return pl.Series(commits).gather(steps.cum_sum()) - received
