"""The program of an example as an operator runs it: one entry for four brokers, and one place to look at."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway_lab.cli.example import FOLDER
from gateway_lab.examples import users
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import Server, free_port
from tests.example.stages import on
from tests.live.clients import Fresh
from tests.live.metrics import asked, total
from tests.live.process import LIMIT_S, Process

pytestmark = [pytest.mark.anyio, pytest.mark.broker]
OPTIONS = ("--app", "gateway_lab.examples.users:gateway", "--create-channels", "--port")


async def settled(port: int) -> float:
    """Return how many messages the metrics say are settled."""
    return await asyncio.to_thread(total, port, "gateway_lab_messages_settled_total") or 0


async def test_one_program_serves_four_brokers_and_one_port_tells_of_all(
    servers: Mapping[str, Server], tmp_path: Path
) -> None:
    config, port = users.gateway.config, free_port()
    path = Path(shutil.copy(FOLDER / "users.yaml", tmp_path))
    async with on(config, users.LOOKS, *servers.values()) as stage:
        async with Process(path, stage.environ, *OPTIONS, str(port)) as process:
            await process.until(lambda told: "source users is running" in str(told))
            assert (await asyncio.to_thread(asked, port, "/readyz"))[0] == 200
            body = b'{"user_id": 1, "username": "ada", "action": "create"}'
            message = Message(body=body, received=datetime.now(UTC))
            for address in config.sources["users"].addresses:
                protocol = config.brokers[address.broker]
                client = Fresh(protocol, servers[protocol].url)
                await client.publish(str(address.channel), [message])
            async with asyncio.timeout(LIMIT_S):
                while await settled(port) < 4:  # noqa: ASYNC110 - it asks a server
                    await asyncio.sleep(0.05)
            assert await process.stop() == 0, process.log
        arrived = await Fresh("rabbitmq", servers["rabbitmq"].url).fetch(["create_user"])
    assert len(arrived["create_user"]) == 4
