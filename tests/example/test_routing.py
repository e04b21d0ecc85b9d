"""One config, replayed and run with the same result, on four real servers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway_lab.examples import routing
from gateway_lab.testing.servers import Server
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]


async def test_what_arrives_is_what_the_replay_says_before_and_after_the_export(
    servers: Mapping[str, Server],
) -> None:
    async with on(routing.gateway.config, routing.LOOKS, *servers.values()) as stage:
        frames = await routing.run(stage)
    today, after = frames["what runs"], frames["what was exported, running"]
    for each in (today, after):
        assert each["same"].all()
        assert each["replayed"].equals(each["arrived"])
    counts = {channel: n for _, channel, n, _, _ in today.rows()}
    assert counts == {
        "critical.acme": 2,
        "critical.globex": 3,
        "high-priority.order_created": 2,
        "high-priority.order_paid": 2,
        "medium-priority": 4,
        "low-priority": 5,
        "tenant.acme": 9,
        "tenant.globex": 9,
        "event.order_created": 10,
        "event.order_paid": 8,
        "dead-letter.business": 4,
    }
    moved = {channel: n - counts[channel] for _, channel, n, _, _ in after.rows()}
    assert {channel: n for channel, n in moved.items() if n} == {
        "critical.acme": 1,
        "low-priority": -1,
    }
    assert frames["what the draft moves"].rows() == [(20, "by_priority", "low", "critical")]
    why = frames["why the last event is critical"]
    assert ("payload.amount > settings.big_order", "TRUE") in why.select("clause", "result").rows()
