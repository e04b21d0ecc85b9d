"""Live equals offline: what arrives for a capture is what its replay says.

Here on memory brokers, for every shipped config; tests/live/test_pairs.py does it on real ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway_lab.brokers.memory.server import server_at
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.load import read_config
from gateway_lab.messages.message import Message
from gateway_lab.offline.run import replay
from tests.live.client_messages import Fetched
from tests.live.equal import (
    Stage,
    Written,
    agrees,
    capture_of,
    captured,
    difference,
    expected,
    numbered,
)

DATA = Path(__file__).parents[2] / "data"
RUNS = count()
MESSAGES = 3_000


class MemoryClient:
    """What tests/live/clients.py has for servers, for those of memory."""

    def __init__(self, url: str) -> None:
        self._server = server_at(url)

    async def create(self, channels: Iterable[str]) -> None:
        self._server.create(channels)

    async def delete(self, channels: Iterable[str]) -> None:
        for each in channels:
            self._server.delete(each)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        self._server.publish(channel, messages)

    async def count(self, channel: str) -> int:
        return len(self._server.fetch(channel))

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: self._server.fetch(each) for each in channels}

    async def left(self, group: str, channel: str) -> int:
        raise NotImplementedError

    async def is_held(self, channel: str) -> bool:
        raise NotImplementedError


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["business", "users", "observable", "conversion"])
async def test_what_arrives_is_what_the_replay_says(name: str, tmp_path: Path) -> None:
    config = read_config(DATA / f"{name}.yaml")
    run = next(RUNS)
    urls = {alias: f"memory://equal-{run}-{alias}" for alias in config.brokers}
    clients = {alias: MemoryClient(url) for alias, url in urls.items()}
    stage = Stage(config, urls, clients, tmp_path)
    messages = numbered(captured(scan_capture(DATA / f"{name}.parquet").head(MESSAGES)))
    await stage.prepare(messages)
    await stage.run(len(messages))
    told = await stage.compare()
    assert stage.stats is not None
    agrees(stage.stats, told)


def written(tmp_path: Path) -> list[Written]:
    """Return what should arrive for some messages, in some order."""
    messages = numbered(captured(scan_capture(DATA / "business.parquet").head(10)))
    told = replay(read_config(DATA / "business.yaml"), capture_of(messages, tmp_path / "a.parquet"))
    ids = [f"id-{number}" for number in range(len(messages))]
    return list(expected(told, messages, ids).elements())


def test_a_difference_of_any_kind_is_found(tmp_path: Path) -> None:
    """Else nothing that compares would mean anything."""
    should = written(tmp_path)
    difference(Counter(should), Counter(should))
    first, rest = should[0], should[1:]
    changes: dict[str, Any] = {
        "id": "another",
        "route": "by_priority/another",
        "channel": "another",
        "key": b"another",
        "headers": (*first.headers, ("another", b"")),
        "body": (first.body or b"") + b" ",
    }
    changed = [[first._replace(**{name: value}), *rest] for name, value in changes.items()]
    for there in [rest, [first, *should], *changed]:
        with pytest.raises(AssertionError, match="missing"):
            difference(Counter(there), Counter(should))
