"""Headers of generated messages: the usual ones, and what other systems leave behind."""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.format import COLUMNS
from gateway_lab.captures.profiles.draws import Draws, looked_up
from gateway_lab.protocols.protocol import is_plain

_CONTENT_TYPES = {
    "application/json": 90,
    "application/json; charset=utf-8": 9,
    "text/plain": 0.8,
    "Application/JSON": 0.2,
}
_FOREIGN = {
    "x-b3-traceid": b"463ac35c9f6413ad48485a3953bb6124",
    "spring_json_header_types": b'{"contentType":"java.lang.String"}',
    "kafka_correlationId": b"\x00\x9f\x92\x96\xff\x01",
    "ce_specversion": b"1.0",
    "x-legacy-name": "Größe".encode("latin-1"),
    "x-empty": b"",
}

_BINARY = [name for name, value in _FOREIGN.items() if not is_plain(value)]


def with_headers(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    """Add the column `headers`: none to four a message, among them odd and binary ones.

    On NATS there are no binary ones: it cannot carry them.
    """
    drawn = [
        rows.filter(draws.chance(f"has {kind}", share))
        .with_columns(name=name, value=value)
        .filter((pl.col("kind") != "nats") | ~pl.col("name").is_in(_BINARY))
        .select(
            "seq",
            pl.lit(place, pl.UInt8).alias("place"),
            pl.struct("name", "value").alias("headers"),
        )
        for place, (kind, share, name, value) in enumerate(_drawn(draws))
    ]
    lists = pl.concat(drawn).sort("seq", "place").group_by("seq", maintain_order=True)
    none = pl.lit([], COLUMNS["headers"])
    return rows.join(
        lists.agg("headers"), on="seq", how="left", maintain_order="left"
    ).with_columns(pl.coalesce("headers", none))


def _drawn(draws: Draws) -> list[tuple[str, float, pl.Expr, pl.Expr]]:
    """Say for each kind of header its share of the messages, its name and its value."""
    foreign = draws.below("foreign", len(_FOREIGN))
    values = pl.lit(pl.Series(list(_FOREIGN.values()), dtype=pl.Binary))
    content_type = draws.weighted("content type", _CONTENT_TYPES).cast(pl.Binary)
    traceparent = _traceparent(draws).cast(pl.Binary)
    return [
        ("content type", 0.93, pl.lit("content-type"), content_type),
        ("request id", 0.7, _request_name(draws), _request_id(draws)),
        ("traceparent", 0.4, pl.lit("traceparent"), traceparent),
        (
            "foreign header",
            0.03,
            looked_up(list(_FOREIGN), foreign),
            values.gather(foreign),
        ),
    ]


def _request_name(draws: Draws) -> pl.Expr:
    return draws.weighted("request id name", {"x-request-id": 96, "X-Request-ID": 4})


def _request_id(draws: Draws) -> pl.Expr:
    digits = draws.hexadecimal("request id", 32)
    cuts = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))
    parts = [digits.str.slice(start, length) for start, length in cuts]
    return pl.concat_str(parts, separator="-").cast(pl.Binary)


def _traceparent(draws: Draws) -> pl.Expr:
    sampled = draws.weighted("sampled", {"01": 10, "00": 90})
    trace, span = draws.hexadecimal("trace", 32), draws.hexadecimal("span", 16)
    return pl.concat_str(pl.lit("00"), trace, span, sampled, separator="-")
