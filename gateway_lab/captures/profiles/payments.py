"""Payments: `payment-events` on Kafka, see Payment.

Some are above 1000 or say should_fail, and so fail in their handler; some come twice.
"""

from __future__ import annotations

import polars as pl

from gateway_lab.captures.profiles.clock import OFFICE, Clock
from gateway_lab.captures.profiles.draws import SEQ, Draws, looked_up
from gateway_lab.captures.profiles.malformed import Weakness
from gateway_lab.captures.profiles.profile import TrafficProfile, json_object, kafka, quoted

_AMOUNTS = tuple(f"{1.5 * 1.008**step:.2f}".removesuffix(".00") for step in range(1023))
"""From 1.50 to 5,200, a few per cent apart, as JSON numbers; one in eleven is above 1000."""

_CURRENCIES = {"EUR": 70, "USD": 20, "GBP": 10}


def _build(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    again = draws.chance("sent twice", 0.004) & (SEQ > 0)
    rows = rows.with_columns(number=SEQ - again.cast(pl.UInt64))
    number = pl.col("number")
    rows = rows.with_columns(customer=draws.zipf("customer", 400, number))
    customer = pl.col("customer")
    payment = pl.concat_str(pl.lit("p-"), draws.hexadecimal("payment", 16, number))
    place = draws.below("amount 1", 512, number) + draws.below("amount 2", 512, number)
    start = {
        "payment_id": quoted(payment),
        "amount": looked_up(_AMOUNTS, place),
        "currency": quoted(draws.weighted("currency", _CURRENCIES, customer)),
    }
    fails = draws.weighted("should fail", {"true": 2, "false": 98}, number)
    return rows.with_columns(
        **{
            **kafka("payment-events", entity=customer, draws=draws),
            "key": pl.concat_str(pl.lit("c-"), customer),
            "body": pl.when(draws.chance("says should_fail", 0.8, number))
            .then(json_object(**start, should_fail=fails))
            .otherwise(json_object(**start)),
        }
    )


PAYMENTS = TrafficProfile(
    summary="Payments of 400 customers, some bound to fail, some sent twice, over one day",
    clock=Clock(hours=OFFICE),
    build=_build,
    weakness=Weakness(
        required="payment_id", scalar="amount", choice="currency", number=("amount",)
    ),
)
