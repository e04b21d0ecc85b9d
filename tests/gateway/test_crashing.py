"""A handler that ends its process at one message, on real servers: restarted until that is over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from gateway_lab.brokers.registry import LEASE_VARIABLE
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from tests.gateway.crashing_child import CULPRIT
from tests.gateway.shop import header, number_of, until
from tests.live.clients import Fresh

pytestmark = [pytest.mark.anyio, pytest.mark.broker]

NUMBER = 100
LIMIT_S = 60
CONFIG = """
gateway_lab: 1
name: NAME
brokers: {here: PROTOCOL}
events:
  Order: {type: object, required: [n], properties: {n: {type: integer}}}
sources:
  orders: {broker: here, channel: NAME-in, event: Order, handler: {returns: Order}}
targets:
  out: {broker: here, channel: NAME-out}
routers:
  all: {source: orders, match: all, routes: [{name: all, to: [out]}], unmatched: drop}
retry: {attempts: 3, initial: 1ms}
dead_letter: {broker: here, channel: NAME-dead}
"""


@pytest.mark.parametrize(
    ("protocol", "was"),
    [("kafka", "was"), *((each, "may have been") for each in ("redis", "rabbitmq", "nats"))],
)
async def test_a_message_that_ends_its_process_is_a_dead_letter_after_five_ends(
    protocol: str, was: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(f"{protocol}_server").url
    name = f"crash-{uuid.uuid4().hex[:8]}"
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("NAME", name).replace("PROTOCOL", protocol))
    client = Fresh(protocol, url)
    environ = {**os.environ, "GATEWAY_BROKER_HERE_URL": url}
    if protocol == "nats":  # it gives back what a dead process had when the lease ends
        environ[LEASE_VARIABLE] = "3s"

    await client.create([f"{name}-{each}" for each in ("in", "out", "dead")])
    await client.publish(f"{name}-in", _messages())
    command = [sys.executable, "-m", "tests.gateway.crashing_child", str(config)]
    with subprocess.Popen(  # noqa: ASYNC220
        command, env=environ, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            delivered = await _delivered(client, name)
            child.send_signal(signal.SIGTERM)
            told, _ = await asyncio.to_thread(child.communicate, timeout=LIMIT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 0
    assert told == b"died\n" * 5
    assert delivered == {n for n in range(NUMBER) if n != CULPRIT}
    (letter,) = (await client.fetch([f"{name}-dead"]))[f"{name}-dead"]
    assert number_of(letter) == CULPRIT
    assert header(letter, "x-gw-dlq-reason") == (
        f"crashed_process: pay {was} at work on it when a process died, 5 times"
    )
    assert header(letter, "x-gw-dlq-attempts") == "5"


async def _delivered(client: Fresh, name: str) -> set[int]:
    """Wait until all others are delivered and there is a letter; return what is delivered."""
    delivered: set[int] = set()
    wanted = NUMBER - 1
    async with asyncio.timeout(3 * LIMIT_S):
        while len(delivered) < NUMBER - 1 or not await client.count(f"{name}-dead"):
            await asyncio.sleep(0.1)  # servers ring no bell
            if await client.count(f"{name}-out") >= wanted:
                found = await client.fetch([f"{name}-out"])
                delivered |= {number_of(each) - 1_000 for each in found[f"{name}-out"]}
                wanted = 1 + await client.count(f"{name}-out")  # some were there twice
    return delivered


def _messages() -> list[Message]:
    return [
        Message(body=msgspec.json.encode({"n": n}), key=b"%d" % (n % 7), received=datetime.now(UTC))
        for n in range(NUMBER)
    ]


@pytest.mark.parametrize(
    ("protocol", "tries", "told"),
    [("kafka", 3, ("3", None)), ("redis", 5, ("3", "9"))],
)
async def test_tries_before_a_restart_count_where_the_broker_keeps_them(
    protocol: str,
    tries: int,
    told: tuple[str, str | None],
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue(f"{protocol}_server").url
    name, seen = f"tries-{uuid.uuid4().hex[:8]}", list[int]()
    text = CONFIG.replace("NAME", name).replace("PROTOCOL", protocol)
    client = Fresh(protocol, url)
    await client.create([f"{name}-{each}" for each in ("in", "out", "dead")])
    await client.publish(f"{name}-in", _messages()[:1])
    for pause in ("1h", "1h", "1ms"):  # stopped while it waits for its next try, twice
        config = parse_config(text.replace("1ms", pause).replace("1h}", "1h, max: 1h}"))
        gateway = Gateway(config, environ={"GATEWAY_BROKER_HERE_URL": url}, member="one")

        @gateway.handler("orders")
        async def pay(event: dict[str, int]) -> None:
            seen.append(event["n"])
            raise ConnectionError

        await gateway.start()
        try:
            await until(_has_tried(gateway))
        finally:
            await gateway.stop(now=True)
    (letter,) = (await client.fetch([f"{name}-dead"]))[f"{name}-dead"]
    assert len(seen) == tries
    names = ("x-gw-dlq-attempts", "x-gw-dlq-attempts-at-most")
    assert tuple(header(letter, each) for each in names) == told


def _has_tried(gateway: Gateway) -> Callable[[], bool]:
    """Say whether a message waits for its next try, or has none left."""

    def has_tried() -> bool:
        source = gateway.stats().sources[0]
        is_waiting = "1h" in gateway.config.retry.initial
        return bool(source.retried if is_waiting else source.settled)

    return has_tried
