"""Live equals offline: what arrives for a capture is what its replay says."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from gateway_lab.brokers.memory_server import server_at
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.rows import message_of
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import read_config
from gateway_lab.gateway.counters import Stats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.headers import CONTROL_PREFIX, Headers
from gateway_lab.messages.message import Message
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from tests.gateway.shop import balances, settled, until

DATA = Path(__file__).parents[2] / "data"
NUMBERS = count()
MESSAGES = 3_000

Arrived = tuple[str, str, bytes | None, Headers, bytes | None]


class Stage:
    """A shipped config, with a memory broker in place of each of its brokers."""

    def __init__(self, name: str) -> None:
        self.config: GatewayConfig = read_config(DATA / f"{name}.yaml")
        self.capture: Capture = scan_capture(DATA / f"{name}.parquet").head(MESSAGES)
        number = next(NUMBERS)
        self.urls = {alias: f"memory://equal-{number}-{alias}" for alias in self.config.brokers}
        self.environ = {
            f"GATEWAY_BROKER_{alias.upper()}_URL": url for alias, url in self.urls.items()
        }

    async def play(self, told: Replay) -> Stats:
        """Run the config on the capture, with every channel there that its replay writes to."""
        for broker, channel in places(told):
            server_at(self.urls[broker]).create([channel])
        number = self._publish()
        async with Gateway(self.config, environ=self.environ, create_channels=True) as gateway:
            await until(settled(gateway, number))
        assert balances(gateway)
        return gateway.stats()

    def _publish(self) -> int:
        """Put the captured messages where the sources read them, and say how many."""
        sources = {
            (address.broker, address.channel)
            for source in self.config.sources.values()
            for address in source.addresses
        }
        for broker, channel in sources:
            server_at(self.urls[broker]).create([channel or ""])
        messages = [
            message_of(row) for rows in self.capture.batches() for row in rows.iter_rows(named=True)
        ]
        for message in messages:
            server_at(self.urls[message.broker]).publish(message.channel, [message])
        return len(messages)

    def arrived(self, told: Replay) -> Counter[Arrived]:
        return Counter(
            (broker, channel, each.key, without_control(each), each.body)
            for broker, channel in places(told)
            for each in server_at(self.urls[broker]).fetch(channel)
        )


def places(told: Replay) -> list[tuple[str, str]]:
    """The brokers and channels that a replay writes to."""
    written = told.deliveries().filter(pl.col("channel").is_not_null()).select("broker", "channel")
    return list(written.unique().collect().iter_rows())


def without_control(message: Message) -> Headers:
    return tuple(each for each in message.headers if not each[0].startswith(CONTROL_PREFIX))


def expected(told: Replay) -> Counter[Arrived]:
    rows = told.deliveries(rendered=True).filter(pl.col("outcome") != "dropped").collect()
    return Counter(
        (
            row["broker"],
            row["channel"],
            row["key"],
            tuple((each["name"], each["value"]) for each in row["headers"]),
            row["body"],
        )
        for row in rows.iter_rows(named=True)
    )


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["business", "users", "observable", "conversion"])
async def test_what_arrives_is_what_the_replay_says(name: str) -> None:
    stage = Stage(name)
    told = replay(stage.config, stage.capture)
    stats = await stage.play(told)
    assert stage.arrived(told) == expected(told)
    counted = {(each.router, each.matched, each.unmatched, each.invalid) for each in stats.routers}
    offline = told.routers().select("router", "matched", "unmatched", "invalid")
    assert counted == set(offline.iter_rows())
