"""Frames in the order of the document."""

from __future__ import annotations

import polars as pl


def in_order(frame: pl.DataFrame, orders: dict[str, list[str]]) -> pl.DataFrame:
    """Sort by the places of names in the document; nulls come last, the rest stays."""
    places = [
        pl.col(name).replace_strict(names, range(len(names)), default=None, return_dtype=pl.UInt32)
        for name, names in orders.items()
    ]
    return frame.sort(places, nulls_last=True, maintain_order=True)
