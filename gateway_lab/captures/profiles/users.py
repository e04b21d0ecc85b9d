"""Users made, changed and removed, from a channel of each protocol.

A session is one user: first created, then updated, at times deleted. See UserEvent.
"""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.profiles.clock import OFFICE, Clock
from gateway_lab.captures.profiles.draws import Draws
from gateway_lab.captures.profiles.malformed import Weakness
from gateway_lab.captures.profiles.profile import (
    TrafficProfile,
    instant,
    json_object,
    kafka,
    quoted,
    unparted,
)

_NAMES = ("ada", "bob", "chloé", "dmitri", "eve", "fatima", "grace", "jürgen", "李雷", "zoë")
_LATER = {"update": 88, "delete": 12}
_AGAIN = {"create": 55, "update": 43, "delete": 2}
"""Actions of a user's first message: many were created before the recording began."""


def _build(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    user = pl.col("session") + 1_000
    from_queue = draws.chance("from queue", 0.2, pl.col("session"))
    action = (
        pl.when(pl.col("step") == 1)
        .then(draws.weighted("first action", _AGAIN))
        .otherwise(draws.weighted("later action", _LATER))
    )
    name = pl.concat_str(draws.pick("name", _NAMES, pl.col("session")), user)
    members = {"username": quoted(name), "action": quoted(action)}
    return rows.with_columns(
        **{
            **_place(user, from_queue, draws),
            "key": pl.when(~from_queue).then(user.cast(pl.String)),
            "body": pl.when(from_queue)
            .then(json_object(user_id=user, **members))
            .otherwise(json_object(user_id=user, **members, at=instant(pl.col("sent")))),
        }
    )


def _place(user: pl.Expr, from_queue: pl.Expr, draws: Draws) -> dict[str, pl.Expr]:
    """Spread users: a fifth each on RabbitMQ, NATS and Redis, the others on Kafka."""
    topic = kafka("user-events", entity=user, draws=draws)
    queue = unparted("work", "rabbitmq", "user.queue")
    subject = unparted("edge", "nats", "user.events")
    stream = unparted("cache", "redis", "user-events")
    from_subject = draws.chance("from subject", 1 / 4, pl.col("session"))
    from_stream = draws.chance("from stream", 1 / 3, pl.col("session"))
    return {
        place: pl.when(from_queue)
        .then(queue[place])
        .when(from_subject)
        .then(subject[place])
        .when(from_stream)
        .then(stream[place])
        .otherwise(topic[place])
        for place in topic
    }


USERS = TrafficProfile(
    summary="Users created, updated and deleted, on all four protocols, over one day",
    clock=Clock(hours=OFFICE),
    build=_build,
    weakness=Weakness(required="username", scalar="user_id", choice="action", number=("user_id",)),
    tombstones=0.001,
)
