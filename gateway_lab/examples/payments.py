"""Payments: what cannot be booked is tried three times, then it is a dead letter.

Once the reason is mended, one call sends the dead letters through the function again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from faststream import Depends
from pydantic import BaseModel, Field

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.stage import Stage
from gateway_lab.examples.tables import delivered, letters


class Payment(BaseModel):
    """What is to be paid; `should_fail` is for trying."""

    payment_id: str = Field(min_length=1)
    amount: float = Field(gt=0)
    currency: Literal["EUR", "USD", "GBP"] = "EUR"
    should_fail: bool = False


class Receipt(BaseModel):
    """What was paid, or waits for somebody who changes money."""

    payment_id: str
    amount: float
    status: Literal["booked", "pending"]


class PaymentError(Exception):
    """A payment cannot be booked."""


@dataclass
class Terms:
    """What is booked without a person, in the payment's currency."""

    most: float = 1_000


TERMS = Terms()


async def terms() -> Terms:
    """Return the terms of today."""
    return TERMS


gateway = gl.Gateway(gl.read_config(Path(__file__).with_suffix(".yaml")))


@gateway.handler("payments")
async def book(payment: Payment, today: Annotated[Terms, Depends(terms)]) -> Receipt:
    """Book a payment.

    Raises:
        PaymentError: It is too much, or it is to fail.
    """
    if payment.should_fail:
        raise PaymentError("the bank says no")
    if payment.amount > today.most:
        raise PaymentError(f"more than {today.most:g}")
    status = "booked" if payment.currency == "EUR" else "pending"
    return Receipt(payment_id=payment.payment_id, amount=payment.amount, status=status)


LOOKS = {
    "stream": ["payment-receipts", "payment-dead-letter"],
    "work": ["payment.pending"],
}
PAYMENTS = [
    Payment(payment_id="p-1", amount=12.5),
    Payment(payment_id="p-2", amount=1_500),
    Payment(payment_id="p-3", amount=99, should_fail=True),
    Payment(payment_id="p-4", amount=1_000),
    Payment(payment_id="p-5", amount=70, currency="USD"),
]


async def run(stage: Stage) -> dict[str, pl.DataFrame]:
    """Publish payments, raise the limit, and send the dead letters back."""
    TERMS.most = 1_000
    async with LiveRun(gateway, stage, LOOKS) as live:
        sent = [message(each, key=each.payment_id) for each in PAYMENTS]
        await live.publish("stream", "payment-events", sent)
        first = await live.arrived()
        TERMS.most = 5_000
        await live.redrive(gl.Wish(to_source=True))
        second = [each for each in await live.arrived() if each not in first]
    return {
        "arrived": delivered(first),
        "dead letters": letters(first),
        "arrived after the redrive": delivered(second),
        "dead letters after the redrive": letters(second),
    }
