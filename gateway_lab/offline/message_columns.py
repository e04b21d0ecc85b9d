"""The columns of what is not in the body: key, times, source, channel and headers."""

from __future__ import annotations

import polars as pl

from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.combinations import Column, encode
from gateway_lab.offline.parts import Part
from gateway_lab.rules.tree import Header, Meta, column_name


def message_column(part: Part, reference: Meta | Header, source: str) -> Column:
    """Give a value of each message of a part, as the Python engine would see it.

    Args:
        part: The messages.
        reference: Which value.
        source: The name of the source they are looked at as.
    """
    if isinstance(reference, Meta) and reference.name == "source":
        return Column(pl.Series([source]), pl.zeros(part.rows, dtype=pl.UInt8, eager=True))
    name = column_name(reference)

    def make() -> Column:
        return encode(_read(part, reference).alias(name))

    return CACHE.get(("message", part.key, name), make)


def _read(part: Part, reference: Meta | Header) -> pl.Series:
    if isinstance(reference, Header):
        return _header(part, reference.name)
    column = part.read(reference.name).to_series()
    match reference.name:
        case "key":
            return as_text(column)
        case "timestamp" | "received":
            return column.cast(pl.Int64)
        case _:
            return column.fill_null("")


def _header(part: Part, name: str) -> pl.Series:
    """Find the last value of a header, whatever the case of its name."""
    headers = part.read("headers").with_row_index("row")
    items = headers.filter(pl.col("headers").list.len() > 0).explode("headers").unnest("headers")
    stored = [each for each in items["name"].unique() if each is not None and each.lower() == name]
    last = (
        items.filter(pl.col("name").is_in(stored))
        .group_by("row", maintain_order=True)
        .agg(pl.col("value").last().fill_null(b""))
    )
    values = headers.select("row").join(last, on="row", how="left", maintain_order="left")
    return as_text(values["value"])


def as_text(values: pl.Series) -> pl.Series:
    """Read bytes as text; null where they are not UTF-8."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:
        texts = [None if value is None else _text(value) for value in values]
        return pl.Series(values.name, texts, dtype=pl.String)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
