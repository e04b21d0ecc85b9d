"""Dead letters on real servers: sent again once, also where a redrive is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from gateway_lab.brokers.names import group_name
from gateway_lab.brokers.nats.streams import safe_name
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.recording.redrive import Redriven, Redriver, Wish
from gateway_lab.testing.server_process import Server
from tests.gateway.shop import header, order, settled, until
from tests.live.clients import Fresh

pytestmark = [pytest.mark.anyio, pytest.mark.broker]

PROTOCOLS = ["kafka", "rabbitmq", "nats", "redis"]
NUMBERS = count()

CONFIG = """
gateway_lab: 1
name: shop
brokers: {{b: {protocol}}}
events:
  Order:
    type: object
    required: [n]
    properties: {{n: {{type: integer}}, tenant: {{type: string}}}}
sources: {{orders: {{broker: b, channel: {name}-orders, event: Order}}}}
targets: {{tenant: {{broker: b, channel: "{name}-of-{{tenant}}"}}}}
routers: {{all: {{source: orders, match: all, routes: [{{name: t, to: [tenant]}}], unmatched: drop}}}}
dead_letter: {{broker: b, channel: {name}-dead}}
"""


@dataclass
class Stage:
    """A config on a real server, whose target is not there yet."""

    protocol: str
    url: str
    name: str

    @property
    def config(self) -> str:
        return CONFIG.format(protocol=self.protocol, name=self.name)

    @property
    def environ(self) -> dict[str, str]:
        # What a killed reader of NATS held comes again after the lease.
        lease = {"GATEWAY_LEASE": "1s"} if self.protocol == "nats" else {}
        return {"GATEWAY_BROKER_B_URL": self.url, **lease}

    @property
    def client(self) -> Fresh:
        return Fresh(self.protocol, self.url)

    @property
    def target(self) -> str:
        return f"{self.name}-of-a"

    async def fail(self, messages: list[Message]) -> None:
        """Let a gateway write a letter of each message, then create what was missing."""
        await self.client.create([f"{self.name}-orders", f"{self.name}-dead"])
        await self.client.publish(f"{self.name}-orders", messages)
        async with Gateway(parse_config(self.config), environ=self.environ) as gateway:
            is_done = settled(gateway, len(messages))
            await until(lambda: is_done() or gateway.stats().sources[0].state is State.RED)
        assert is_done(), gateway.stats().sources[0].reason
        assert await self.client.count(f"{self.name}-dead") == len(messages)
        await self.client.create([self.target])

    async def redrive(self, letters: int, **wish: object) -> Redriven:
        """Redrive until so many letters have come to their end; it is not left to a clock."""
        redriver = Redriver(parse_config(self.config), Wish(wait_s=60.0, **wish), self.environ)  # type: ignore[arg-type]
        running = asyncio.create_task(redriver.run())
        found = _found if wish.get("is_dry") else _ended
        await until(lambda: running.done() or found(redriver.progress) >= letters)
        redriver.stop()
        return await running

    async def redrive_until_quiet(self) -> Redriven:
        wish = Wish(wait_s=4.0 if self.protocol == "kafka" else 2.0)
        return await Redriver(parse_config(self.config), wish, self.environ).run()

    async def left(self) -> int:
        """Count the letters that a further run would find."""
        group = group_name("shop", f"redrive-{self.name}-dead")
        if self.protocol == "nats":
            group = safe_name(f"shop-redrive-{self.name}-dead")
        return await self.client.left(group, f"{self.name}-dead")

    async def delivered(self) -> list[Message]:
        return (await self.client.fetch([self.target]))[self.target]


def _found(done: Redriven) -> int:
    return done.piles.letters


def _ended(done: Redriven) -> int:
    """How many letters were dealt with: sent, failed again, or staying."""
    return done.delivered + done.failed + sum(done.piles.staying.values())


@pytest.fixture(params=PROTOCOLS)
def stage(request: pytest.FixtureRequest) -> Stage:
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return Stage(request.param, server.url, f"redrive{next(NUMBERS)}")


async def test_letters_are_sent_again_once(stage: Stage) -> None:
    messages = [order(n, key=f"k{n % 7}", tenant="a") for n in range(300)]
    await stage.fail(messages)
    looked = await stage.redrive(300, is_dry=True)
    [(kind, pile)] = looked.piles.wanted.items()
    assert (kind.of_class, kind.route, pile.letters) == ("unroutable", "t", 300)
    done = await stage.redrive(300)
    assert (done.delivered, done.failed, done.unfinished) == (300, 0, 0)
    assert await stage.left() == 0
    arrived = await stage.delivered()
    assert sorted(each.body or b"" for each in arrived) == sorted(
        each.body or b"" for each in messages
    )
    assert {header(each, "x-gw-replay") for each in arrived} == {"1"}
    assert sorted(str(each.key) for each in arrived) == sorted(str(each.key) for each in messages)


async def test_a_letter_that_fails_twice_in_a_short_time_is_not_lost(stage: Stage) -> None:
    """A broker that deduplicates by id must not take the second letter for the first."""
    await stage.fail([order(n, tenant="a") for n in range(5)])
    await stage.client.delete([stage.target])
    done = await stage.redrive(5)
    assert (done.delivered, done.failed) == (0, 5)
    await stage.client.create([stage.target])
    done = await stage.redrive(5)
    assert (done.delivered, done.failed) == (5, 0)
    assert len({header(each, "x-gw-id") for each in await stage.delivered()}) == 5


async def test_a_filter_leaves_letters_or_moves_them_and_they_go_back_to_their_source(
    stage: Stage,
) -> None:
    await stage.fail([order(n, key=str(n), tenant="a") for n in range(10)])
    kept = f"{stage.name}-dead.kept"
    await stage.client.create([kept])
    moves = stage.protocol in {"kafka", "rabbitmq"}
    done = await stage.redrive(10, where="message.key in ('1', '2', '3')", moves_aside=moves)
    assert (done.delivered, done.moved, done.failed) == (3, 7 * moves, 0)
    assert await stage.left() == 7 * (not moves)
    assert await stage.client.count(kept) == 7 * moves
    before = await stage.client.count(f"{stage.name}-orders")
    done = await stage.redrive(7, channel=f"b:{kept}" if moves else None, to_source=True)
    assert (done.delivered, done.failed, done.unfinished) == (7, 0, 0)
    assert await stage.client.count(f"{stage.name}-orders") == before + 7


DIES = """
import os, signal
from gateway_lab.recording.letter_pile import LetterSource

settle = LetterSource.settle

async def die(self, handles):
    await settle(self, handles[: len(handles) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

LetterSource.settle = die
from gateway_lab.cli.main import app
app()
"""


async def test_a_redrive_that_is_killed_sends_a_window_twice_at_most(
    stage: Stage, tmp_path: Path
) -> None:
    numbers = range(1_200)
    await stage.fail([order(n, tenant="a") for n in numbers])
    path = tmp_path / "routes.yaml"
    path.write_text(stage.config)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DIES, "redrive", str(path)),
        env={**os.environ, **stage.environ},
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        assert await child.wait() == -signal.SIGKILL
    done = await stage.redrive_until_quiet()
    assert 0 < done.delivered <= len(numbers)
    assert await stage.left() == 0
    arrived = await stage.delivered()
    found = Counter(json.loads(each.body or b"{}")["n"] for each in arrived)
    assert set(found) == set(numbers)
    assert max(found.values()) <= 2
    assert len({header(each, "x-gw-id") for each in arrived}) == len(numbers)
