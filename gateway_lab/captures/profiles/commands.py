"""Requests to look a user up: `user-commands` on Kafka, see UserCommand."""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.profiles.clock import OFFICE, Clock
from gateway_lab.captures.profiles.draws import Draws
from gateway_lab.captures.profiles.malformed import Weakness
from gateway_lab.captures.profiles.profile import TrafficProfile, json_object, kafka, quoted

_REASONS = ("login", "support", "audit", "export")


def _build(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    rows, user = rows.with_columns(user=draws.zipf("user", 500) + 1), pl.col("user")
    return rows.with_columns(
        **{
            **kafka("user-commands", entity=user, draws=draws),
            "key": pl.when(~draws.chance("no key", 0.02)).then(user.cast(pl.String)),
            "body": pl.when(draws.chance("has reason", 0.3))
            .then(json_object(user_id=user, reason=quoted(draws.pick("reason", _REASONS))))
            .otherwise(json_object(user_id=user)),
        }
    )


COMMANDS = TrafficProfile(
    summary="Requests to look up one of 500 users, over one day",
    clock=Clock(hours=OFFICE),
    build=_build,
    weakness=Weakness(required="user_id", scalar="user_id", choice=None, number=("user_id",)),
)
