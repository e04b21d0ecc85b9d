"""Redrive: dead letters enter again, over the very pump that the gateway has.

A letter is settled only when what it stands for is confirmed, or a new letter of it is. After a
crash no more than a window of them comes again, under the same ids.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Final, NamedTuple

from gateway_lab.brokers.contract import Broker, Place, Sink
from gateway_lab.brokers.registry import connect
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import Protocol
from gateway_lab.config.plan import AddressPlan
from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.connections import Connections
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.dead_letter import Letters
from gateway_lab.gateway.means import Means
from gateway_lab.gateway.pump import Pump
from gateway_lab.gateway.reach import Reading, letter_channel
from gateway_lab.gateway.version import Version
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.recording.letter_example import show_example
from gateway_lab.recording.letter_filter import compile_where
from gateway_lab.recording.letter_pile import LetterSource, Pile, Piles, Sorter
from gateway_lab.recording.reentry import ASIDE, LettersAgain, Reentry, aside_channel

MEMBER: Final = "redrive"
"""A name that stays: after a crash the next run has what the one before held at once."""

TICK_S: Final = 0.2
"""How often it is looked whether what is under way has come to its end."""

READ_LIMIT: Final = 500
_LOGS: Final = frozenset({"kafka"})
"""Protocols whose groups only know how far they have come in a partition."""

HANDS_OUT: Final = {"rabbitmq": 10_000}
"""Protocol to how many messages its connector is given before it settles some."""

_TAKES: Final = frozenset({"kafka", "rabbitmq"})
"""Protocols on which a letter cannot be left where it is while others are taken."""


class Channel(NamedTuple):
    """Where letters are."""

    broker: str
    protocol: Protocol
    channel: str

    def reading(self) -> Reading:
        """Return how it is read."""
        address = AddressPlan(
            broker=self.broker, protocol=self.protocol, channel=self.channel, pattern=None
        )
        return Reading(self.broker, (address,), PROTOCOLS[self.protocol].source_options())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be done with letters.

    Attributes:
        where: A rule that says which; None: all.
        channel: `ALIAS:CHANNEL` to read in place of the dead-letter channels of the config.
        replans: Whether the router that failed to deliver decides anew.
        to_source: Whether messages go back to where they were read, and all is done anew.
        moves_aside: Whether letters that stay are moved to `<channel>.kept`.
        is_dry: Whether letters are only looked at.
        wait_s: Seconds without a further letter after which there are no more.
    """

    where: str | None = None
    channel: str | None = None
    replans: bool = False
    to_source: bool = False
    moves_aside: bool = False
    is_dry: bool = False
    wait_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What became of letters.

    Attributes:
        piles: The letters that were found, by kind, and what stays.
        delivered: Deliveries that are confirmed.
        dropped: Deliveries that a rule drops by now.
        failed: Deliveries that failed again; each has a new letter.
        moved: Letters that were moved aside.
        unfinished: Letters that were read, and whose end is not known: they come again.
    """

    piles: Piles
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    moved: int = 0
    unfinished: int = 0


async def redrive(
    config: GatewayConfig, wish: Wish = Wish(), environ: Mapping[str, str] = os.environ
) -> Redriven:
    """Send dead letters again to where they failed, at least once.

        await gl.redrive(config, gl.Wish(where="class = 'unroutable'"))

    Args:
        config: What says where letters are, and renders what is sent.
        wish: Which letters, and how; left out: all, each to the target that failed.
        environ: Where the addresses of the brokers are.

    Raises:
        GatewayLabError: What is wished for cannot be done; what is not settled comes again.
    """
    return await Redriver(config, wish, environ).run()


class Redriver:
    """Sends dead letters again until there are no more.

    Attributes:
        waiting_for: The alias of a broker that is not there yet; empty if none is waited for.
    """

    def __init__(
        self, config: GatewayConfig, wish: Wish, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Compile the config and look at what is wished for.

        Raises:
            ConfigError: The config has an error, or needs what does not run live.
            RuleError: `where` cannot be read.
            GatewayLabError: What is wished for cannot be done.
        """
        self._config, self._wish, self._environ = config, wish, environ
        self._version = Version.of(config)
        self._where = compile_where(wish.where) if wish.where else None
        self._channels = _find_channels(config, self._version, wish)
        self._run = secrets.token_hex(8)
        self._piles = Piles()
        self._counters = {each: Counters(each.channel) for each in self._channels}
        self._stop = asyncio.Event()
        self.waiting_for = ""

    def _wait_for(self, alias: str) -> None:
        self.waiting_for = alias

    @property
    def progress(self) -> Redriven:
        """What has become of letters by now."""
        counters = self._counters.values()
        ends = Counter[str]()
        for way in (way for each in counters for way in each.way_stats()):
            ends["moved" if way.target.startswith(ASIDE) else "delivered"] += way.delivered
            ends["dropped"] += way.dropped
            ends["failed"] += way.dead_lettered
        unfinished = sum(each.read - each.settled for each in counters)
        return Redriven(piles=self._piles, unfinished=unfinished, **ends)

    def show_example(self, pile: Pile) -> str:
        """Return a message of a pile for people, private values masked."""
        return show_example(self._version.plan, pile.example)

    def stop(self) -> None:
        """Read no more letters, and finish those that were read."""
        self._stop.set()

    async def run(self) -> Redriven:
        """Send letters again until no more come.

        Raises:
            BrokerError: A broker refuses us, or a channel is not there. What is not settled
                comes again.
        """
        aliases = self._version.brokers | {each.broker for each in self._channels}
        connections = Connections(self._connect, creates=False)
        try:
            connections.open(aliases)
            await connections.ready(aliases, self._wait_for)
            self.waiting_for = ""
            await connections.require(self._places(), "dead letters")
            sinks = connections.sinks(aliases)
            async with asyncio.TaskGroup() as tasks:
                for channel, sources in self._channels.items():
                    tasks.create_task(self._work_through(channel, sources, connections, sinks))
        except* GatewayLabError as group:
            raise _first(group) from None
        finally:
            await connections.close()
        return self.progress

    def _connect(self, alias: str) -> Broker:
        protocol, name = self._config.brokers[alias], self._config.name
        return connect(alias, protocol, self._environ, gateway=name, member=MEMBER)

    def _places(self) -> dict[str, list[Place]]:
        found: defaultdict[str, list[Place]] = defaultdict(list)
        for each in self._channels:
            options = PROTOCOLS[each.protocol].source_options()
            found[each.broker].append(Place(each.channel, is_read=True, options=options))
            if self._wish.moves_aside and not self._wish.is_dry:
                found[each.broker].append(Place(aside_channel(each.channel)))
        return found

    async def _work_through(
        self,
        channel: Channel,
        sources: Sequence[str],
        connections: Connections,
        sinks: Mapping[str, Sink],
    ) -> None:
        """Redrive the letters of one channel, or look at them."""
        wish, plan, counters = self._wish, self._version.plan, self._counters[channel]
        reentry = Reentry(self._config, plan, replans=wish.replans, to_source=wish.to_source)
        opened = await connections.source(f"redrive-{channel.channel}", channel.reading())
        letters = LetterSource(opened, self._sorter(channel, reentry))
        pump = Pump(plan.sources[sources[0]], self._means(reentry), counters)
        working = _look_at(letters) if wish.is_dry else pump.run([letters], sinks)
        task = asyncio.create_task(working)
        try:
            await self._until_quiet(task, letters, counters)
            pump.stop()
            if task.done() or not wish.is_dry:
                await task
        finally:
            task.cancel()
            await asyncio.wait([task])
            await letters.close()

    def _means(self, reentry: Reentry) -> Means:
        """Let a pump decide letters in place of messages."""
        plan = self._version.plan
        letters = {name: Letters(each, plan.digest) for name, each in plan.sources.items()}
        return Means(
            router=reentry,
            id_of=reentry.id_of,
            letters=LettersAgain(letters, self._run),
            targets=reentry.targets(),
        )

    def _sorter(self, channel: Channel, reentry: Reentry) -> Sorter:
        return Sorter(
            reentry,
            self._where,
            self._config.brokers,
            self._piles,
            self._run,
            is_log=channel.protocol in _LOGS,
            moves_aside=self._wish.moves_aside,
            is_dry=self._wish.is_dry,
            hands_out=HANDS_OUT.get(channel.protocol),
            begun=datetime.now(UTC) if self._wish.to_source else None,
        )

    async def _until_quiet(
        self, task: asyncio.Task[None], letters: LetterSource, counters: Counters
    ) -> None:
        """Wait until no letter has come for a while and none is under way, or until stopped."""
        stopped = asyncio.create_task(self._stop.wait())
        quiet_since = monotonic()
        try:
            while not (task.done() or stopped.done()):
                is_busy = counters.read > counters.settled
                quiet_since = max(letters.heard, monotonic() if is_busy else quiet_since)
                left = quiet_since + self._wish.wait_s - monotonic()
                if left <= 0:
                    return
                await asyncio.wait(
                    [task, stopped],
                    timeout=min(left, TICK_S) if is_busy else left,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            stopped.cancel()


async def _look_at(letters: LetterSource) -> None:
    while True:
        await letters.read(READ_LIMIT)


# --- which channels ---


def _find_channels(
    config: GatewayConfig, version: Version, wish: Wish
) -> Mapping[Channel, list[str]]:
    """Return where letters are, and the sources whose letters they are."""
    found: defaultdict[Channel, list[str]] = defaultdict(list)
    for name in version.reaches:
        plan = version.plan.sources[name].dead_letter
        if wish.channel:
            found[_read_channel(config, wish.channel)].append(name)
        elif plan and (channel := letter_channel(plan, name)):
            found[Channel(plan.broker, plan.protocol, channel)].append(name)
    if not found:
        raise GatewayLabError(
            "the config has no dead-letter channel whose name does not depend on messages",
            hint="name one: --from ALIAS:CHANNEL",
        )
    if wish.where and not (wish.moves_aside or wish.is_dry):
        for each in found:
            _require_leaving(each)
    return found


def _read_channel(config: GatewayConfig, text: str) -> Channel:
    alias, _, channel = text.partition(":")
    if alias not in config.brokers or not channel:
        raise GatewayLabError(
            f"{text!r} names no channel of letters",
            where="--from",
            hint=f"ALIAS:CHANNEL, where the alias is one of {', '.join(config.brokers)}",
        )
    return Channel(alias, config.brokers[alias], channel)


def _require_leaving(channel: Channel) -> None:
    """Refuse a filter where the letters that it leaves cannot be left where they are."""
    if channel.protocol in _TAKES:
        raise GatewayLabError(
            f"{channel.protocol} cannot give some letters of {channel.channel} and leave others "
            "in their places",
            where="--where",
            hint=f"--kept moves those that stay to {aside_channel(channel.channel)}",
        )


def _first(group: BaseExceptionGroup[GatewayLabError]) -> GatewayLabError:
    error = group.exceptions[0]
    return error if isinstance(error, GatewayLabError) else _first(error)
