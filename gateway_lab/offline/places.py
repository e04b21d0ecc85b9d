"""Where the messages of a part came from: few places, and for each message which."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from gateway_lab.captures.binding import Place
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.combinations import Column, combine, encode
from gateway_lab.offline.parts import Part


@dataclass(frozen=True, slots=True)
class Places:
    """Where the messages of a part came from.

    Attributes:
        names: The distinct places.
        index: Per row the number of its place.
        counts: Per place how many rows.
    """

    names: tuple[Place, ...]
    index: pl.Series
    counts: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return int(self.index.estimated_size())


def places_of(part: Part) -> Places:
    """Find the distinct places of a part."""
    return CACHE.get(("places", part.key), lambda: _places(part))


def _places(part: Part) -> Places:
    frame = part.read("broker", "kind", "channel").with_columns(pl.all().fill_null(""))
    if frame.height and all((column == column[0]).all() for column in frame):
        nowhere_else = pl.zeros(frame.height, dtype=pl.UInt8, eager=True)
        return Places((frame.row(0),), nowhere_else, (frame.height,))
    columns = [_encoded(frame[name]) for name in frame.columns]
    combined = combine([(codes, len(column.values)) for column, codes in columns])
    texts = [
        column.values.gather(codes)
        for (column, _), codes in zip(columns, combined.codes, strict=True)
    ]
    counts = combined.index.value_counts(name="n").sort(combined.index.name)["n"]
    return Places(tuple(zip(*texts, strict=True)), combined.index, tuple(counts))


def _encoded(values: pl.Series) -> tuple[Column, pl.Series]:
    column = encode(values)
    if column.codes is not None:
        return column, column.codes
    ranks = values.rank("dense").cast(pl.UInt32) - 1
    return Column(values.unique().sort(), ranks), ranks
