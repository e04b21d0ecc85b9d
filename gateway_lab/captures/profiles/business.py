"""Orders and users of a shop: `business-events` on Kafka, see BusinessEvent.

A session is an order that is created, paid, shipped and delivered, or a visit.
"""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.profiles.clock import OFFICE, Clock
from gateway_lab.captures.profiles.draws import Draws, looked_up
from gateway_lab.captures.profiles.malformed import Weakness
from gateway_lab.captures.profiles.profile import (
    TrafficProfile,
    instant,
    json_object,
    kafka,
    quoted,
)

_ORDER_STEPS = ("order_created", "order_paid", "order_shipped", "order_delivered", "order_rated")
_VISIT_EVENTS = {"user_seen": 50, "cart_updated": 30, "user_searched": 15, "user_registered": 5}
_ODD_EVENTS = (
    "order.created",
    "order created",
    "Order_Created",
    "order_created*",
    "bestellung_größe",
)
_PRIORITIES = {"low": 44, "medium": 36, "high": 16, "critical": 4}
_TENANTS = (
    *("acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne", "wonka"),
    *(f"shop-{number:02}" for number in range(1, 93)),
)
_NOTES = (
    '"gift"',
    '"Größe M, blau"',
    '"café \\"Zoë\\""'.replace("é", "\\u00e9"),
    '"a/b\\\\c"',
    '"\U0001f381"',
    "null",
)
_AMOUNTS = tuple(f"{2 * 1.009**step:.2f}".removesuffix(".00") for step in range(1023))
"""From 2 to 19,000, a few per cent apart, as JSON numbers; some without a fraction."""


def _build(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    session = pl.col("session")
    is_order = draws.chance("is order", 0.75, session)
    tenant = looked_up(_TENANTS, draws.zipf("tenant", len(_TENANTS), session))
    order_id = pl.concat_str(pl.lit("o-"), session)
    event = quoted(_event(draws, is_order))
    payload = pl.when(is_order).then(_order(draws, order_id)).otherwise(_visit(draws))
    members = {
        "priority": quoted(draws.weighted("priority", _PRIORITIES)),
        "tenant_id": quoted(tenant),
    }
    return rows.with_columns(
        **{
            **kafka("business-events", entity=session, draws=draws),
            "key": pl.when(~draws.chance("no key", 0.01)).then(
                pl.when(is_order).then(order_id).otherwise(tenant)
            ),
            "body": pl.when(draws.chance("legacy producer", 0.03))
            .then(json_object(payload=payload, **members, event_type=event))
            .otherwise(json_object(event_type=event, **members, payload=payload)),
        }
    )


def _event(draws: Draws, is_order: pl.Expr) -> pl.Expr:
    """Name the event: by the step of an order, at random in a visit, oddly at times."""
    step = (pl.col("step") - 1).clip(upper_bound=len(_ORDER_STEPS) - 1)
    ordered = (
        pl.when((pl.col("step") == 2) & draws.chance("declined", 0.08))
        .then(pl.lit("payment_failed"))
        .otherwise(looked_up(_ORDER_STEPS, step))
    )
    return (
        pl.when(draws.chance("odd event", 0.0008))
        .then(draws.pick("odd event name", _ODD_EVENTS))
        .when(is_order)
        .then(ordered)
        .otherwise(draws.weighted("visit event", _VISIT_EVENTS))
    )


def _order(draws: Draws, order_id: pl.Expr) -> pl.Expr:
    """Write the payload of an order; its amount is left out at times."""
    session = pl.col("session")
    place = draws.below("amount 1", 512, session) + draws.below("amount 2", 512, session)
    start = {"id": quoted(order_id)}
    amount = {"amount": looked_up(_AMOUNTS, place)}
    rest = {
        "currency": quoted(draws.weighted("currency", {"EUR": 7, "USD": 2, "GBP": 1}, session)),
        "items": draws.below("items", 9, session) + 1,
        "at": instant(pl.col("sent")),
    }
    return (
        pl.when(draws.chance("amount left out", 0.03))
        .then(json_object(**start, **rest))
        .when(draws.chance("has note", 0.05))
        .then(json_object(**start, **amount, **rest, note=draws.pick("note", _NOTES)))
        .otherwise(json_object(**start, **amount, **rest))
    )


def _visit(draws: Draws) -> pl.Expr:
    user = pl.concat_str(pl.lit("u-"), draws.zipf("user", 2_000, pl.col("session")))
    return json_object(id=quoted(user), at=instant(pl.col("sent")))


BUSINESS = TrafficProfile(
    summary="Orders and visits of a shop with 100 tenants, over one day",
    clock=Clock(hours=OFFICE),
    build=_build,
    weakness=Weakness(
        required="tenant_id", scalar="event_type", choice="priority", number=("payload", "amount")
    ),
    tombstones=0.001,
)
