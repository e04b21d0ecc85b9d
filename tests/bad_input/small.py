"""A small config and small captures to break in every way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import gateway_lab as gl
from gateway_lab.captures.format import COLUMNS, CaptureMetadata

CONFIG = """\
gateway_lab: 1
name: orders
settings: {big: {type: number, value: 1000}}
brokers: {stream: kafka}
events:
  Order:
    type: object
    required: [tenant]
    properties:
      tenant: {type: [string, "null"]}
      priority: {enum: [low, high]}
      amount: {type: number}
      count: {type: integer}
      paid: {type: boolean}
      at: {type: string, format: date-time}
      labels: {type: array, items: {type: string}}
sources:
  orders: {broker: stream, channel: orders, event: Order}
targets:
  high: {broker: stream, channel: high}
routers:
  by_priority:
    source: orders
    match: first
    routes:
      - name: high
        when: "priority = 'high'"
        to: [high]
    unmatched: drop
dead_letter: {broker: stream, channel: dead}
"""
RULE = "\"priority = 'high'\""
FILE = "routes.yaml"


def refused(action: Callable[..., object], *args: object) -> gl.GatewayLabError:
    """Run what must be refused; an error that is not ours fails the test."""
    with pytest.raises(gl.GatewayLabError) as caught:
        action(*args)
    error = caught.value
    assert error.hint or getattr(error, "problems", None), f"no hint: {error}"
    return error


def refused_text(text: str) -> gl.GatewayLabError:
    """Read a document that must be refused."""
    return refused(lambda: gl.parse_config(text, file=FILE))


def worst(text: str) -> gl.Finding:
    """Check a document that can be read, and return the first finding that is an error."""
    findings = gl.check(gl.parse_config(text, file=FILE))
    errors = [each for each in findings if each.severity == "error"]
    assert errors, findings
    assert errors[0].hint, f"no hint: {errors[0]}"
    return errors[0]


def rule_refused(rule: str) -> gl.Finding:
    """Check a rule that must be refused, written in the file as a block: no quoting at all."""
    lines = "".join(f"          {line}\n" for line in rule.split("\n"))
    return worst(CONFIG.replace(f"{RULE}\n", f"|-\n{lines}"))


def capture_of(bodies: Sequence[bytes | None], **columns: Any) -> gl.Capture:
    """Make a capture of these bodies, one a second, on the channel of the source."""
    start = datetime(2026, 3, 2, tzinfo=UTC)
    rows = {
        "seq": range(len(bodies)),
        "received": [start + timedelta(seconds=at) for at in range(len(bodies))],
        "body": list(bodies),
        **columns,
    }
    same = {"broker": "stream", "kind": "kafka", "channel": "orders"}
    frame = pl.DataFrame(rows, schema_overrides={"body": pl.Binary}).with_columns(
        pl.lit(same.get(name)).cast(kind).alias(name)
        for name, kind in COLUMNS.items()
        if name not in rows
    )
    return gl.Capture(frame.cast(pl.Schema(COLUMNS)).select(*COLUMNS).lazy(), CaptureMetadata())
