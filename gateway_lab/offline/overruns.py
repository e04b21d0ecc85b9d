"""Targets with more live channels than they may have: a finding, never a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from gateway_lab.config.codes import CODES
from gateway_lab.config.plan import Plan
from gateway_lab.findings import Finding
from gateway_lab.offline.tally import Tally

CODE = "max-channels"


def overruns(plan: Plan, tally: Tally, channels: Callable[[], pl.DataFrame]) -> Iterator[Finding]:
    """Find targets past their bound.

    Args:
        plan: The config.
        tally: Knows the channels that messages could go to; if those are few, so are the live.
        channels: Counts the live ones, and is asked only where it matters.
    """
    bounds = {target.name: target.max_channels for target in plan.targets.values()}
    possible = {name: len(_possible(tally, name)) for name in bounds}
    if all(possible[name] <= bound for name, bound in bounds.items()):
        return
    live = dict(channels().group_by("target").len().rows())
    for name, bound in bounds.items():
        if live.get(name, 0) > bound:
            yield Finding(
                code=CODE,
                severity=CODES[CODE].severity,
                path=("targets", name, "max_channels"),
                text=f"target {name} wrote {live[name]:,} channels; {bound:,} may be live",
                hint="raise max_channels, or build the channel from a field with fewer values",
            )


def _possible(tally: Tally, target: str) -> frozenset[str]:
    sets = (names for (_, name), names in tally.channels.items() if name == target)
    return frozenset().union(*sets)
