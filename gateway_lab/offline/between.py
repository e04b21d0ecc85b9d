"""A window of time over a part: what is known of the whole part, narrowed down, not made again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import polars as pl

from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.columns import Grid, Judged, Stream, weighed
from gateway_lab.offline.combinations import Column, combine
from gateway_lab.offline.parts import Part
from gateway_lab.offline.places import Places
from gateway_lab.rules.tree import Reference

Window: TypeAlias = tuple[datetime, datetime]
"""From the first on, and before the second, UTC."""


def within(part: Part, window: Window) -> pl.Series:
    """Say of each row of a part whether it was received in a window."""
    received = CACHE.get(("received", part.key), lambda: part.read("received").to_series())
    return received.is_between(*window, closed="left").fill_null(value=False)


def narrow_places(places: Places, inside: pl.Series) -> Places:
    """Count only the rows inside."""
    numbers = places.index.filter(inside)
    counts = [int((numbers == number).sum()) for number in range(len(places.names))]
    return replace(places, counts=tuple(counts))


@dataclass(slots=True)
class Narrowed(Stream):
    """The messages of a stream that were received in a window."""

    whole: Stream
    inside: pl.Series
    _keep: pl.Series | None = None

    @classmethod
    def of(cls, whole: Stream, inside: pl.Series, window: Window | None) -> Narrowed:
        """Narrow a stream down."""
        rows, selection = whole.rows, (whole.selection, window)
        return cls(whole.part, whole.source, whole.event_type, rows, selection, whole, inside)

    def prepare(self, references: Iterable[Reference]) -> None:
        """Decode what the whole stream lacks, and judge."""
        self.whole.prepare(references)
        judged = self.whole.judged
        self._keep = self.inside.gather(self.whole.valid_rows).arg_true().cast(pl.UInt32)
        self._judged = Judged(
            self.whole.valid_rows.gather(self._keep),
            judged.invalid.filter(self.inside.gather(judged.invalid["row"])),
            judged.sizes.gather(self._keep),
        )

    def column(self, reference: Reference) -> Column:
        """Give a value of each valid message."""
        column = self.whole.column(reference)
        if column.codes is None:
            return Column(column.values.gather(self._kept), None)
        return Column(column.values, column.codes.gather(self._kept))

    def grid(self, references: Sequence[Reference]) -> Grid:
        """Combine some fields; combinations that occur outside only are left out."""
        whole = self.whole.grid(references)
        values = whole.frame.drop("messages", "bytes")
        if whole.index is None:
            return Grid(weighed(values[self._kept], None, self.judged.sizes), None)
        combined = combine([(whole.index.gather(self._kept), whole.frame.height)])
        there = values[combined.codes[0]] if values.width else values
        return Grid(weighed(there, combined.index, self.judged.sizes), combined.index)

    @property
    def _kept(self) -> pl.Series:
        if self._keep is None:
            self.prepare(())
        assert self._keep is not None  # noqa: S101 - prepare set it
        return self._keep
