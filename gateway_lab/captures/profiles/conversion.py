"""Messages that another protocol takes over: `kafka-input-topic` on Kafka, see KafkaInput.

The key stands in the body too; some keys could not be part of a routing key.
"""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.profiles.clock import STEADY, Clock
from gateway_lab.captures.profiles.draws import Draws
from gateway_lab.captures.profiles.malformed import Weakness
from gateway_lab.captures.profiles.profile import TrafficProfile, json_object, kafka, quoted

_UNSAFE_KEYS = ("u.17", "u 17", "*", "#", "größe", "u/17")
_CITIES = ("Berlin", "Zürich", "東京", "São Paulo", "New York")


def _build(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    rows, user = rows.with_columns(user=draws.zipf("user", 300)), pl.col("user")
    key = (
        pl.when(draws.chance("unsafe key", 0.003))
        .then(draws.pick("which unsafe key", _UNSAFE_KEYS))
        .otherwise(pl.concat_str(pl.lit("u-"), user))
    )
    sent_ms = pl.col("sent").dt.epoch("ms")
    return rows.with_columns(
        **{
            **kafka("kafka-input-topic", entity=user, draws=draws),
            "key": key,
            "body": json_object(key=quoted(key), value=_value(draws, user), timestamp=sent_ms),
        }
    )


def _value(draws: Draws, user: pl.Expr) -> pl.Expr:
    name = {"name": quoted(pl.concat_str(pl.lit("user "), user))}
    city = {"city": quoted(draws.pick("city", _CITIES, user))}
    return (
        pl.when(draws.chance("empty value", 0.02))
        .then(pl.lit("{}"))
        .when(draws.chance("has address", 0.5, user))
        .then(json_object(**name, address=json_object(**city), active="true"))
        .otherwise(json_object(**name, active="false", tags='["a", "b"]'))
    )


CONVERSION = TrafficProfile(
    summary="Keys, values and timestamps of 300 users that go on to RabbitMQ, over one day",
    clock=Clock(hours=STEADY),
    build=_build,
    weakness=Weakness(required="value", scalar="key", choice=None, number=("timestamp",)),
    tombstones=0.002,
)
