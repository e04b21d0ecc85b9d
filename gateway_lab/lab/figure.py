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
from gateway_lab.lab.palette import INK, QUIET

try:
    import plotly.graph_objects as go
except ImportError as error:
    raise MissingExtraError("plotly", extra="lab") from error

MIME = "application/vnd.plotly.v1+json"
ROWS_SHOWN = 12
_LOOK = {
    "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "hoverlabel": {"align": "left"},
    "margin": {"l": 60, "r": 30, "t": 60, "b": 50},
    "title": {"x": 0.01, "xanchor": "left", "font": {"size": 16}},
    "xaxis": {"automargin": True, "gridcolor": "#edf0f3", "linecolor": QUIET, "zeroline": False},
    "yaxis": {"automargin": True, "gridcolor": "#edf0f3", "linecolor": QUIET, "zeroline": False},
    "legend": {"traceorder": "normal"},
}


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
    figure = Figure(data=traces, layout={"template": {"layout": _LOOK}}, frame=frame)
    figure.update_layout(title_text=title, **(layout or {}))
    return figure
