"""Distinct combinations of columns: what a router needs to look at, once each.

A million messages have few combinations of the fields that rules read. A column with few
values is held as codes (0, 1, 2, …) and those values; combining columns is then arithmetic on
the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import polars as pl

FEW_VALUES = 1 << 16
"""A column with more distinct values than this is held as it is."""

FEW_COMBINATIONS = 1 << 22
"""Code ranges up to this size are renumbered through a table, larger ones through a join."""

PACKED = 1 << 20
"""Columns are numbered together while no more combinations than this are possible."""

_SAMPLE = 20_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column, one row a message.

    Attributes:
        values: With codes the distinct values (one may be null), else the value of each row.
        codes: Per row the place of its value in `values`; None when there are many values.
    """

    values: pl.Series
    codes: pl.Series | None

    @property
    def rows(self) -> pl.Series:
        """The value of each row."""
        return self.values if self.codes is None else self.values.gather(self.codes)

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        codes = 0 if self.codes is None else self.codes.estimated_size()
        return int(self.values.estimated_size() + codes)


def encode(values: pl.Series) -> Column:
    """Hold a column by codes if it has few values, else as it is."""
    if values.dtype.is_nested() or values.dtype == pl.Binary or looks_distinct(values):
        return Column(values, None)
    if values.dtype == pl.Float64 and _has_negative_zero(values):
        return Column(values, None)
    distinct = values.unique(maintain_order=False)
    if len(distinct) > FEW_VALUES:
        return Column(values, None)
    return Column(distinct, _codes(values, distinct))


def looks_distinct(values: pl.Series) -> bool:
    """Say whether there are so many different values that looking for them does not pay."""
    head = values.head(_SAMPLE)
    return len(values) > _SAMPLE and head.n_unique() > len(head) // 2


def _has_negative_zero(values: pl.Series) -> bool:
    """Say whether -0.0 is there, which compares equal to 0.0 and is written differently."""
    return bool(((values == 0) & ((1 / values) < 0)).any())


def _codes(values: pl.Series, distinct: pl.Series) -> pl.Series:
    """Number the values by their place in `distinct`, in the smallest type that holds it."""
    if values.dtype == pl.String and not distinct.has_nulls():
        return values.cast(pl.Enum(distinct)).to_physical().cast(code_type(len(distinct)))
    numbers = _numbers(len(distinct))
    # Of no values at all polars makes a column of their own type.
    return values.replace_strict(distinct, numbers).cast(numbers.dtype)


def _numbers(size: int) -> pl.Series:
    """Count from 0 in the smallest type; `arange` refuses an end that its type cannot hold."""
    return pl.arange(size, dtype=pl.UInt32, eager=True).cast(code_type(size))


def code_type(size: int) -> type[pl.UInt8 | pl.UInt16 | pl.UInt32]:
    """Choose the smallest type for codes below `size`."""
    if size <= 1 << 8:
        return pl.UInt8
    return pl.UInt16 if size <= 1 << 16 else pl.UInt32


Coded: TypeAlias = tuple[pl.Series, int]
"""Codes, and the number that all are below."""


@dataclass(frozen=True, slots=True)
class Combined:
    """Rows and the distinct combinations of their codes.

    Attributes:
        index: Per row the number of its combination.
        codes: Per combination a code for each column that went in.
    """

    index: pl.Series
    codes: tuple[pl.Series, ...]


def combine(columns: Sequence[Coded]) -> Combined:
    """Number the distinct combinations of some columns of codes.

    Args:
        columns: At least one, all of a length: codes, and the number that all are below.
    """
    (index, size), *rest = columns
    steps: list[tuple[pl.Series, list[int]]] = []  # what the keys of a step were packed of
    while rest:
        batch, rest = _together(rest, size)
        packed, widths = index.cast(pl.UInt64), [width for _, width in batch]
        for codes, width in batch:
            packed = packed * width + codes.cast(pl.UInt64)
        index, keys = _renumber(packed, size * prod(widths))
        steps.append((keys, widths))
        size = len(keys)
    index, left = _renumber(index, size)
    parts: list[pl.Series] = []
    for keys, widths in reversed(steps):
        left = keys.gather(left)
        for width in reversed(widths):
            parts.append((left % width).cast(pl.UInt32))
            left //= width
    return Combined(index, (left.cast(pl.UInt32), *reversed(parts)))


def _together(columns: list[Coded], size: int) -> tuple[list[Coded], list[Coded]]:
    """Take the next column, and further ones while few combinations are possible, from the rest."""
    taken, possible = 1, size * columns[0][1]
    while taken < len(columns) and possible * columns[taken][1] <= PACKED:
        possible *= columns[taken][1]
        taken += 1
    return columns[:taken], columns[taken:]


def _renumber(packed: pl.Series, size: int) -> tuple[pl.Series, pl.Series]:
    """Give each row the place of its key among the distinct keys; all keys are below `size`."""
    keys = packed.unique().sort()
    places = _numbers(len(keys))
    if size <= FEW_COMBINATIONS:
        table = pl.zeros(size, dtype=places.dtype, eager=True).scatter(keys, places)
        return table.gather(packed), keys
    return packed.replace_strict(keys, places), keys
