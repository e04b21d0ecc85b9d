"""Rows of a capture: as messages, and the column of headers made of Python values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from gateway_lab.captures.format import COLUMNS
from gateway_lab.messages.message import Message


def message_of(row: Mapping[str, Any]) -> Message:
    """Make a message of a row, as `iter_rows(named=True)` gives it."""
    headers = tuple((item["name"], item["value"] or b"") for item in row["headers"] or ())
    return Message(
        body=row["body"],
        key=row["key"],
        headers=headers,
        timestamp=row["timestamp"],
        received=row["received"],
        broker=row["broker"] or "",
        protocol=row["kind"] or "",
        channel=row["channel"] or "",
        partition=row["partition"],
        position=row["position"],
        seq=row["seq"],
    )


def headers_column(headers: Sequence[Sequence[Mapping[str, Any]] | None]) -> pl.Series:
    """Make the column `headers`, ten times as fast as Polars does from nested lists.

    Args:
        headers: A list of `name` and `value` for each message; None is none.
    """
    rows = [row for row, items in enumerate(headers) for _ in items or ()]
    names = [item["name"] for items in headers for item in items or ()]
    values = [item["value"] for items in headers for item in items or ()]
    flat = pl.DataFrame(
        {"row": rows, "name": names, "value": values},
        schema={"row": pl.Int64(), "name": pl.String(), "value": pl.Binary()},
    )
    lists = flat.group_by("row", maintain_order=True).agg(headers=pl.struct("name", "value"))
    every = pl.DataFrame({"row": pl.int_range(len(headers), eager=True)})
    joined = every.join(lists, on="row", how="left", maintain_order="left")
    return joined.select(pl.coalesce("headers", pl.lit([], COLUMNS["headers"]))).to_series()
