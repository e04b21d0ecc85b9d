"""Writing captures: whole or not at all, and larger than memory."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from gateway_lab.captures.digest import Digest
from gateway_lab.captures.format import COLUMNS, INVALID, CaptureMetadata, encode_metadata
from gateway_lab.captures.ndjson import NDJSON_ENDINGS, write_lines
from gateway_lab.errors import CaptureError

PARQUET_ENDING = ".parquet"
ROW_GROUP_ROWS = 50_000
ROW_GROUP_BYTES = 64 * 1024 * 1024
"""A row group holds about so much at most, and never more than ROW_GROUP_ROWS."""


def write_batches(
    batches: Iterable[pl.DataFrame],
    path: Path,
    *,
    metadata: CaptureMetadata,
    with_verdicts: bool = False,
) -> None:
    """Write rows to one file as they come: Parquet with count and digest, or NDJSON.

    Args:
        batches: Frames with the columns of a capture, in the order of the rows.
        path: The file; its name ends in `.parquet` or one of `ndjson.ENDINGS`.
        metadata: What the file says about itself; count and digest are filled in.
        with_verdicts: Whether the frames have the column `invalid`.

    Raises:
        CaptureError: The ending is another, the folder is missing, the disk is full.
    """
    with replaced(path) as partial:
        if path.name.endswith(NDJSON_ENDINGS):
            compress = path.suffix == ".gz"
            write_lines(batches, partial, metadata=metadata, compress=compress)
        elif path.suffix == PARQUET_ENDING:
            _write_parquet(batches, partial, metadata, with_verdicts=with_verdicts)
        else:
            raise _unknown_ending(path)


def write_part(rows: pl.DataFrame, path: Path, *, metadata: CaptureMetadata) -> None:
    """Write rows that are in memory to one of the Parquet files of a capture.

    It has a count and no digest: of several files none is kept, and making it takes thrice as
    long as the rest.

    Raises:
        CaptureError: The folder is missing, the disk is full.
    """
    told = encode_metadata(replace(metadata, messages=rows.height, digest=None))
    with replaced(path) as partial:
        rows.write_parquet(
            partial, compression="zstd", row_group_size=_rows_of_a_group(rows), metadata=told
        )


def _write_parquet(
    batches: Iterable[pl.DataFrame],
    partial: Path,
    metadata: CaptureMetadata,
    *,
    with_verdicts: bool,
) -> None:
    schema = {**COLUMNS, INVALID: pl.String()} if with_verdicts else dict(COLUMNS)
    tally = _Tally(metadata, with_verdicts=with_verdicts)
    first, rest = _peeked(batches, schema)
    _lazily(tally.watch(rest), schema).sink_parquet(
        partial,
        compression="zstd",
        row_group_size=_rows_of_a_group(first),
        metadata=lambda _: encode_metadata(tally.metadata()),
    )


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a place to write to, which becomes `path` when all went well.

    Readers see the old file until the new one is whole and on the disk; a crash leaves the
    old one.

    Raises:
        CaptureError: The folder is missing, not writable, or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        if not path.parent.is_dir():
            msg = "the folder does not exist"
            raise CaptureError(msg, where=str(path), hint=f"create {path.parent}")
        yield partial
        _flush(partial, os.O_RDWR)
        partial.replace(path)
        flush_folder(path.parent)
    except (OSError, pl.exceptions.ComputeError) as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # where it cannot be removed it could not be made
            partial.unlink(missing_ok=True)


class _Tally:
    """Counts and digests rows as they pass."""

    def __init__(self, metadata: CaptureMetadata, *, with_verdicts: bool) -> None:
        self._metadata = metadata
        self._digest = Digest(with_verdicts=with_verdicts)
        self._count = 0

    def watch(self, batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for batch in batches:
            self._digest.update(batch)
            self._count += batch.height
            yield batch

    def metadata(self) -> CaptureMetadata:
        return replace(self._metadata, messages=self._count, digest=self._digest.hexdigest())


def _peeked(
    batches: Iterable[pl.DataFrame], schema: dict[str, pl.DataType]
) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    rest = iter(batches)
    first = next(rest, None)
    if first is None:
        first = pl.DataFrame(schema=schema)
    return first, chain([first], rest)


def _lazily(batches: Iterable[pl.DataFrame], schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    """Make a frame of batches that can be gone through once: the one way to a streamed sink."""

    def source(*_: object) -> Iterator[pl.DataFrame]:
        for batch in batches:
            yield batch.select(*schema)

    return register_io_source(source, schema=schema, validate_schema=True)


def _rows_of_a_group(first: pl.DataFrame) -> int:
    bytes_a_row = first.estimated_size() / max(first.height, 1)
    return max(500, min(ROW_GROUP_ROWS, int(ROW_GROUP_BYTES / max(bytes_a_row, 1))))


def flush_folder(folder: Path) -> None:
    """Have names that were made, changed or removed in a folder survive a loss of power."""
    _flush(folder, os.O_RDONLY)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unknown_ending(path: Path) -> CaptureError:
    return CaptureError(
        f"a capture cannot be written as {path.suffix or 'a file without an ending'}",
        where=str(path),
        hint=f"end the name with {PARQUET_ENDING} or {NDJSON_ENDINGS[0]}",
    )


def _cannot_write(path: Path, error: Exception) -> CaptureError:
    return CaptureError(
        f"cannot write the capture: {_reason(error)}",
        where=str(path),
        hint="nothing was changed; free some space or choose another folder",
    )


def _reason(error: Exception) -> str:
    """Say what the system says: Polars has it inside a text, or loses it in a footer."""
    if "transport error" in str(error):
        return "the disk takes no more"
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := re.search(r"os error (\d+)", str(error))):
        number = int(found[1])
    return str(error) if number is None else os.strerror(number).lower()
