"""An explanation as plain text and as HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Any

from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.routing.explained import ChangeRow, Explained, TargetRow
from gateway_lab.rules.fill import time_of
from gateway_lab.rules.tree import Value

LONGEST = 60
"""A value is cut behind so many characters."""


def show_value(value: Value, type_: ValueType) -> str:
    """Write a value for people: text in quotes, NULL, a time as RFC 3339; cut if it is long."""
    if value is None:
        return "NULL"
    if type_.kind is Kind.TIMESTAMP and isinstance(value, int):
        time = time_of(value)
        return str(value) if time is None else time.isoformat()
    if isinstance(value, bytes):
        shown = value.decode(errors="replace")
    elif isinstance(value, list):
        shown = _list(value, ValueType(type_.item or Kind.OBJECT))
    else:
        shown = json.dumps(value, ensure_ascii=False)
    return _harmless(shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…")


def _list(values: list[Any], item: ValueType) -> str:
    return f"[{', '.join(show_value(each, item) for each in values)}]"


def _harmless(text: str) -> str:
    """Escape what could move a cursor or turn the direction of writing."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


# --- plain text ---

_MARKS = {"matched": "✓", "TRUE": "✓", "FALSE": "✗", "NULL": "?"}


def as_text(explanation: Explained) -> str:
    """Tell it router by router; `*` marks the clauses that decided."""
    return "\n".join(_lines(explanation))


def _lines(explanation: Explained) -> Iterator[str]:
    yield f"source {explanation.source}, event type {explanation.event_type or 'none'}"
    if explanation.handled:
        yield explanation.handled
    if explanation.invalid:
        yield f"invalid: {explanation.invalid}"
    for decision in () if explanation.invalid else explanation.decisions:
        yield f"router {decision.router}: {decision.result}"
        yield from _route_lines(explanation, decision.router)
        yield from _target_lines(explanation, decision.router)
        yield from _change_lines(explanation, decision.router)
    yield from _target_lines(explanation, None)


def _route_lines(explanation: Explained, router: str) -> Iterator[str]:
    rows = [row for row in explanation.clause_rows if row.router == router]
    for route, clauses in groupby(rows, key=lambda row: row.route):
        yield f"  route {route}"
        for row in clauses:
            values = f"   {row.values}" if row.values else ""
            mark = _MARKS.get(row.result, "·")
            yield f"    {mark} {row.clause}   {row.result}{' *' if row.decided else ''}{values}"


def _target_lines(explanation: Explained, router: str | None) -> Iterator[str]:
    for row in explanation.target_rows:
        if row.router == router:
            yield f"  → {_delivery(row)}"


def _delivery(row: TargetRow) -> str:
    where = f" on {row.channel} ({row.broker})" if row.channel else ""
    why = f": {row.reason}" if row.reason else ""
    sent = ", sent by the handler" if row.route and not row.router else ""
    return f"{row.target} {row.outcome.replace('_', '-')}{where}{why}{sent}"


def _change_lines(explanation: Explained, router: str) -> Iterator[str]:
    """Tell the nearest miss: the route with the fewest clauses that would have to change."""
    rows = [row for row in explanation.change_rows if row.router == router]
    if rows:
        routes = [list(each) for _, each in groupby(rows, key=lambda row: row.route)]
        yield f"  {nearest_miss(min(routes, key=len))}"


def nearest_miss(rows: list[ChangeRow]) -> str:
    """Say what would have to change for one route."""
    changes = " and ".join(
        f"`{row.clause}` would have to be {row.wanted} ({row.values or 'a constant'})"
        for row in rows
    )
    return f"to match {rows[0].route}: {changes}"


# --- HTML ---


def as_html(explanation: Explained) -> str:
    """Make two tables, clauses and deliveries; everything from the message is escaped."""
    title = f"source {explanation.source}, event type {explanation.event_type or 'none'}"
    handled = f"<p>{escape(explanation.handled)}</p>" if explanation.handled else ""
    invalid = f"<p>invalid: {escape(explanation.invalid)}</p>" if explanation.invalid else ""
    clauses = [
        (
            row.router,
            row.route,
            row.clause,
            row.values,
            f"{row.result}{' *' if row.decided else ''}",
        )
        for row in explanation.clause_rows
    ]
    targets = [
        (row.router, row.route, row.target, row.channel, row.outcome, row.reason)
        for row in explanation.target_rows
    ]
    misses = [
        line.strip()
        for decision in explanation.decisions
        for line in _change_lines(explanation, decision.router)
    ]
    return (
        f"<p><b>{escape(title)}</b></p>{handled}{invalid}"
        + _table(("router", "route", "clause", "values", "result"), clauses)
        + _table(("router", "route", "target", "channel", "outcome", "reason"), targets)
        + "".join(f"<p>{escape(each)}</p>" for each in misses)
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str | None, ...]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<th>{each}</th>" for each in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(each or '')}</td>" for each in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
