"""Counts over time, as areas on top of each other, one a name."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from gateway_lab.lab.figure import Figure, counts_axis, draw
from gateway_lab.lab.frames import parted, written_times
from gateway_lab.lab.labels import short
from gateway_lab.lab.palette import COLOURS, FIXED, NODE, faint

LEGEND = 32
"""Characters of a name in a legend."""


def stacked(
    frame: pl.DataFrame,
    by: str,
    chosen: Mapping[str, str],
    *,
    every: str | None,
    unit: str,
    title: str,
) -> Figure:
    """Draw counts over time; of more names than there are colours the smallest are one area.

    Args:
        frame: Columns `time`, `by`, and last the counts; a row a step and name.
        by: The column of the names.
        chosen: Name to colour.
        every: The width of a step; left out where it is not known.
        unit: What is counted, in which step.
        title: What the figure shows.
    """
    count = frame.columns[-1]
    areas = _folded(frame.rename({by: "name", count: "count"}))
    steps = _steps(areas["time"], every)
    traces = [
        {
            "type": "scatter",
            "mode": "lines" if len(steps) > 1 else "markers",
            "name": short(name, most=LEGEND),
            "stackgroup": "all",
            "line": {"width": 1, "shape": "hv", "color": chosen.get(name, NODE)},
            "fillcolor": faint(chosen.get(name, NODE), alpha=0.6),
            "x": written_times(steps),
            "y": _at(steps, part),
            "hovertemplate": "%{y:,d}",
        }
        # What has no colour of its own, the others, comes last.
        for name, part in sorted(parted(areas, "name"), key=lambda part: part[0] not in chosen)
    ]
    tallest = areas.group_by("time").agg(pl.col("count").sum())["count"].max()
    layout = {
        "hovermode": "x unified",
        "xaxis_title_text": "received (UTC)",
        "yaxis": counts_axis(unit, tallest),
        "showlegend": True,
    }
    return draw(traces, title=title, frame=frame, layout=layout)


def _folded(frame: pl.DataFrame) -> pl.DataFrame:
    """Put the smallest of too many names together; what goes wrong is never among them."""
    sizes = frame.group_by("name").agg(pl.col("count").sum())
    if sizes.height <= len(COLOURS):
        return frame
    kept = sizes.filter(~pl.col("name").is_in([*FIXED])).sort(
        "count", "name", descending=[True, False]
    )
    small = kept["name"][len(COLOURS) - 1 :].to_list()
    others = pl.when(pl.col("name").is_in(small)).then(pl.lit(f"{len(small):,} others"))
    named = frame.with_columns(name=others.otherwise("name"))
    return named.group_by("time", "name", maintain_order=True).agg(pl.col("count").sum())


def _steps(times: pl.Series, every: str | None) -> pl.Series:
    """Return where steps begin and end: a count holds for its step, and not up to the next."""
    begins = times.unique().sort()
    if every is not None:
        ends = begins.dt.offset_by(every)
    else:
        width = begins.diff().min()
        ends = begins.tail(1) + width if width is not None else begins
    return pl.concat([begins, ends]).unique().sort()


def _at(steps: pl.Series, part: pl.DataFrame) -> list[int]:
    summed = part.group_by("time").agg(pl.col("count").sum())
    placed = steps.to_frame("time").join(summed, on="time", how="left", maintain_order="left")
    return placed["count"].fill_null(0).to_list()
