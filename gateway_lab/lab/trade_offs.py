"""The figure of a tuning: what each point costs and delays, and which ones no other beats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import polars as pl

from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.lab.figure import Figure, draw
from gateway_lab.lab.labels import safe
from gateway_lab.lab.palette import COLOURS, INK, NODE
from gateway_lab.offline.objective import MEASURES, UNITS, frontier
from gateway_lab.offline.tuning import Tuning

BEST, WIDE = "#c0392b", 30.0
"""The colour of the best point; from which ratio of largest to smallest an axis is logarithmic."""


def trade_offs(
    tuning: Tuning, *, x: str | None = None, y: str | None = None, title: str | None = None
) -> Figure:
    """Draw all points of a tuning by two measures, with the frontier that no other point beats.

    What runs today and the best point are marked, points that miss the objective's conditions are
    faint, and a condition on one of the axes is a line.

    Args:
        tuning: What `gl.tune` found.
        x: The measure to the right; left out: the first of `Tuning.axes`.
        y: The measure upward; left out: the second.
        title: Left out: how many points there are, and what was looked for.

    Raises:
        ReplayError: It is no tuning, or nothing is measured by that name.
    """
    if not isinstance(tuning, Tuning):
        hint = "make it first: tuning = gl.tune(config, capture, grid, objective)"
        raise ReplayError(f"this is a {type(tuning).__name__}, and no tuning", hint=hint)
    axes = (_measure(x or tuning.axes[0]), _measure(y or tuning.axes[1]))
    points = tuning.frame.drop_nulls(axes).with_columns(is_met=tuning.objective.met())
    edge = frontier(points, axes)
    traces = [*_clouds(points, tuning, axes), _line(edge, axes), *_marked(tuning, axes)]
    told = f"{points.height:,} points, and the {edge.height:,} that no other beats"
    layout = {
        "xaxis": _axis(points, axes[0]),
        "yaxis": _axis(points, axes[1]),
        "legend_title_text": _path(tuning) or "",
        "shapes": list(_limits(tuning, axes)),
        "height": 480,
    }
    shown = edge.select("point", *tuning.paths, *axes, *({"moved"} - {*axes}))
    title = title or f"{told}<br><sub>looking for {tuning.objective.text}</sub>"
    return draw(traces, title=title, frame=shown, layout=layout)


def _measure(name: str) -> str:
    if name not in MEASURES:
        problem = f"nothing is measured that is called {name!r}"
        raise ReplayError(problem, hint=did_you_mean(name, MEASURES))
    return name


def _axis(points: pl.DataFrame, name: str) -> Mapping[str, Any]:
    """Name an axis with its unit; where values are far apart it is logarithmic."""
    values = points[name]
    least, most = values.min() or 0, values.max() or 0
    is_wide = 0 < least * WIDE < most  # type: ignore[operator]
    is_share = UNITS.get(name) == "%"
    return {
        "title": f"{MEASURES[name]} ({name}{', logarithmic' if is_wide else ''})",
        "type": "log" if is_wide else "linear",
        "tickformat": ".3~%" if is_share else ",.4~g",
        **({"dtick": 1} if is_wide else {"rangemode": "tozero"}),
    }


def _path(tuning: Tuning) -> str | None:
    """Choose what points are coloured by: the last of what the grid varies."""
    several = [each for each in tuning.paths if 1 < tuning.frame[each].n_unique() <= len(COLOURS)]
    return several[-1] if several else None


def _clouds(
    points: pl.DataFrame, tuning: Tuning, axes: tuple[str, str]
) -> Iterator[Mapping[str, Any]]:
    """Draw the points, by colour in the order of the grid."""
    path = _path(tuning)
    parts = (
        points.partition_by(path, as_dict=True, maintain_order=True) if path else {("",): points}
    )
    for number, ((value,), whole) in enumerate(parts.items()):
        is_told = path is not None
        for is_met, part in whole.partition_by("is_met", as_dict=True).items():
            yield {
                "type": "scatter",
                "mode": "markers",
                "name": safe(str(value)),
                "legendgroup": str(value),
                "showlegend": is_told and (is_met[0] or not whole["is_met"].any()),
                "x": part[axes[0]].to_list(),
                "y": part[axes[1]].to_list(),
                "marker": {"size": 9, "color": COLOURS[number]},
                "opacity": 0.9 if is_met[0] else 0.45,
                "customdata": [_told(row, tuning) for row in part.rows(named=True)],
                "hovertemplate": "%{customdata}<extra></extra>",
            }


def _told(row: Mapping[str, Any], tuning: Tuning) -> str:
    values = [f"<b>{path} = {safe(str(row[path]))}</b>" for path in tuning.paths]
    return "<br>".join([f"point {row['point']}", *values, *tuning.measured(row)])


def _line(edge: pl.DataFrame, axes: tuple[str, str]) -> Mapping[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "frontier",
        "x": edge[axes[0]].to_list(),
        "y": edge[axes[1]].to_list(),
        "line": {"width": 1.5, "color": NODE, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _marked(tuning: Tuning, axes: tuple[str, str]) -> Iterator[Mapping[str, Any]]:
    """Ring what runs today and the best point."""
    rows = [("today", tuning.today, INK, 15)]
    with suppress(ReplayError):  # no point meets the conditions, which the faint points show
        rows.append(("best", tuning.best_point, BEST, 19))
    for name, row, colour, size in rows:
        yield {
            "type": "scatter",
            "mode": "markers+text",
            "name": name,
            "x": [row[axes[0]]],
            "y": [row[axes[1]]],
            "text": [name],
            "textposition": _beside(name, is_on_axis=not row[axes[1]]),
            "textfont": {"color": colour},
            "cliponaxis": False,
            "marker": {
                "size": size,
                "symbol": "circle-open",
                "color": colour,
                "line": {"width": 2},
            },
            "hoverinfo": "skip",
        }


def _beside(name: str, *, is_on_axis: bool) -> str:
    """Place the best point's name where no better point can be, and off the marks of the axis."""
    if name != "best":
        return "top right"
    return "top left" if is_on_axis else "bottom left"


def _limits(tuning: Tuning, axes: tuple[str, str]) -> Iterator[Mapping[str, Any]]:
    """Draw conditions on an axis as lines."""
    for name, _, number in tuning.objective.conditions:
        line = {"type": "line", "line": {"width": 1, "dash": "dash", "color": BEST}}
        if name == axes[0]:
            yield {**line, "x0": number, "x1": number, "y0": 0, "y1": 1, "yref": "paper"}
        elif name == axes[1]:
            yield {**line, "y0": number, "y1": number, "x0": 0, "x1": 1, "xref": "paper"}
