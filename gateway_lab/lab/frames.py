"""What figures are drawn from: a result, or a frame of one, with the columns that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

import polars as pl

from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.offline.diff import RouteDiff
from gateway_lab.offline.summary import Replay

Frame: TypeAlias = pl.DataFrame | pl.LazyFrame
T = TypeVar("T")

MADE: Mapping[type, tuple[str, str]] = {
    Replay: ("replay", "make it first: replay = gl.replay(config, capture)"),
    RouteDiff: ("diff", "make it first: diff = gl.diff(config, draft, capture)"),
}


def frame_of(result: T | Frame, kind: type[T], method: Callable[[T], Frame]) -> Frame:
    """Return a frame as it is, and of a result what its method gives.

    Raises:
        ReplayError: It is another kind of result.
    """
    if isinstance(result, Frame):
        return result
    if isinstance(result, kind):
        return method(result)
    noun, made = MADE[kind]
    raise ReplayError(f"this is a {type(result).__name__}, and no {noun}", hint=made)


def with_columns(given: Frame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns that a figure shows.

    Raises:
        ReplayError: It is no frame, or lacks a column.
    """
    if not isinstance(given, Frame):
        raise ReplayError(
            f"this is a {type(given).__name__}, and no frame",
            hint="give one of a result's frames, such as replay.channels()",
        )
    frame = given.lazy().collect()
    for column in columns:
        if column not in frame.columns:
            raise ReplayError(
                f"the frame has no column {column!r}", hint=did_you_mean(column, frame.columns)
            )
    return frame.select(*dict.fromkeys(columns))


def parted(frame: pl.DataFrame, column: str | None) -> list[tuple[str, pl.DataFrame]]:
    """Part a frame by the values of a column, in the order of their names."""
    if column is None:
        return [("", frame)]
    parts = frame.partition_by(column, as_dict=True)
    return sorted((str(name), part) for (name,), part in parts.items())


def written_times(times: pl.Series) -> list[str]:
    """Write times as plotly reads them."""
    return times.dt.strftime("%Y-%m-%dT%H:%M:%S%.f").to_list()
