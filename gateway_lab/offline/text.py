"""A replay as text and as HTML: the books first, whatever else there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import polars as pl

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.findings import Finding
from gateway_lab.offline.books import Books

SHOWN = 30
"""Rows of a table that are shown."""


def as_text(config: GatewayConfig, books: Books, findings: Sequence[Finding]) -> str:
    """Show config and books."""
    lines = [f"Replay of {config.name} {config.digest[:12]}: {books}"]
    lines += [f"  {each.severity} [{each.code}] {each.text}" for each in findings[:SHOWN]]
    return "\n".join(lines)


def as_html(text: str, tables: Sequence[pl.DataFrame]) -> str:
    """Show the text of a replay with the books as tables."""
    head, *rest = text.splitlines()
    kept = ("no_source", "not_replayed", "[")
    lines = [head, *(line for line in rest if any(word in line for word in kept))]
    paragraphs = "".join(f"<p>{escape(line.strip())}</p>" for line in lines)
    return f"<div>{paragraphs}{''.join(map(html_table, tables))}</div>"


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
