"""Live equals offline: a gateway runs with taps, and what arrived is compared with the replay.

What arrived is read by bare clients. It is joined with `replay(config, tapped)` on the gateway's
id, route and channel, and compared byte for byte but for the headers that belong to the gateway.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.rows import message_of
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.gateway.counters import State, Stats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.ids import MessageIds
from gateway_lab.messages.headers import Headers, header_text
from gateway_lab.messages.mask import show_private
from gateway_lab.messages.message import Message
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from gateway_lab.protocols.protocol import is_plain
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.recording.tap import Tap
from tests.live.clients import Client
from tests.live.process import Process

LIMIT_S = 300.0
NUMBER = "number"
"""A header that every published message has, and no other message the same."""

UNKNOWN = "unknown"
"""Stands for the id of a message that no place names, and whose number went nowhere."""

Place = tuple[str, str]
"""Alias and channel."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Written(NamedTuple):
    """One message on a target, or one that should be there."""

    id: str
    route: str
    reason: str | None
    broker: str
    channel: str
    key: bytes | None
    headers: Headers
    body: bytes | None
    time: datetime | None


def capture_of(messages: Sequence[Message], path: Path) -> Capture:
    """Write messages as a capture, numbered in their order."""
    rows = [
        {
            "seq": seq,
            "received": each.received,
            "timestamp": each.timestamp,
            "broker": each.broker,
            "kind": each.protocol,
            "channel": each.channel,
            "partition": each.partition,
            "position": each.position,
            "key": each.key,
            "headers": [{"name": name, "value": value} for name, value in each.headers],
            "body": each.body,
        }
        for seq, each in enumerate(messages)
    ]
    pl.DataFrame(rows, schema=dict(COLUMNS)).write_parquet(path)
    return scan_capture(path)


# --- what arrived, and what should have ---


def arrived(broker: str, protocol: str, channel: str, message: Message) -> Written:
    """Read a stored message as one delivery or letter."""
    told = {name: value.decode() for name, value in message.headers if name.startswith("x-gw-")}
    ways = (told.get("x-gw-dlq-router"), told.get("x-gw-dlq-route"))
    return Written(
        id=told["x-gw-id"],
        route=told.get("x-gw-route", "/".join(filter(None, ways))),
        reason=told.get("x-gw-dlq-reason"),
        broker=broker,
        channel=channel,
        key=message.key,
        headers=without_control(message.headers, protocol),
        body=message.body,
        time=message.timestamp,
    )


def expected(told: Replay, messages: Sequence[Message], ids: Sequence[str]) -> Counter[Written]:
    """Return what should have arrived.

    Args:
        told: The replay.
        messages: Those of its capture.
        ids: Those that the messages had live.
    """
    rows = told.deliveries(rendered=True).filter(pl.col("outcome") != "dropped").collect()
    protocols = told.config.brokers
    return Counter(
        as_carried(
            Written(
                id=ids[row["seq"]],
                route="/".join(filter(None, (row["router"], row["route"]))),
                reason=row["reason"],
                broker=row["broker"],
                channel=row["channel"],
                key=row["key"],
                headers=tuple((each["name"], each["value"]) for each in row["headers"]),
                body=row["body"],
                time=messages[row["seq"]].timestamp,
            ),
            protocols[row["broker"]],
        )
        for row in rows.iter_rows(named=True)
    )


def captured(capture: Capture) -> list[Message]:
    return [message_of(row) for rows in capture.batches() for row in rows.iter_rows(named=True)]


def numbered(messages: Sequence[Message]) -> list[Message]:
    """Give each message a header that no other has."""
    return [
        msgspec.structs.replace(each, headers=(*each.headers, (NUMBER, b"%d" % number)))
        for number, each in enumerate(messages)
    ]


def as_carried(written: Written, protocol: str) -> Written:
    """Leave away what a protocol cannot carry; a letter is written all the same without it.

    A delivery is rendered for its protocol already: nothing but its time changes here.
    """
    carries = PROTOCOLS[protocol].carries
    time = written.time
    if time is not None and carries.timestamp == "native":
        time = time.replace(microsecond=time.microsecond // 1_000 * 1_000)
    if written.reason is None:
        return written._replace(time=time, headers=without_control(written.headers, protocol))
    passing = [each for each in written.headers if passes(protocol, *each)]
    return written._replace(
        time=time,
        reason=_CONTROL.sub(" ", written.reason[:1_000]),
        headers=tuple(passing if carries.repeated else dict(passing).items()),
        key=written.key if carries.binary or is_plain(written.key or b"") else None,
        body=written.body if carries.tombstone else written.body or b"",
    )


def without_control(headers: Headers, protocol: str) -> Headers:
    """Leave away what the gateway and the server have for themselves."""
    is_control = PROTOCOLS[protocol].is_control
    return tuple(each for each in headers if not is_control(each[0].lower()))


def passes(protocol: str, name: str, value: bytes) -> bool:
    """Say whether a protocol can carry a header that is not its own."""
    known = PROTOCOLS[protocol]
    is_its_own = known.is_control(name.lower()) or known.check_header(name)
    return not is_its_own and (known.carries.binary or is_plain(value))


# --- the stage ---


class Stage:
    """A config with its brokers, and bare clients to the same servers.

    Attributes:
        clients: Alias to a client.
        stats: The books when the gateway had stopped.
        tapped: The capture of what it read.
    """

    def __init__(
        self,
        config: GatewayConfig,
        urls: Mapping[str, str],
        clients: Mapping[str, Client],
        folder: Path,
        make: Callable[..., Gateway] = Gateway,
    ) -> None:
        self.config, self.clients, self._folder = config, clients, folder
        self._make = make
        self.environ = {f"GATEWAY_BROKER_{alias.upper()}_URL": url for alias, url in urls.items()}
        self.tapped = folder / "tapped.parquet"
        self.stats: Stats | None = None
        self._created: set[Place] = set()

    async def prepare(self, messages: Sequence[Message]) -> Replay:
        """Create the channels of the sources and all that these messages will go to.

        Args:
            messages: Placed where the sources read them; each has the header `number`.

        Returns:
            What the replay says of them.
        """
        told = self.replay(capture_of(messages, self._folder / "published.parquet"))
        read = {(each.broker, each.channel) for each in messages}
        self._created = {*read, *places(told)}
        for broker, channels in by_broker(self._created).items():
            await self.clients[broker].create(channels)
        for broker, channel in sorted(read):
            here = [each for each in messages if (each.broker, each.channel) == (broker, channel)]
            await self.clients[broker].publish(channel, here)
        return told

    async def clear(self) -> None:
        """Delete what was created: other tests use the servers, too."""
        for broker, channels in by_broker(self._created).items():
            await self.clients[broker].delete(channels)

    async def run(self, number: int) -> None:
        """Run the gateway with a tap until it has settled so many messages, then stop it cleanly."""
        with unmasked(), Tap(self.config, self.tapped) as tap:
            async with self._make(self.config, environ=self.environ, wrap=tap.wrap) as gateway:
                await until_settled(gateway, number)
        self.stats = gateway.stats()

    async def compare(self) -> Replay:
        """Compare what arrived with the replay of what the tap saw, and return that."""
        told = self.replay(scan_capture(self.tapped))
        there = await self.arrived(places(told))
        messages = captured(told.capture)
        ids = identify(messages, there, self._sources())
        known = set(ids)
        should = expected(told, messages, ids)
        timeless = {each.id for each in should if each.time is None}  # the broker gives it one
        there = [each._replace(time=None) if each.id in timeless else each for each in there]
        there = [each if each.id in known else each._replace(id=UNKNOWN) for each in there]
        difference(Counter(there), should)
        return told

    def replay(self, capture: Capture) -> Replay:
        """Replay with what a gateway has registered, one that never ran."""
        handlers = self._make(self.config).handlers if self._make is not Gateway else None
        return replay(self.config, capture, handlers=handlers)

    def _sources(self) -> dict[Place, str]:
        """Return what reads each channel."""
        return {
            (address.broker, address.channel or ""): name
            for name, source in self.config.sources.items()
            for address in source.addresses
        }

    async def left(self, alias: str, group: str, channel: str) -> int:
        """Count what a group has not settled."""
        return await self.clients[alias].left(group, channel)

    async def arrived(self, of: Sequence[Place]) -> list[Written]:
        found: list[Written] = []
        for broker, channels in by_broker(of).items():
            fetched = await self.clients[broker].fetch(channels)
            found += [
                arrived(broker, self.config.brokers[broker], name, each)
                for name, stored in fetched.items()
                for each in stored
            ]
        return found


@contextmanager
def unmasked() -> Iterator[None]:
    """Record what is private as it came: it is compared."""
    show_private()
    try:
        yield
    finally:
        show_private(show=False)


def identify(
    messages: Sequence[Message], there: Sequence[Written], sources: Mapping[Place, str]
) -> list[str]:
    """Name messages as the gateway did: by their place if that is known, else by what came of them.

    Args:
        messages: In the order of their ids.
        there: What came of them.
        sources: Who read each channel.

    Raises:
        AssertionError: A message has two ids, or two messages have one.
    """
    seen: dict[str, str] = {}
    for each in there:
        if number := header_text(each.headers, NUMBER):
            assert seen.setdefault(number, each.id) == each.id, f"message {number} has two ids"
    assert len(set(seen.values())) == len(seen), "two messages have one id"
    return [
        MessageIds(sources[each.broker, each.channel])(each)
        if each.protocol != "rabbitmq"
        else seen.get(header_text(each.headers, NUMBER) or "", UNKNOWN)
        for each in messages
    ]


def by_broker(of: Sequence[Place] | set[Place]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for broker, channel in sorted(of):
        grouped.setdefault(broker, []).append(channel)
    return grouped


def places(told: Replay) -> list[Place]:
    """Return the brokers and channels that a replay writes to."""
    written = told.deliveries().filter(pl.col("channel").is_not_null()).select("broker", "channel")
    return list(written.unique().collect().iter_rows())


def difference(there: Counter[Written], should: Counter[Written], *, repeats: int = 0) -> None:
    """Fail with the first of what is missing, of what should not be there, and of what is twice.

    Args:
        there: What arrived.
        should: What should have.
        repeats: How many may have arrived more often than they should.
    """
    missing, alien = should - there, Counter({w: n for w, n in there.items() if w not in should})
    repeated = there - should - alien
    if missing or alien or repeated.total() > repeats:
        counts = f"{missing.total()} missing, {alien.total()} alien, {repeated.total()} repeated"
        named = (("missing", missing), ("alien", alien), ("repeated", repeated))
        shown = [f"{what}: {each}" for what, some in named for each in sorted(some, key=repr)[:3]]
        raise AssertionError("\n".join([f"{counts}, {repeats} may be", *shown]))


async def until_settled(gateway: Gateway, number: int, limit_s: float = LIMIT_S) -> None:
    """Wait until so many messages are settled; a source that stops by itself fails at once."""
    async with asyncio.timeout(limit_s):
        while sum(each.settled for each in gateway.stats().sources) < number:
            red = [each for each in gateway.stats().sources if each.state is State.RED]
            assert not red, red
            await asyncio.sleep(0.01)


async def until(ask: Callable[[], Awaitable[object]], expected: object, process: Process) -> None:
    """Wait until a server answers what is expected, while a process runs."""
    async with asyncio.timeout(LIMIT_S):
        while await ask() != expected:
            assert process.is_running, process.log
            await asyncio.sleep(0.05)


def balances(stats: Stats) -> bool:
    """Say whether everything that was read is done."""
    return all(each.in_flight == 0 for each in stats.sources) and all(
        each.pending == 0 for each in stats.ways
    )


def agrees(stats: Stats, told: Replay) -> None:
    """Hold the live books against the replay's."""
    assert balances(stats)
    assert sum(each.read for each in stats.sources) == told.capture.count
    assert sum(each.redelivered for each in stats.sources) == 0
    counted = {(each.router, each.matched, each.unmatched, each.invalid) for each in stats.routers}
    offline = told.routers().select("router", "matched", "unmatched", "invalid")
    assert counted == set(offline.iter_rows())
