"""A capture in parts: runs of rows that are decoded, decided and counted one after the other.

A part can be pickled, so any executor can take it. What is kept of one part are small columns;
its bodies are read in chunks and forgotten.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakKeyDictionary

import polars as pl

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.damage import damage_told
from gateway_lab.captures.format import INVALID
from gateway_lab.captures.write import ROW_GROUP_ROWS

PART_ROWS = 20 * ROW_GROUP_ROWS
"""A million messages: enough for whole-column work to pay, few enough to fit anywhere."""

CHUNK_ROWS = ROW_GROUP_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of rows of a capture.

    Attributes:
        scan: The rows of the whole file, the columns of a capture.
        offset: The first row.
        rows: How many.
        key: Names the rows wherever they are cached.
        masked: Whether column `invalid` holds verdicts from before masking.
        came: The same rows as they came, where the bodies are what handlers made of them.
    """

    scan: pl.LazyFrame
    offset: int
    rows: int
    key: tuple[Hashable, ...]
    masked: bool
    came: Part | None = None

    @property
    def is_on_disk(self) -> bool:
        """Whether another process reads the rows itself, instead of being sent them."""
        return isinstance(self.key[0], str)

    def read(self, *columns: pl.Expr | str) -> pl.DataFrame:
        """Read some columns of all rows.

        Raises:
            CaptureError: The file is damaged.
        """
        path = self.key[0]
        with damage_told([path] if isinstance(path, str) else []):
            return self.scan.slice(self.offset, self.rows).select(columns).collect()

    def chunks(self) -> Iterator[Part]:
        """Split into runs of about a row group, for what needs the bodies."""
        for start in range(0, self.rows, CHUNK_ROWS):
            rows = min(CHUNK_ROWS, self.rows - start)
            yield self.slice(start, rows)

    def slice(self, start: int, rows: int) -> Part:
        """Take a run of rows out of it."""
        key = (*self.key, start, rows)
        came = self.came and self.came.slice(start, rows)
        return replace(self, offset=self.offset + start, rows=rows, key=key, came=came)


def parts_of(capture: Capture) -> tuple[Part, ...]:
    """Split a capture; parts of a file never reach into the next one."""
    masked = capture.is_masked
    if not capture.paths:
        name = (_token(capture),)
        return tuple(_runs(_settled(capture), capture.count, name, masked=masked))
    files = (_file_parts(capture, path, masked=masked) for path in capture.paths)
    return tuple(itertools.chain.from_iterable(files))


def _file_parts(capture: Capture, path: Path, *, masked: bool) -> Iterator[Part]:
    scan = pl.scan_parquet(path, glob=False, extra_columns="ignore")
    alone = len(capture.paths) == 1
    count = capture.count if alone else int(scan.select(pl.len()).collect().item())
    state = path.stat()
    name = (str(path.resolve()), state.st_mtime_ns, state.st_size)
    return _runs(scan, count, name, masked=masked)


def _runs(
    scan: pl.LazyFrame, count: int, name: tuple[Hashable, ...], *, masked: bool
) -> Iterator[Part]:
    for offset in range(0, count, PART_ROWS):
        yield Part(
            scan=scan,
            offset=offset,
            rows=min(PART_ROWS, count - offset),
            key=(*name, offset, min(PART_ROWS, count - offset)),
            masked=masked,
        )


def _settled(capture: Capture) -> pl.LazyFrame:
    """Run a query once that would else run again for every chunk, if it fits a part."""
    if capture.count > PART_ROWS:
        return capture.frame
    if capture not in _collected:
        with damage_told(capture.paths):
            _collected[capture] = capture.frame.collect()
    return _collected[capture].lazy()


def _token(capture: Capture) -> int:
    return _tokens.setdefault(capture, next(_numbers))


_numbers = itertools.count()
_tokens: WeakKeyDictionary[Capture, int] = WeakKeyDictionary()
_collected: WeakKeyDictionary[Capture, pl.DataFrame] = WeakKeyDictionary()


def total_rows(parts: Sequence[Part]) -> int:
    """Count the rows of some parts."""
    return sum(part.rows for part in parts)


__all__ = ["CHUNK_ROWS", "INVALID", "PART_ROWS", "Part", "parts_of", "total_rows"]
