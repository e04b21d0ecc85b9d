"""Requests of a shop's services and how they went: `observable-events`, see ObservableEvent.

A session is one visitor's way through the shop.
"""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.profiles.clock import OFFICE, Clock
from gateway_lab.captures.profiles.draws import Draws, looked_up
from gateway_lab.captures.profiles.malformed import Weakness
from gateway_lab.captures.profiles.profile import TrafficProfile, json_object, kafka, quoted

_STEPS = ("search", "view_item", "add_to_cart", "checkout", "pay")
_DURATIONS = tuple(str(int(4 * 1.0125**step)) for step in range(511))
"""Milliseconds, from 4 to 2,200; the slowest twentieth is above a second."""


def _build(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    session = pl.col("session")
    step = (pl.col("step") - 1).clip(upper_bound=len(_STEPS) - 1)
    duration = looked_up(_DURATIONS, draws.below("fast", 384) + draws.below("slow", 128, session))
    sizes = {"bytes": draws.below("bytes", 60_000), "user": draws.zipf("user", 1_000, session)}
    start = {"event_type": quoted(looked_up(_STEPS, step))}
    status = {"status": quoted(draws.weighted("status", {"ok": 96, "error": 4}))}
    rest = {"duration_ms": duration, "payload": json_object(**sizes)}
    return rows.with_columns(
        **{
            **kafka("observable-events", entity=session, draws=draws),
            "key": pl.when(draws.chance("has key", 0.5)).then(session.cast(pl.String)),
            "body": pl.when(draws.chance("no status", 0.02))
            .then(json_object(**start, **rest))
            .otherwise(json_object(**start, **status, **rest)),
        }
    )


OBSERVABLE = TrafficProfile(
    summary="Requests of visitors with status and duration, some of them traced, over one day",
    clock=Clock(hours=OFFICE, bursts=0.04),
    build=_build,
    weakness=Weakness(
        required="payload", scalar="event_type", choice="status", number=("duration_ms",)
    ),
)
