"""A figure that can be read everywhere: drawn where plotly is, else a table of its numbers.

A plotly figure alone is blank on a code host, in an exported page and in a terminal. So each one
carries its numbers: as `text/html` and `text/plain` beside the drawing, and as `.frame`.
"""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from gateway_lab.errors import MissingExtraError
from gateway_lab.lab.cells import text
from gateway_lab.lab.palette import CARD, CLEAR, INK, ON_CARD, faint

try:
    import plotly.graph_objects as go
except ImportError as error:
    raise MissingExtraError("plotly", extra="lab") from error

MIME = "application/vnd.plotly.v1+json"
ROWS_SHOWN = 12
FONT = "system-ui, sans-serif"
_AXIS = {
    "automargin": True,
    "gridcolor": faint(INK, alpha=0.25),
    "linecolor": faint(INK, alpha=0.6),
    "zeroline": False,
    "ticklabelstandoff": 5,
    "title": {"standoff": 12},
}
# Pages are light or dark, and a figure is not told which: it has no ground of its own.
_LOOK = {
    "font": {"family": FONT, "size": 12, "color": INK},
    "paper_bgcolor": CLEAR,
    "plot_bgcolor": CLEAR,
    "modebar": {"bgcolor": CLEAR, "color": faint(INK, alpha=0.6), "activecolor": INK},
    "hoverlabel": {
        "align": "left",
        "bgcolor": CARD,
        "bordercolor": INK,
        "font": {"family": FONT, "color": ON_CARD},
        "namelength": -1,
    },
    "margin": {"l": 60, "r": 30, "t": 70, "b": 50},
    "title": {"x": 0.01, "xanchor": "left", "font": {"size": 16}},
    "xaxis": _AXIS,
    "yaxis": _AXIS,
    "legend": {"traceorder": "normal"},
}
# Plotly draws a flow without ways as an error, and axes without values from -1 to 6.
_NOTHING = {
    "height": 160,
    "xaxis": {"visible": False},
    "yaxis": {"visible": False},
    "annotations": [
        {"text": "nothing to show", "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
        | {"showarrow": False, "font": {"size": 14}}
    ],
}
FEW = 8
"""Counts below it have a mark each on their axis, for there is nothing between them."""


class Figure(go.Figure):  # type: ignore[misc]
    """A plotly figure and the frame it was drawn from.

    Everything that plotly's own figures can do works: `update_layout`, `write_html`, `show`.

    Attributes:
        frame: The numbers shown, a row each.
    """

    def __init__(self, *arguments: Any, frame: pl.DataFrame | None = None, **names: Any) -> None:
        super().__init__(*arguments, **names)
        self._frame = pl.DataFrame() if frame is None else frame

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy keep the frame."""
        make, properties = super().__reduce__()
        return functools.partial(make, frame=self._frame), properties

    @property
    def frame(self) -> pl.DataFrame:
        """The numbers shown, a row each."""
        return self._frame

    # IPython asks for this before the bundle; plotly's own puts its whole library into the output.
    _ipython_display_ = None

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, Any]:
        drawing = json.loads(self.to_json(engine="json"))
        # Not `responsive`: JupyterLab keeps the width in step by itself, and the two together
        # leave a figure without height once the window is another.
        drawing["config"] = {"displaylogo": False}
        return {MIME: drawing, "text/html": self._repr_html_(), "text/plain": repr(self)}

    def _repr_html_(self) -> str:
        head, rows, rest = self._cells()
        lines = ["".join(f"<th>{html.escape(name)}</th>" for name in head)]
        lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
        body = "\n".join(f"<tr>{line}</tr>" for line in lines)
        more = f"<p>{rest}</p>" if rest else ""
        return f"<table>\n<caption>{html.escape(self._heading())}</caption>\n{body}\n</table>{more}"

    def __repr__(self) -> str:
        head, rows, rest = self._cells()
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        aligns = [str.rjust if dtype.is_numeric() else str.ljust for dtype in self._frame.dtypes]
        lines = [
            "  ".join(
                align(cell, width) for align, cell, width in zip(aligns, row, widths, strict=True)
            ).rstrip()
            for row in (head, *rows)
        ]
        return "\n".join([self._heading(), *lines, *([rest] if rest else [])])

    def _heading(self) -> str:
        title = str(self.layout.title.text or "Figure").replace("<br>", " · ")
        return title.replace("<sub>", "").replace("</sub>", "")

    def _cells(self) -> tuple[list[str], list[list[str]], str]:
        """Return the head, the first rows and a word on those that are left out, as text."""
        shown = self._frame.head(ROWS_SHOWN)
        hidden = self._frame.height - shown.height
        rows = [[text(value) for value in row] for row in shown.rows()]
        return shown.columns, rows, f"… and {hidden:,} more rows" if hidden else ""


def draw(
    traces: list[Any], *, title: str, frame: pl.DataFrame, layout: Mapping[str, Any] | None = None
) -> Figure:
    """Make a figure in the look of all ours.

    Args:
        traces: Plotly traces, as objects or mappings.
        title: What the figure shows, in words.
        frame: The numbers shown.
        layout: Plotly layout, merged into the look.
    """
    if frame.is_empty():
        traces, layout = [], _NOTHING
    figure = Figure(data=traces, layout={"template": {"layout": _LOOK}}, frame=frame)
    figure.update_layout(title_text=title, **(layout or {}))
    return figure


def counts_axis(title: str, most: Any) -> Mapping[str, Any]:
    """Return an axis of counts: whole numbers, written out, from nothing upward.

    Args:
        title: What is counted.
        most: The largest count; null where there is none.
    """
    marks = {"dtick": 1} if (most or 0) < FEW else {}
    return {"title": {"text": title}, "tickformat": ",d", "rangemode": "tozero", **marks}
