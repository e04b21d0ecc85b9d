"""What a tuning looks for, in words: `cost where latency_p99 <= 5s and moved = 0`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from gateway_lab.errors import ReplayError, did_you_mean

MEASURES: Final = MappingProxyType(
    {
        "batches": "batches",
        "rows_per_batch": "rows a batch",
        "latency_p50": "message to commit, median, s",
        "latency_p99": "message to commit, 99 of 100, s",
        "latency_max": "message to commit, longest, s",
        "cost": "time of the database, s",
        "busy": "time of the database, share of all",
        "moved": "deliveries that change",
        "moved_share": "share of deliveries that change",
        "letters": "dead letters",
        "retry_wait": "first try to dead letter, at most, s",
    }
)
"""What is measured of a point: column to what it is, for people. Less is better in each."""

UNITS: Final = MappingProxyType(
    {
        **dict.fromkeys(("latency_p50", "latency_p99", "latency_max", "cost", "retry_wait"), "s"),
        **dict.fromkeys(("busy", "moved_share"), "%"),
    }
)
"""The unit of a measure, as people read it; a share is written per cent."""

_SHORT: Final = MappingProxyType({"latency": "latency_p99"})
_UNITS: Final = MappingProxyType({"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "%": 0.01})
_COMPARE: Final = MappingProxyType[str, Callable[[pl.Expr, float], pl.Expr]](
    {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "=": operator.eq}
)
_CLAUSE: Final = re.compile(r"\s*(\w+)\s*(<=|>=|<|>|=)\s*([0-9.]+)\s*(ms|s|m|h|%)?\s*")
_EXAMPLE: Final = "for example 'cost where latency_p99 <= 5s', or 'latency where cost <= 2s'"


def told(name: str, value: float | None) -> str:
    """Write a measure for people: `latency_p99 5.1 s`."""
    unit = UNITS.get(name, "")
    if value is None:
        return f"{name} unknown"
    return f"{name} {value:.3%}" if unit == "%" else f"{name} {value:,.4g} {unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Objective:
    """A measure to make small, among the points that meet some conditions.

    Attributes:
        text: As it was written.
        measure: The column to make small.
        conditions: Column, comparison and number of each.
    """

    text: str
    measure: str
    conditions: tuple[tuple[str, str, float], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every measure that it speaks of."""
        return (self.measure, *(name for name, _, _ in self.conditions))

    def met(self) -> pl.Expr:
        """Return whether a point meets the conditions."""
        met = [_COMPARE[sign](pl.col(name), number) for name, sign, number in self.conditions]
        return pl.all_horizontal(pl.lit(value=True), *met)


def read_objective(text: str) -> Objective:
    """Read an objective.

    Raises:
        ReplayError: It cannot be read, or names what is not measured.
    """
    head, where, tail = f"{text} ".partition(" where ")
    if not head.strip() or (where and not tail.strip()):
        problem = f"the objective {text!r} lacks a measure or a condition"
        raise ReplayError(problem, hint=_EXAMPLE)
    clauses = tail.split(" and ") if where else []
    conditions = tuple(_condition(each, text) for each in clauses)
    return Objective(text, _measure(head.strip(), text), conditions)


def _condition(clause: str, text: str) -> tuple[str, str, float]:
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        problem = f"the condition {clause.strip()!r} cannot be read"
        raise ReplayError(problem, where=text, hint=_EXAMPLE)
    name, sign, number, unit = found.groups()
    try:
        value = float(number) * _UNITS[unit or ""]
    except ValueError:
        raise ReplayError(f"{number!r} is no number", where=text, hint=_EXAMPLE) from None
    return _measure(name, text), sign, value


def _measure(name: str, text: str) -> str:
    full = _SHORT.get(name, name)
    if full not in MEASURES:
        hint = did_you_mean(name, [*MEASURES, *_SHORT])
        raise ReplayError(f"nothing is measured that is called {name!r}", where=text, hint=hint)
    return full


def frontier(frame: pl.DataFrame, axes: Sequence[str]) -> pl.DataFrame:
    """Return the points that no other beats: as good in every axis, and better in one.

    Args:
        frame: The points; those without a value in an axis are left out.
        axes: Two columns; less is better.

    Returns:
        The points in the order of the first axis; of equal ones that which changes least.
    """
    first, second = axes
    ordered = frame.drop_nulls([first, second]).sort(first, second, "moved", "changes", "point")
    least = pl.col(second).cum_min().shift(1)
    return ordered.filter(least.is_null() | (pl.col(second) < least))
