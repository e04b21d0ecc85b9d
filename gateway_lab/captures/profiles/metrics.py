"""Measurements of 40 hosts: `metrics` on Kafka, see Metric.

Every host has its own level, so aggregates by host differ and a few are hot.
"""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.profiles.clock import Clock
from gateway_lab.captures.profiles.draws import Draws
from gateway_lab.captures.profiles.malformed import Weakness
from gateway_lab.captures.profiles.profile import (
    TrafficProfile,
    instant,
    json_object,
    kafka,
    quoted,
)

_HOSTS = 40
_NAMES = {"cpu": 50, "memory": 30, "disk": 15, "latency": 5}
_ZONES = ("a", "b", "c")


def _build(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    rows, host = rows.with_columns(host=draws.below("host", _HOSTS)), pl.col("host")
    kind = draws.chance("is busy", 0.15, host)
    name = pl.concat_str(pl.when(kind).then(pl.lit("db-")).otherwise(pl.lit("web-")), host + 1)
    tags = {"host": quoted(name), "name": quoted(draws.weighted("name", _NAMES))}
    measured = {"ts": instant(pl.col("sent")), "value": _value(draws, host)}
    return rows.with_columns(
        **{
            **kafka("metrics", entity=host, draws=draws),
            "key": name,
            "body": pl.when(draws.chance("no tags", 0.01))
            .then(json_object(**measured))
            .when(draws.chance("empty tags", 0.005))
            .then(json_object(**measured, tags="{}"))
            .when(draws.chance("has zone", 0.3, host))
            .then(
                json_object(
                    **measured,
                    tags=json_object(**tags, zone=quoted(draws.pick("zone", _ZONES, host))),
                )
            )
            .otherwise(json_object(**measured, tags=json_object(**tags))),
        }
    )


def _value(draws: Draws, host: pl.Expr) -> pl.Expr:
    """Write per cents: the host's level and some noise; at times without a fraction."""
    hundredths = draws.below("level", 6_800, host) + draws.below("noise", 3_200)
    whole, rest = hundredths // 100, hundredths % 100
    return (
        pl.when(draws.chance("is whole", 0.05))
        .then(whole.cast(pl.String))
        .otherwise(pl.concat_str(whole, pl.lit("."), rest.cast(pl.String).str.zfill(2)))
    )


METRICS = TrafficProfile(
    summary="Measurements of 40 hosts over one hour",
    clock=Clock(hours=(40,), bursts=0.1),
    build=_build,
    weakness=Weakness(required="value", scalar="ts", choice=None, number=("value",)),
)
