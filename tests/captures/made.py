"""Captures made by hand for tests: awkward in every column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS, CaptureMetadata

START = datetime(2026, 3, 2, 8, tzinfo=UTC)

BODIES: list[bytes | None] = [
    b'{"id":1}',
    b' {"id": 1.0}',
    b"null",
    None,
    b"",
    b"\xff\xfe",
    b"plain text",
    b'{"a":\n1}',
    '{"name":"Größe"}'.encode(),
    b'{"deep":' + b"[" * 2000 + b"]" * 2000 + b"}",
]
HEADERS: list[list[dict[str, Any]]] = [
    [],
    [{"name": "x", "value": b"1"}],
    [{"name": "x", "value": b"1"}, {"name": "x", "value": b"2"}],
    [{"name": "bin", "value": b"\xff"}, {"name": "", "value": b""}],
]
KEYS = [None, b"", b"k", b"\xff"]


def a_frame(n: int = 40, **columns: Any) -> pl.DataFrame:
    """Make n rows that go through all odd values; columns given replace those."""
    rows = {
        "seq": range(10, 10 + n),
        "received": [START + timedelta(microseconds=1_000_001 * i) for i in range(n)],
        "timestamp": [None if i % 7 == 3 else START + timedelta(seconds=i) for i in range(n)],
        "broker": ["stream"] * n,
        "kind": ["kafka"] * n,
        "channel": ["events" if i % 3 else "other" for i in range(n)],
        "partition": [None if i % 5 == 4 else str(i % 5) for i in range(n)],
        "position": [str(i) for i in range(n)],
        "key": [KEYS[i % len(KEYS)] for i in range(n)],
        "headers": [HEADERS[i % len(HEADERS)] for i in range(n)],
        "body": [BODIES[i % len(BODIES)] for i in range(n)],
    }
    return pl.DataFrame(rows | columns, schema=COLUMNS)


def a_capture(n: int = 40, **columns: Any) -> Capture:
    """Make a capture in memory of such rows."""
    return Capture(a_frame(n, **columns).lazy(), CaptureMetadata(recorded_by="a test"))
