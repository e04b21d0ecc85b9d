"""Retries, dead letters and sending them back, on real servers."""

from __future__ import annotations

import pytest

from gateway_lab.examples import payments
from gateway_lab.testing.servers import KafkaServer, RabbitmqServer
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]
LETTER = ["channel", "class", "reason", "attempts", "body"]
OVER = '{"payment_id":"p-2","amount":1500.0,"currency":"EUR","should_fail":false}'
FAILS = '{"payment_id":"p-3","amount":99.0,"currency":"EUR","should_fail":true}'


async def test_what_cannot_be_booked_is_tried_three_times_and_sent_back_by_one_call(
    kafka_server: KafkaServer, rabbitmq_server: RabbitmqServer
) -> None:
    async with on(payments.gateway.config, payments.LOOKS, kafka_server, rabbitmq_server) as stage:
        frames = await payments.run(stage)
    assert sorted(frames["arrived"].select("channel", "key").rows()) == [
        ("payment-receipts", "p-1"),
        ("payment-receipts", "p-4"),
        ("payment.pending", "p-5"),
    ]
    refused = ("payment-dead-letter", "handler", "book: PaymentError: the bank says no", "3", FAILS)
    assert sorted(frames["dead letters"].select(LETTER).rows()) == [
        ("payment-dead-letter", "handler", "book: PaymentError: more than 1000", "3", OVER),
        refused,
    ]
    assert frames["dead letters"]["last"].str.to_datetime().is_not_null().all()
    assert frames["arrived after the redrive"]["body"].to_list() == [
        '{"payment_id":"p-2","amount":1500.0,"status":"booked"}'
    ]
    assert frames["dead letters after the redrive"].select(LETTER).rows() == [refused]
