"""Injected services and middlewares, on real servers."""

from __future__ import annotations

import re

import pytest

from gateway_lab.examples import commands
from gateway_lab.testing.servers import KafkaServer, RabbitmqServer
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]


async def test_services_share_a_transaction_and_the_request_id_travels_on(
    kafka_server: KafkaServer, rabbitmq_server: RabbitmqServer
) -> None:
    async with on(commands.gateway.config, commands.LOOKS, kafka_server, rabbitmq_server) as stage:
        frames = await commands.run(stage)
    assert sorted(frames["arrived"].select("channel", "headers", "body").rows()) == [
        (
            "users.active",
            "x-request-id: r-1, x-handled-by: user-commands",
            '{"user_id":1,"username":"ada","is_active":true}',
        ),
        (
            "users.inactive",
            "x-request-id: r-2, x-handled-by: user-commands",
            '{"user_id":2,"username":"bob","is_active":false}',
        ),
    ]
    [letter] = frames["dead letters"].select("class", "reason", "attempts", "body").rows()
    assert letter == ("handler", "look_up: it rejected the message", "1", '{"user_id":99}')
    assert sorted(frames["audit"].rows()) == [(1, "looked up"), (2, "looked up")]
    log = [(who, re.sub(r"\d+\.\d+ s", "a while", line)) for who, _, line in frames["log"].rows()]
    assert sorted(log) == [
        ("r-1", "a message took a while: done"),
        ("r-2", "a message took a while: done"),
        ("r-99", "a message took a while: failed: RejectMessage"),
        ("r-99", "there is no such user"),
    ]
