"""A gateway with batches that is paused beyond its leases, while another one takes over."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gateway_lab.testing.postgres import PostgresServer
from gateway_lab.testing.server_process import Server
from tests.live.test_batches_killed import LIMIT_S, NUMBER, Scene

pytestmark = [pytest.mark.anyio, pytest.mark.broker, pytest.mark.slow]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("protocol", ["nats", "redis"])
async def test_rows_are_stored_once_when_another_gateway_takes_over_what_one_has_stored(
    protocol: str,
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> None:
    server: Server = request.getfixturevalue(f"{protocol}_server")
    scene = Scene(server, postgres_server, tmp_path)
    await scene.begin()
    paused = scene.start("after_commit", "SIGSTOP")
    try:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.to_thread(os.waitid, os.P_PID, paused.pid, os.WSTOPPED)
        assert 0 < scene.stored() < NUMBER
        await scene.runs_to_the_end()
        paused.send_signal(signal.SIGCONT)
        paused.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(paused.wait, LIMIT_S) == 0
    finally:
        paused.kill()
        paused.wait()
    assert scene.rows() == list(range(NUMBER))
    sent = await scene.aggregates()
    bodies = dict(sent)
    assert all(bodies[id_] == body for id_, body in sent)
    assert sum(body["count"] for body in bodies.values()) == NUMBER
