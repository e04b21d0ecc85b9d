"""Frames that are made part by part when somebody collects them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl
from polars.io.plugins import register_io_source


def lazily(
    make: Callable[[], Iterator[pl.DataFrame]], schema: Mapping[str, pl.DataType]
) -> pl.LazyFrame:
    """Give a lazy frame of pieces; it can be collected again and again, and streams.

    Args:
        make: Begins to make the pieces, all with the columns of `schema`.
        schema: Their columns.
    """

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        _batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        for piece in make():
            rows = piece if n_rows is None else piece.head(n_rows)
            n_rows = None if n_rows is None else n_rows - rows.height
            chosen = rows if with_columns is None else rows.select(with_columns)
            yield chosen if predicate is None else chosen.filter(predicate)
            if n_rows == 0:
                return

    return register_io_source(source, schema=dict(schema))
