"""A replay as text and as HTML: the books first, whatever else there is."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from gateway_lab.offline.summary import Replay

SHOWN = 30
"""Rows of a table that are shown."""


def as_text(replay: Replay) -> str:
    """Show config, capture and books."""
    name, digest = replay.config.name, replay.config.digest[:12]
    lines = [f"Replay of {name} {digest}: {replay.books()}"]
    lines += [f"  {each.severity} [{each.code}] {each.text}" for each in replay.findings[:SHOWN]]
    return "\n".join(lines)


def as_html(replay: Replay) -> str:
    """Show the books as tables."""
    head, *rest = as_text(replay).splitlines()
    unread = [line for line in rest if "no_source" in line or "not_replayed" in line]
    notes = [f"[{each.code}] {each.text}" for each in replay.findings[:SHOWN]]
    paragraphs = "".join(f"<p>{escape(line.strip())}</p>" for line in [head, *unread, *notes])
    tables = "".join(map(html_table, (replay.routers(), replay.targets())))
    return f"<div>{paragraphs}{tables}</div>"


def html_table(frame: pl.DataFrame) -> str:
    """Write a small frame as a plain HTML table: it survives where styles are removed."""
    head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
    body = "".join(f"<tr>{''.join(_cells(row))}</tr>" for row in frame.head(SHOWN).rows())
    more = frame.height - SHOWN
    foot = f"<p>and {more:,} more</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}"


def _cells(row: tuple[object, ...]) -> Iterator[str]:
    for value in row:
        if isinstance(value, int) and not isinstance(value, bool):
            yield f'<td style="text-align:right">{value:,}</td>'
        elif isinstance(value, float):
            yield f'<td style="text-align:right">{value:.4g}</td>'
        else:
            yield f"<td>{'' if value is None else escape(str(value))}</td>"
