"""The messages of a source as columns: bound, judged valid or not, decoded, and kept.

A stream is what a router sees of a part: the valid messages of one source and one event type.
Its columns are decoded at the first use and stay in the cache, so the next config that looks
at the same fields of the same file decodes nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from gateway_lab.config.plan import SourcePlan
from gateway_lab.events.event_type import EventType, Path
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.combinations import Column, combine, encode
from gateway_lab.offline.decode_shared import decode_shared
from gateway_lab.offline.decoding import INVALID_SCHEMA, Decoded, DecodeTask, fingerprint
from gateway_lab.offline.message_columns import message_column
from gateway_lab.offline.parts import Part
from gateway_lab.rules.to_polars import dtype
from gateway_lab.rules.tree import Field, Reference, column_name


@dataclass(frozen=True, slots=True)
class Grid:
    """Distinct combinations of some fields, or all rows where nearly all are distinct.

    Attributes:
        frame: A column for each field, named by `column_name`, and `messages` and `bytes`.
        index: Per message the row of `frame`; None: the rows are the messages.
    """

    frame: pl.DataFrame
    index: pl.Series | None

    def spread(self, values: pl.Series) -> pl.Series:
        """Give each message the value of its row."""
        return values if self.index is None else values.gather(self.index)

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        index = 0 if self.index is None else self.index.estimated_size()
        return int(self.frame.estimated_size() + index)


@dataclass(frozen=True, slots=True)
class Judged:
    """Which bodies are valid.

    Attributes:
        valid: Rows of the part, in order; None: all rows of the part.
        invalid: Columns `row` (of the part), `reason` and `bytes`.
        sizes: Length of each valid body in bytes; 0 for a message without one.
    """

    valid: pl.Series | None
    invalid: pl.DataFrame
    sizes: pl.Series

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        rows = 0 if self.valid is None else self.valid.estimated_size()
        return int(rows + self.invalid.estimated_size() + self.sizes.estimated_size())


def invalid_weights(invalid: pl.DataFrame) -> pl.DataFrame:
    """Count `messages` and `bytes` of each `reason` of invalid messages."""
    sums = pl.col("bytes").cast(pl.Int64).sum()
    return invalid.group_by("reason").agg(pl.len().alias("messages"), sums)


@dataclass(slots=True)
class Stream:
    """Messages of one source with one event type, in one part.

    Attributes:
        part: Where they are.
        source: Whose they are.
        event_type: What their bodies must be; None: bodies are not looked at.
        rows: Rows of the part, in order; None: all.
        selection: Names the choice of rows, for the cache.
    """

    part: Part
    source: SourcePlan
    event_type: EventType | None
    rows: pl.Series | None
    selection: Hashable
    _columns: dict[str, Column] = field(default_factory=dict, init=False)
    _judged: Judged | None = field(default=None, init=False)

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Names these messages, judged by this event type, in the cache."""
        kind = self.event_type and fingerprint(self.event_type)
        return (self.part.key, self.selection, kind)

    @property
    def event_name(self) -> str | None:
        """The name of the event type."""
        return None if self.event_type is None else self.event_type.name

    @property
    def judged(self) -> Judged:
        """The verdicts, found at the first use."""
        if self._judged is None:
            self.prepare(())
        assert self._judged is not None  # noqa: S101 - prepare set it
        return self._judged

    @property
    def count(self) -> int:
        """How many messages are valid."""
        return len(self.judged.sizes)

    @property
    def valid_rows(self) -> pl.Series:
        """The rows of the part that the columns are about."""
        valid = self.judged.valid
        return pl.arange(self.part.rows, dtype=pl.UInt32, eager=True) if valid is None else valid

    def prepare(self, references: Iterable[Reference]) -> None:
        """Decode everything that will be asked for, in one go over the bodies."""
        decoded = (leaf for leaf in references if isinstance(leaf, Field) and self._has(leaf))
        names = {column_name(leaf): leaf.path for leaf in decoded}
        missing = {
            name: path
            for name, path in names.items()
            if name not in self._columns and ("column", self.key, name) not in CACHE
        }
        if missing or (self._judged is None and ("judged", self.key) not in CACHE):
            self._decode(missing)
        self._judged = CACHE.get(("judged", self.key), self._judge)

    def column(self, reference: Reference) -> Column:
        """Give a value of each valid message."""
        name = column_name(reference)
        if name not in self._columns:
            self._columns[name] = self._find(reference, name)
        return self._columns[name]

    def grid(self, references: Sequence[Reference]) -> Grid:
        """Combine some fields, into few rows if their values are few."""
        names = tuple(sorted({column_name(leaf) for leaf in references}))
        by_name = {column_name(leaf): leaf for leaf in references}
        columns = {name: self.column(by_name[name]) for name in names}
        key = ("grid", self.key, names)
        return CACHE.get(key, lambda: self._combine(columns))

    # --- how ---

    def _has(self, field: Field) -> bool:
        """Say whether the event type declares a field; else it is NULL here."""
        return self.event_type is not None and self.event_type.find(field.path) is not None

    def _find(self, reference: Reference, name: str) -> Column:
        if not isinstance(reference, Field):
            column = message_column(self.part, reference, self.source.name)
            return self._selected(column)
        if not self._has(reference):
            nothing = pl.Series([None], dtype=dtype(reference.type))
            return Column(nothing, pl.zeros(self.count, dtype=pl.UInt8, eager=True))

        def make() -> Column:
            self._decode({name: reference.path})
            return self._columns[name]

        return CACHE.get(("column", self.key, name), make)

    def _selected(self, column: Column) -> Column:
        """Narrow a column of the part down to the valid messages."""
        valid = self.judged.valid
        if valid is None:
            return column
        if column.codes is None:
            return Column(column.values.gather(valid), None)
        return Column(column.values, column.codes.gather(valid))

    def _decode(self, paths: dict[str, Path]) -> None:
        """Decode the bodies into some columns, and judge them on the way."""
        if self.event_type is None:
            return
        task = DecodeTask(
            part=self.part,
            rows=self.rows,
            event_type=self.event_type,
            paths=tuple(paths.values()),
        )
        decoded = decode_shared(task)
        wrong = decoded.invalid["row"]
        self._judged = self._judged or self._judge_decoded(decoded)
        with ThreadPoolExecutor(4) as pool:  # Polars works without the interpreter's lock
            columns = pool.map(partial(_encoded, wrong), decoded.columns)
        for name, column in zip(paths, columns, strict=True):
            self._columns[name] = column
            CACHE.put(("column", self.key, name), column)

    def _judge(self) -> Judged:
        if self.event_type is not None:
            if self._judged is None:
                self._decode({})
            assert self._judged is not None  # noqa: S101 - _decode set it
            return self._judged
        sizes = self.part.read(pl.col("body").bin.size().fill_null(0)).to_series()
        sizes = sizes if self.rows is None else sizes.gather(self.rows)
        return Judged(self.rows, pl.DataFrame(schema={**INVALID_SCHEMA, "bytes": pl.UInt32}), sizes)

    def _judge_decoded(self, decoded: Decoded) -> Judged:
        wrong = decoded.invalid["row"]
        sizes = _without(decoded.sizes, wrong)
        invalid = decoded.invalid.with_columns(bytes=decoded.sizes.gather(wrong))
        if self.rows is None and wrong.is_empty():
            return Judged(None, invalid, sizes)
        rows = self.rows
        if rows is None:
            rows = pl.arange(self.part.rows, dtype=pl.UInt32, eager=True)
        invalid = invalid.with_columns(row=rows.gather(wrong))
        return Judged(_without(rows, wrong), invalid, sizes)

    def _combine(self, columns: dict[str, Column]) -> Grid:
        if any(column.codes is None for column in columns.values()):
            values = pl.DataFrame([column.rows.alias(name) for name, column in columns.items()])
            return Grid(weighed(values, None, self.judged.sizes), None)
        nothing = (pl.zeros(self.count, dtype=pl.UInt8, eager=True), 1)
        coded = [(c.codes, len(c.values)) for c in columns.values() if c.codes is not None]
        combined = combine(coded or [nothing])
        values = pl.DataFrame(
            [
                column.values.gather(codes).alias(name)
                for (name, column), codes in zip(columns.items(), combined.codes, strict=False)
            ]
        )
        return Grid(weighed(values, combined.index, self.judged.sizes), combined.index)


def weighed(values: pl.DataFrame, index: pl.Series | None, sizes: pl.Series) -> pl.DataFrame:
    """Add `messages` and `bytes` to each row.

    Args:
        values: Distinct combinations, or one row a message; without columns it is one combination.
        index: Per message its row; None: the rows are the messages.
        sizes: Bytes of each message.
    """
    if index is None:
        ones = pl.repeat(1, len(sizes), dtype=pl.UInt32, eager=True).alias("messages")
        return values.hstack([ones, sizes.alias("bytes")])
    weights = (
        pl.DataFrame({"index": index, "bytes": sizes})
        .group_by("index")
        .agg(messages=pl.len(), bytes=pl.col("bytes").cast(pl.Int64).sum())
        .sort("index")
        .drop("index")
    )
    return values.hstack(weights) if values.width else weights


def _encoded(wrong: pl.Series, values: pl.Series) -> Column:
    return encode(_without(values, wrong))


def _without(values: pl.Series, rows: pl.Series) -> pl.Series:
    if rows.is_empty():
        return values
    keep = pl.repeat(value=True, n=len(values), dtype=pl.Boolean, eager=True)
    return values.filter(keep.scatter(rows, values=False))
