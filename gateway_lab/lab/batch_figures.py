"""Figures of batches: an aggregate over time between its bounds, and how large batches are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.lab.figure import Figure, counts_axis, draw
from gateway_lab.lab.frames import Frame, parted, with_columns, written_times
from gateway_lab.lab.labels import counted, safe, short
from gateway_lab.lab.palette import COLOURS, colours, faint
from gateway_lab.lab.stacked import LEGEND
from gateway_lab.offline.samples import checked_step

SHOWN = 6
"""Groups that are drawn where nobody names them: more lines than that tell nothing."""

MARKED = 200
"""Points of a line that are marked; of more the marks would hide the line."""

BINS = 40
_OWN = ("batch", "messages", "windows")
"""Columns of a batch that are used where a frame has them."""


def batches(  # noqa: PLR0913 - all but two are rarely given
    frame: Frame,
    *,
    y: str,
    by: str | None = None,
    band: tuple[str, str] | None = None,
    only: Sequence[object] = (),
    every: str | None = None,
    time: str = "closed",
    title: str | None = None,
) -> Figure:
    """Draw an aggregate of batches over time, as a line between two others.

    Args:
        frame: `Replay.batches(name)`: a row a batch and group.
        y: The column of the aggregate that the line shows.
        by: The column that names the groups, a line each. Left out: one line, in which the groups
            of a batch are put together: the mean of `y`, weighted by `messages`, the least of the
            band's first column and the greatest of its second.
        band: Two columns between which it lies, such as `("min", "max")`.
        only: The groups to draw; left out: the six with the most messages.
        every: Puts the batches of a step together in the same way: `10s`, `1m`. Left out: each
            batch is a point.
        time: The column of the times.
        title: Left out: what is drawn, and whether its windows are simulated.

    Raises:
        ReplayError: It is no frame, lacks a column or has no such group; `every` is no step.
    """
    own = [each for each in _OWN if each in _columns(frame)]
    edges = band or ()
    keys = [time, *([by] if by else [])]
    whole = with_columns(frame, [*keys, y, *edges, *own])
    kept = whole if by is None else _of_groups(whole, by, only)
    shown = _together(kept, keys, y, edges, every).sort(keys)
    chosen = _colours(whole, shown, by)
    traces = [
        trace
        for name, part in parted(shown, by)
        for trace in _traces(part, name, chosen.get(name, COLOURS[0]), (time, y, *edges))
    ]
    layout = {
        "hovermode": "x unified",
        "xaxis_title": f"{time} (UTC)",
        "yaxis_title": y,
        "showlegend": by is not None,
    }
    between = f" between {' and '.join(edges)}" if edges else ""
    step = "batch by batch" if every is None else f"in steps of {every}"
    told = f"{y}{between}{_some_of(whole, shown, by)}, {step}{_windows_of(whole)}"
    numbers = shown.drop(own, strict=False)
    return draw(traces, title=title or told, frame=numbers, layout=layout)


def batch_sizes(frame: Frame, *, title: str | None = None) -> Figure:
    """Draw how many batches have how many messages.

    Args:
        frame: `Replay.batches(name)`: a row a batch and group.
        title: Left out: how many batches there are, and what they hold on average.

    Raises:
        ReplayError: It is no frame, or lacks a column.
    """
    own = [each for each in _OWN if each in _columns(frame)]
    whole = with_columns(frame, ["batch", "messages", *own])
    sizes = whole.group_by("batch").agg(pl.col("messages").sum())["messages"].to_list()
    step = max(1, math.ceil((max(sizes, default=0) + 1) / BINS))
    counts = sorted(Counter(size // step * step for size in sizes).items())
    shown = pl.DataFrame(
        [(low, low + step - 1, number) for low, number in counts],
        schema={"from": pl.Int64, "to": pl.Int64, "batches": pl.Int64},
        orient="row",
    )
    trace = {
        "type": "bar",
        "x": [low + (step - 1) / 2 for low, _ in counts],
        "y": [number for _, number in counts],
        "width": 0.94 * step,
        "marker": {"color": COLOURS[0]},
        "customdata": [
            f"{low:,}" + (f" to {low + step - 1:,}" if step > 1 else "") for low, _ in counts
        ],
        "hovertemplate": "%{y:,} batches of %{customdata} messages<extra></extra>",
    }
    mean = sum(sizes) / len(sizes) if sizes else 0
    number = counted(len(sizes), "batch", "batches")
    told = f"{number}, {mean:,.4g} messages each on average{_windows_of(whole)}"
    layout = {
        "xaxis": counts_axis("messages of a batch", max(sizes, default=0)),
        "yaxis": counts_axis("batches", shown["batches"].max()),
    }
    return draw([trace], title=title or told, frame=shown, layout=layout)


def _columns(frame: Frame) -> list[str]:
    is_frame = isinstance(frame, pl.DataFrame | pl.LazyFrame)
    return frame.lazy().collect_schema().names() if is_frame else []


def _together(
    frame: pl.DataFrame, keys: Sequence[str], y: str, edges: Sequence[str], every: str | None
) -> pl.DataFrame:
    """Put together what has one batch, or one step, and group."""
    if every is not None:
        frame = frame.with_columns(pl.col(keys[0]).dt.truncate(checked_step(every)))
    elif "batch" in frame.columns:
        keys = ["batch", *keys]
    weight = pl.col("messages") if "messages" in frame.columns else pl.lit(1)
    known = pl.when(pl.col(y).is_not_null()).then(weight)
    parts = [((pl.col(y) * weight).sum() / known.sum()).alias(y)]
    parts += [pl.col(each).min() for each in edges[:1]] + [pl.col(each).max() for each in edges[1:]]
    return frame.group_by(keys, maintain_order=True).agg(*parts)


def _colours(whole: pl.DataFrame, shown: pl.DataFrame, by: str | None) -> Mapping[str, str]:
    """Return a colour for each group: the same in every figure while there are enough."""
    if by is None:
        return {}
    every, some = (each[by].cast(pl.String).drop_nulls().unique() for each in (whole, shown))
    return colours(every if len(every) <= len(COLOURS) else some)


def _of_groups(frame: pl.DataFrame, by: str, only: Sequence[object]) -> pl.DataFrame:
    """Keep the groups that are asked for, else the largest."""
    known = frame[by].unique()
    for each in only:
        if each not in known:
            names = [str(name) for name in known.drop_nulls()]
            raise ReplayError(f"no group is called {each!r}", hint=did_you_mean(str(each), names))
    kept = list(only) or _largest(frame, by)
    return frame.filter(pl.col(by).is_in(kept, nulls_equal=True))


def _largest(frame: pl.DataFrame, by: str) -> list[object]:
    weight = pl.col("messages").sum() if "messages" in frame.columns else pl.len()
    sizes = frame.group_by(by).agg(weight=weight)
    return sizes.sort("weight", by, descending=[True, False])[by].head(SHOWN).to_list()


def _traces(
    part: pl.DataFrame, name: str, colour: str, columns: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    """Draw one group: two lines that cannot be seen, what is between them, and the line."""
    time, y, *edges = columns
    group = {"type": "scatter", "x": written_times(part[time])}
    group |= {"legendgroup": safe(name), "name": short(name, most=LEGEND)}
    for number, edge in enumerate(edges):
        filled = {"fill": "tonexty", "fillcolor": faint(colour, alpha=0.18)} if number else {}
        yield {
            **group,
            **filled,
            "mode": "lines",
            "line": {"width": 0},
            "showlegend": False,
            "y": part[edge].to_list(),
            "hovertemplate": f"{edge} %{{y:,.6~g}}<extra>%{{fullData.name}}</extra>",
        }
    yield {
        **group,
        "mode": "lines+markers" if part.height <= MARKED else "lines",
        "line": {"width": 1.5, "color": colour},
        "marker": {"size": 4 if part.height > 1 else 9},
        "y": part[y].to_list(),
        "hovertemplate": f"{y} %{{y:,.6~g}}<extra>%{{fullData.name}}</extra>",
    }


def _some_of(whole: pl.DataFrame, shown: pl.DataFrame, by: str | None) -> str:
    """Say by what the lines are, and how many of them are drawn."""
    if by is None:
        return ""
    number, every = shown[by].n_unique(), whole[by].n_unique()
    return f" by {by}" + (f", {number} of {every}" if number < every else "")


def _windows_of(frame: pl.DataFrame) -> str:
    """Say where the windows come from, where the frame knows."""
    if "windows" not in frame.columns or frame.is_empty():
        return ""
    kinds = sorted(frame["windows"].unique())
    return f"<br><sub>{' and '.join(kinds)} windows</sub>"
