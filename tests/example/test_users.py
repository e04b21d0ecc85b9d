"""One function for four brokers, and invalid events as dead letters, on real servers."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest

from gateway_lab.examples import users
from gateway_lab.testing.servers import Server
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]


async def test_users_of_all_four_brokers_reach_the_service_of_their_action(
    servers: Mapping[str, Server],
) -> None:
    async with on(users.gateway.config, users.LOOKS, *servers.values()) as stage:
        frames = await users.run(stage)

    arrived = frames["arrived"]
    assert sorted(arrived.select("broker", "channel", "body").rows()) == [
        ("work", "create_user", '{"user_id":1,"username":"ada","action":"create"}'),
        ("work", "create_user", '{"user_id":2,"username":"bob","action":"create"}'),
        ("work", "delete_user", '{"user_id":2,"username":"bob","action":"delete"}'),
        ("work", "update_user", '{"user_id":1,"username":"ada lovelace","action":"update"}'),
    ]
    ada = arrived.row(by_predicate=pl.col("key") == "1", named=True)
    assert ada["headers"] == "x-request-id: r-1"
    assert arrived["headers"].str.contains("x-request-id: ").all()
    assert sorted(frames["dead letters"].select("channel", "class", "reason").rows()) == [
        (
            "dead-letter.users",
            "invalid",
            "action: 'rename' is not one of create, update, delete",
        ),
        ("dead-letter.users", "invalid", "user_id: 0 is not above 0"),
    ]
    assert frames["users"].rows() == [(1, "ada lovelace")]
