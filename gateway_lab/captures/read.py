"""Reading captures: a file, a folder or a glob, checked once and then read lazily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.damage import FORMS, unreadable
from gateway_lab.captures.format import (
    COLUMNS,
    INVALID,
    METADATA_KEY,
    CaptureMetadata,
    check_columns,
    decode_metadata,
)
from gateway_lab.captures.journal import JOURNAL_ENDING, read_journal
from gateway_lab.captures.ndjson import NDJSON_ENDINGS, Origin, read_batches, read_metadata
from gateway_lab.captures.write import PARQUET_ENDING
from gateway_lab.errors import CaptureError, did_you_mean
from gateway_lab.events.timestamps import FIRST_MICROS, LAST_MICROS

_T = TypeVar("_T")

_TIMES = ("received", "timestamp")
_TRIES = 3


def scan_capture(
    path: str | Path, *, broker: str = "", protocol: str = "", channel: str = ""
) -> Capture:
    """Open a capture: a Parquet file, a folder of them, a glob, or an NDJSON file.

    A recording may still go on, or have been cut short: what is in its journal is read, too.
    Only metadata, `seq` and `received` are read now, to check them; the rest is lazy. Files
    of a folder or glob are one capture, in the order of their names.

    Args:
        path: The file, folder or glob.
        broker: The broker's alias for lines of NDJSON that do not say it.
        protocol: Likewise the protocol, such as `kafka`.
        channel: Likewise the topic, queue, subject or stream.

    Raises:
        CaptureError: There is no such file, it may not be read, is truncated, empty, not Parquet or of a newer
            format, columns are missing or mistyped, `seq` repeats, `received` is null, or a time
            lies outside the years 1 to 9999.
    """
    where = Path(path).expanduser()
    try:
        return _scan(where, Origin(broker=broker, protocol=protocol, channel=channel))
    except OSError as error:  # such as: this folder may not be looked into
        raise unreadable(str(where), error) from None


def _scan(where: Path, origin: Origin) -> Capture:
    if where.is_file() and where.name.endswith(NDJSON_ENDINGS):
        return _scan_ndjson(where, origin)
    if origin != Origin():
        msg = "broker, protocol and channel can only be given for NDJSON"
        hint = "leave them out: Parquet has columns for them; NDJSON must end in .ndjson"
        raise CaptureError(msg, where=str(where), hint=hint)
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):  # a recording goes on: a journal became Parquet
            return _scan_files(where, _files_at(where))
    return _scan_files(where, _files_at(where))


def _scan_files(where: Path, paths: tuple[Path, ...]) -> Capture:
    """Open files as one; where a journal is among them, its rows are read now."""
    described = [_describe(each) for each in paths]
    with_verdicts = _agree([each.is_masked for each in described], "masked", where)
    names = [*COLUMNS, INVALID] if with_verdicts else list(COLUMNS)
    is_finished = all(each.rows is None for each in described)
    frame = (
        pl.scan_parquet(list(paths), glob=False, extra_columns="ignore").select(names)
        if is_finished
        else pl.concat([each.scan(names) for each in described])
    )
    count = checked_count(frame, where=str(where))
    metadata = _joined([each.metadata for each in described], count, where)
    return Capture(frame, metadata, paths if is_finished else ())


def _scan_ndjson(path: Path, origin: Origin) -> Capture:
    """Open NDJSON lazily: every use reads the text again, so nothing has to fit into memory."""
    metadata = read_metadata(path)
    names = [*COLUMNS, INVALID] if metadata.masked else list(COLUMNS)
    schema = {**COLUMNS, INVALID: pl.String()}

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for batch in read_batches(path, origin):
            kept = batch if left is None else batch.head(left)
            left = None if left is None else left - kept.height
            kept = kept if predicate is None else kept.filter(predicate)
            yield kept if columns is None else kept.select(columns)
            if left == 0:
                return

    frame = register_io_source(source, schema=schema, is_pure=True).select(names)
    count = checked_count(frame, where=str(path))
    return Capture(frame, replace(metadata, messages=count, digest=None))


def checked_count(frame: pl.LazyFrame, *, where: str) -> int:
    """Count the messages and refuse bad times, a null `received` and a `seq` that repeats.

    Raises:
        CaptureError: One of these, or the data cannot be read.
    """
    seq, received = pl.col("seq"), pl.col("received")
    try:
        row = frame.select(
            count=pl.len(),
            unnumbered=seq.null_count(),
            unreceived=received.null_count(),
            ascending=(seq > seq.shift(1)).all(),
            timeless=pl.any_horizontal(_outside_years(name).any() for name in _TIMES),
        ).collect()
    except pl.exceptions.ComputeError as error:
        raise unreadable(where, error) from None
    count, unnumbered, unreceived, ascending, timeless = row.row(0)
    if unnumbered or unreceived:
        raise _null_values(frame, "seq" if unnumbered else "received", where)
    if timeless:
        raise _no_time(frame, where)
    if not ascending:
        _refuse_repeated_numbers(frame, where)
    return int(count)


def _outside_years(name: str) -> pl.Expr:
    """Say which times no calendar has; Python and rules know the years 1 to 9999."""
    micros = pl.col(name).cast(pl.Int64)
    return ~micros.is_between(FIRST_MICROS, LAST_MICROS)


def _no_time(frame: pl.LazyFrame, where: str) -> CaptureError:
    bad = frame.filter(pl.any_horizontal(map(_outside_years, _TIMES))).select("seq").head(1)
    return CaptureError(
        f"the message with seq {bad.collect().item()} has a time outside the years 1 to 9999",
        where=where,
        hint="times are microseconds since 1970; was it written in nanoseconds?",
    )


def _files_at(where: Path) -> tuple[Path, ...]:
    if where.is_file():
        return (where,)
    if where.is_dir():
        found = _parts_in(where)
        if not found:
            raise CaptureError(
                f"this folder has no {PARQUET_ENDING} file",
                where=str(where),
                hint=_content_hint(where),
            )
        return found
    found = _visible(Path(where.anchor), str(where.relative_to(where.anchor)))
    if not found:
        raise _no_such_file(where)
    return found


def _parts_in(folder: Path) -> tuple[Path, ...]:
    """Find the Parquet files of a folder, and journals that are not Parquet yet."""
    parts = _visible(folder, f"*{PARQUET_ENDING}")
    finished = {each.stem for each in parts}
    journals = _visible(folder, f"*{JOURNAL_ENDING}")
    return tuple(sorted([*parts, *(each for each in journals if each.stem not in finished)]))


def _visible(folder: Path, pattern: str) -> tuple[Path, ...]:
    """Find files by a glob; hidden ones are unfinished or not meant."""
    try:
        found = folder.glob(pattern)
        return tuple(sorted(each for each in found if each.is_file() and each.name[0] != "."))
    except ValueError as error:
        raise CaptureError(
            str(error).lower(),
            where=str(folder / pattern),
            hint="`*` stands for any text in a name, `**` for any folders",
        ) from None


def _no_such_file(where: Path) -> CaptureError:
    folder = where.parent
    if not folder.is_dir():
        return CaptureError("no such file", where=str(where), hint=f"{folder} is not a folder")
    neighbours = [
        each.name
        for each in folder.iterdir()
        if each.name.endswith((PARQUET_ENDING, *NDJSON_ENDINGS))
    ]
    hint = did_you_mean(where.name, neighbours) or FORMS
    return CaptureError("no such file", where=str(where), hint=hint)


def _content_hint(folder: Path) -> str:
    names = sorted(each.name for each in folder.iterdir())
    lines = [name for name in names if name.endswith(NDJSON_ENDINGS)]
    if lines:
        return f"NDJSON is scanned file by file: {folder / lines[0]}"
    return FORMS if names else "it is empty"


@dataclass(frozen=True, slots=True)
class _Described:
    """A file of a capture.

    Attributes:
        rows: Of a journal; None for Parquet, which is read when it is asked for.
    """

    path: Path
    metadata: CaptureMetadata
    is_masked: bool
    rows: pl.DataFrame | None = None

    def scan(self, names: list[str]) -> pl.LazyFrame:
        """Return its rows."""
        if self.rows is not None:
            return self.rows.lazy().select(names)
        return pl.scan_parquet(self.path, glob=False, extra_columns="ignore").select(names)


def _describe(path: Path) -> _Described:
    """Read what a file says about itself, and of a journal its rows."""
    if path.suffix == JOURNAL_ENDING:
        return _describe_journal(path)
    try:
        schema = pl.scan_parquet(path, glob=False).collect_schema()
        text = pl.read_parquet_metadata(path).get(METADATA_KEY)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(str(path), error) from None
    metadata = CaptureMetadata() if text is None else decode_metadata(text, where=str(path))
    check_columns(schema, where=str(path))
    return _Described(path, metadata, INVALID in schema)


def _describe_journal(path: Path) -> _Described:
    metadata, chunks = read_journal(path)
    is_masked = bool(metadata.masked)
    schema = {**COLUMNS, INVALID: pl.String()} if is_masked else dict(COLUMNS)
    rows = pl.concat([pl.DataFrame(schema=schema), *chunks])
    return _Described(path, metadata, is_masked, rows)


def _joined(parts: Sequence[CaptureMetadata], count: int, where: Path) -> CaptureMetadata:
    """Describe several files as one; a digest is only known for a single, unchanged file."""
    first = parts[0]
    if len(parts) == 1 and first.messages in {None, count}:
        return replace(first, messages=count)
    _agree([part.stage for part in parts], "of one stage", where)
    times = [part.recorded_at for part in parts if part.recorded_at is not None]
    return replace(
        first,
        recorded_at=min(times, default=None),
        masked=tuple(dict.fromkeys(name for part in parts for name in part.masked)),
        messages=count,
        digest=None,
    )


def _agree(values: Sequence[_T], what: str, where: Path) -> _T:
    if len(set(values)) > 1:
        msg = f"some of these files are {what}, others not"
        raise CaptureError(msg, where=str(where), hint="scan them apart")
    return values[0]


def _null_values(frame: pl.LazyFrame, name: str, where: str) -> CaptureError:
    rows = frame.select(pl.col(name).is_null().arg_true().first()).collect()
    return CaptureError(
        f"{name} is null in row {rows.item()}",
        where=where,
        hint=f"every message of a capture has {name}",
    )


def _refuse_repeated_numbers(frame: pl.LazyFrame, where: str) -> None:
    repeated = frame.select(seq=pl.col("seq").filter(pl.col("seq").is_duplicated()).min()).collect()
    if repeated.item() is not None:
        msg = f"several messages have seq {repeated.item()}"
        raise CaptureError(
            msg,
            where=where,
            hint="files of different recordings must be scanned apart",
        )
