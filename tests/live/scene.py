"""A scene for faults: two sources to two servers, of which one has trouble and one has none.

`orders` goes from the calm server to the far one, `others` stays on the calm one: whatever happens
to the far one, others go on. Dead letters go to the calm one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec

from gateway_lab.config.load import parse_config
from gateway_lab.gateway.counters import SourceStats, State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.headers import header_text
from gateway_lab.messages.message import Message
from gateway_lab.offline.run import replay
from gateway_lab.testing.server_process import Server
from tests.live.clients import Fresh
from tests.live.equal import (
    NUMBER,
    Stage,
    Written,
    as_carried,
    capture_of,
    difference,
    expected,
    places,
)

LIMIT_S = 60.0
LEASE_S = 2.0
SCENES = count()

CONFIG = """
gateway_lab: 1
name: "{name}"
brokers: {{near: {near}, far: {far}, calm: {calm}}}
events:
  Order:
    type: object
    required: [n]
    properties: {{n: {{type: integer}}, letters: {{type: string}}}}
sources:
  orders: {{broker: near, channel: "{name}.orders", event: Order}}
  others: {{broker: calm, channel: "{name}.others", event: Order}}
targets:
  there: {{broker: far, channel: "{name}.there"}}
  aside: {{broker: calm, channel: "{name}.aside"}}
routers:
  orders: {{source: orders, match: all, routes: [{{name: all, to: [there]}}], unmatched: drop}}
  others: {{source: others, match: all, routes: [{{name: all, to: [aside]}}], unmatched: drop}}
retry: {{initial: 10ms, max: 200ms}}
dead_letter: {{broker: calm, channel: "{name}.dead.{{message.source}}"}}
"""


class Scene(Stage):
    """A config on three servers, of which two may be the same.

    Attributes:
        name: Begins the names of its channels, and is the config's.
    """

    def __init__(self, folder: Path, *, near: Server, far: Server, calm: Server) -> None:
        self.name = f"scene-{next(SCENES)}"
        servers = {"near": near, "far": far, "calm": calm}
        protocols = {alias: each.protocol for alias, each in servers.items()}
        self.text = CONFIG.format(name=self.name, **protocols)
        urls = {alias: each.url for alias, each in servers.items()}
        clients = {alias: Fresh(each.protocol, each.url) for alias, each in servers.items()}
        super().__init__(parse_config(self.text), urls, clients, folder)
        self.servers = servers
        self.environ["GATEWAY_LEASE"] = f"{LEASE_S:g}s"
        self.published: list[Message] = []

    def reconfigure(self, old: str, new: str) -> None:
        """Change the text of the config."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        self.config = parse_config(self.text)

    def channel(self, name: str) -> str:
        return f"{self.name}.{name}"

    async def create(self, *but: str) -> None:
        """Create all channels but those named."""
        near, far = {"orders"}, {"there"}
        calm = {"others", "aside", "dead.orders", "dead.others"}
        for alias, names in (("near", near), ("far", far), ("calm", calm)):
            wanted = sorted(names.difference(but))
            await self.clients[alias].create([self.channel(each) for each in wanted])

    async def publish(self, source: str, messages: Iterable[Message]) -> None:
        """Put messages where a source reads them."""
        alias = {"orders": "near", "others": "calm"}[source]
        channel, protocol = self.channel(source), self.config.brokers[alias]
        placed = [
            msgspec.structs.replace(each, broker=alias, protocol=protocol, channel=channel)
            for each in messages
        ]
        await self.clients[alias].publish(channel, placed)
        self.published += placed

    def gateway(self, member: str = "") -> Gateway:
        return Gateway(self.config, environ=self.environ, member=member)

    async def count(self, alias: str, channel: str) -> int:
        return await self.clients[alias].count(self.channel(channel))

    async def fetch(self, alias: str, channel: str) -> list[Message]:
        name = self.channel(channel)
        return (await self.clients[alias].fetch([name]))[name]

    async def check(
        self,
        *,
        repeats: int = 0,
        letters: Iterable[int] = (),
        keeps_order: bool = True,
        overtaken: int = 0,
    ) -> None:
        """Hold what arrived against what was published: the ledger of a fault.

        Nothing is lost, nothing is alien, nothing is left, and what arrived for the first time
        did so in the order of its key if nothing was sent twice; letters have no order.

        Args:
            repeats: How many deliveries may have arrived twice.
            letters: The numbers of orders that could not be delivered: each is one letter.
            keeps_order: False where several gateways share a channel that has no partitions.
            overtaken: How many a broker may have refused inside a pipeline, behind which it took
                others, as the gateway has counted them.
        """
        told = replay(self.config, capture_of(self.published, self._folder / "published.parquet"))
        numbers = [number_of(each) for each in self.published]
        turned = {str(each) for each in letters}
        should = [
            self._as_letter(each) if each.id in turned and each.channel.endswith("there") else each
            for each in expected(told, self.published, numbers).elements()
        ]
        dead = [("calm", self.channel(f"dead.{each}")) for each in ("orders", "others")]
        there = await self.arrived(sorted({*places(told), *dead}))
        self._require_one_id(there)
        found = [each._replace(id=number_in(each), time=None) for each in there]
        found = [
            each._replace(reason=ANY) if each.id in turned and each.reason else each
            for each in found
        ]
        difference(
            Counter(found), Counter(each._replace(time=None) for each in should), repeats=repeats
        )
        if keeps_order and not repeats:
            assert_in_order([each for each in found if not each.reason], overtaken)
        for source in ("orders", "others"):
            assert await self.left_of(source) == 0, source

    def _as_letter(self, delivery: Written) -> Written:
        letter = delivery._replace(broker="calm", channel=self.channel("dead.orders"), reason=ANY)
        return as_carried(letter, self.config.brokers["calm"])._replace(reason=ANY)

    def _require_one_id(self, there: Sequence[Written]) -> None:
        """A message has one id however often it comes; RabbitMQ has no positions that last."""
        ids: dict[str, str] = {}
        for each in there:
            if self.config.brokers["near"] != "rabbitmq":
                assert ids.setdefault(number_in(each), each.id) == each.id

    async def left_of(self, source: str) -> int:
        """Count what a source has not settled."""
        alias = {"orders": "near", "others": "calm"}[source]
        dot = "-" if self.config.brokers[alias] == "nats" else "."
        return await self.left(alias, f"{self.name}{dot}{source}", self.channel(source))


ANY = "any"
"""Stands for the reason of a letter that no replay foresees."""


def assert_in_order(there: Sequence[Written], overtaken: int) -> None:
    """Numbers of one key grow, on each channel; what was overtaken was counted."""
    last: dict[tuple[str, bytes | None], int] = {}
    late: list[str] = []
    for each in there:
        at, number = (each.channel, each.key), int(each.id)
        if last.get(at, -1) > number:
            late.append(f"{number} came after {last[at]}")
        last[at] = max(number, last.get(at, -1))
    assert len(late) <= overtaken, late


def number_in(written: Written) -> str:
    return header_text(written.headers, NUMBER) or ""


def source_of(gateway: Gateway, name: str) -> SourceStats:
    return next(each for each in gateway.stats().sources if each.source == name)


async def until(is_so: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(limit_s):
        while not is_so():  # noqa: ASYNC110 - a condition rings no bell
            await asyncio.sleep(0.01)


async def settled(gateway: Gateway, source: str, number: int) -> None:
    """Wait until a source has settled so many messages; fail at once if it stops by itself."""

    def is_so() -> bool:
        stats = source_of(gateway, source)
        assert stats.state is not State.RED, stats
        return stats.settled >= number

    await until(is_so)


async def none_is_left(scene: Scene, source: str) -> None:
    """Wait until a broker has it that all of a source is settled."""
    async with asyncio.timeout(LIMIT_S):
        while await scene.left_of(source):  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(0.05)


@asynccontextmanager
async def down(server: Server, *, is_killed: bool = False) -> AsyncIterator[None]:
    """Have a server down; it is up again afterwards, whatever happens."""
    await asyncio.to_thread(server.kill if is_killed else server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@contextmanager
def paused(server: Server) -> Iterator[None]:
    """Have a server not answer while its connections stay."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


def orders(n: int, start: int = 0, **fields: object) -> list[Message]:
    """Return messages of seven keys, each with its number."""
    return [order(number, **fields) for number in range(start, start + n)]


def order(number: int, **fields: object) -> Message:
    return Message(
        body=msgspec.json.encode({"n": number, **fields}),
        key=b"k%d" % (number % 7),
        headers=((NUMBER, b"%d" % number),),
        received=datetime.now(UTC),
    )


def number_of(message: Message) -> str:
    return header_text(message.headers, NUMBER) or ""
