"""When generated messages come: the shape of a day, bursts and one outage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

import polars as pl

from gateway_lab.captures.format import TIME
from gateway_lab.captures.profiles.draws import Draws

START = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday. Every generated capture begins then, so that runs can be compared."""

OFFICE = (8, 6, 5, 4, 5, 8, 14, 26, 44, 62, 72, 74, 66, 64, 70, 72, 66, 58, 50, 46, 40, 30, 20, 12)
"""Weight of each hour where people in offices send."""

STEADY = (40,) * 24
"""Weight of each hour where machines send."""

_SLOT_US = 10_000_000
_BURST_SLOTS = 18  # three minutes
_FINE = 1_000_000  # parts of a weight, so that messages can stand anywhere in a slot
_LATENCIES_MS = (
    *range(2, 42),  # most: some milliseconds
    *range(50, 550, 50),
    *(1_000, 2_000, 4_000, 9_000, 30_000),
)
_LATE_MS = (60_000, 180_000, 600_000, 1_800_000, 7_200_000)
_EARLY_MS = (-20, -150, -800, -2_000)  # a producer's clock that is ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How messages are spread over time.

    Attributes:
        hours: Weight of each hour of the day; shorter ones give a shorter capture.
        bursts: Share of the three-minute pieces in which five times as much comes.
    """

    hours: Sequence[int]
    bursts: float = 0.02

    def received(self, draws: Draws, first: int, n: int) -> pl.Expr:
        """Say when the messages of a chunk, from `first` on, of n in all were received.

        Within the chunk they come at random, one after the other.
        """
        weights = self._weights(draws)
        reached = [0, *accumulate(weight * _FINE for weight in weights)]
        span = reached[-1]
        begin, behind = span * first // n, span * pl.len().cast(pl.UInt64)
        place = (begin + draws.number("place") % (behind // n).clip(lower_bound=1)).sort()
        slot = pl.lit(pl.Series(reached, dtype=pl.UInt64)).search_sorted(place, side="right") - 1
        begins = pl.lit(pl.Series(reached, dtype=pl.UInt64)).gather(slot)
        weight = pl.lit(pl.Series(weights, dtype=pl.UInt64)).gather(slot)
        inside = (place - begins) * (_SLOT_US // 1_000) // (weight * (_FINE // 1_000))
        since = slot.cast(pl.Int64) * _SLOT_US + inside.cast(pl.Int64)
        return (since + int(START.timestamp()) * 1_000_000).cast(TIME)

    def _weights(self, draws: Draws) -> list[int]:
        """Weigh every slot of ten seconds; nothing comes in an outage, then all of it at once."""
        slots = len(self.hours) * 3_600_000_000 // _SLOT_US
        pieces = pl.DataFrame({"seq": range(slots // _BURST_SLOTS)}).select(
            burst=draws.chance("burst", self.bursts),
            outage=draws.number("outage").rank("ordinal") == 1,
        )
        hourly = slots // len(self.hours)
        weights = [self.hours[slot // hourly] for slot in range(slots)]
        for piece, (burst, outage) in enumerate(pieces.rows()):
            for slot in range(piece * _BURST_SLOTS, (piece + 1) * _BURST_SLOTS):
                weights[slot] *= 0 if outage else 5 if burst else 1
        return weights


def sent(draws: Draws) -> pl.Expr:
    """Say when a message was sent: mostly just before, at times much too late or too early."""
    usual = _milliseconds(draws, "latency", _LATENCIES_MS)
    late = _milliseconds(draws, "late", _LATE_MS)
    early = _milliseconds(draws, "early", _EARLY_MS)
    latency = (
        pl.when(draws.chance("is late", 0.004))
        .then(late)
        .when(draws.chance("is early", 0.003))
        .then(early)
        .otherwise(usual)
    )
    moment = pl.col("received").to_physical() // 1_000 - latency
    return pl.when(~draws.chance("no timestamp", 0.005)).then((moment * 1_000).cast(TIME))


def _milliseconds(draws: Draws, label: str, table: Sequence[int]) -> pl.Expr:
    values = pl.lit(pl.Series(table, dtype=pl.Int64))
    return values.gather(draws.below(label, len(table)))
