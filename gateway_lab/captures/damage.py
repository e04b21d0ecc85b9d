"""Saying that a file cannot be read, at whatever moment that turns out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from gateway_lab.errors import CaptureError

FORMS = "a capture is a .parquet file, a folder of them, or an .ndjson file"


@contextmanager
def damage_told(paths: Sequence[Path | str]) -> Iterator[None]:
    """Say of reading these files (none: not known) that they are damaged, where polars says so.

    A scan looks at three columns; that another is damaged turns out when it is read.

    Raises:
        CaptureError: A file is damaged.
    """
    try:
        yield
    except pl.exceptions.ComputeError as error:
        if "out of specification" not in str(error):
            raise
        raise unreadable(_place(paths), error) from None


def _place(paths: Sequence[Path | str]) -> str:
    if not paths:
        return ""
    return str(paths[0] if len(paths) == 1 else Path(paths[0]).parent)


def unreadable(where: str, error: Exception) -> CaptureError:
    """Make the error of a file that polars or the system cannot read."""
    begin: bytes | None = None
    try:
        begin = _begin(Path(where))
    except OSError as refused:
        error = refused
    if isinstance(error, OSError) and error.errno is not None:
        hint = "look at who may read it" if isinstance(error, PermissionError) else FORMS
        return CaptureError(f"cannot be read: {error.strerror}", where=where, hint=hint)
    if begin == b"":
        return CaptureError("this file is empty (0 bytes)", where=where, hint="record it again")
    if begin not in {None, b"PAR1"}:
        return CaptureError(
            "not a Parquet file", where=where, hint=f"{FORMS}; a config is the argument before it"
        )
    return CaptureError(
        f"this Parquet file is truncated or damaged ({_shortened(error)})",
        where=where,
        hint="copy or record it again; an unfinished recording ends in .partial",
    )


def _begin(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(4)


def _shortened(error: Exception) -> str:
    return str(error).splitlines()[0].removeprefix("parquet: ")[:120]
