"""A gateway of several processes: one that looks after them, and the workers.

The parent reads no messages. It checks a config once and sends it to all, starts a worker that
died again, and adds up their books. Each worker is a member of the same groups.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Final, Self, assert_never

from msgspec import structs

from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.registry import require_server
from gateway_lab.config.canonical import canonical_json
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ConfigError, GatewayLabError
from gateway_lab.gateway.counters import Counters, Stats
from gateway_lab.gateway.log_lines import FIELDS
from gateway_lab.gateway.version import Version
from gateway_lab.gateway.workers.merged import ended, merged
from gateway_lab.gateway.workers.process import WorkerProcess
from gateway_lab.gateway.workers.talk import (
    Answer,
    Begin,
    Books,
    Change,
    Logged,
    Order,
    Over,
    Prepare,
    Prepared,
    Refused,
    Stop,
    Text,
)

ANSWER_S: Final = 30.0
"""How long a worker may take to look whether it could take a config over."""

NOW_S: Final = 1.5
"""How long workers may take to end at once."""

STEADY_S: Final = 60.0
"""After this long a worker that dies is started again at once, as the first time."""

_LOG: Final = logging.getLogger("gateway_lab.gateway")


class Workers:
    """Runs a config in several processes; used as `Gateway` is.

    Args:
        config: What to run.
        count: How many processes.
        command: Starts one; it is given the number of a socket, see `worker.py`.
        environ: Where the addresses of the brokers are; all that workers see of the environment.
        create_channels: As for `Gateway`.
        member: As for `Gateway`; a worker's name is this and its number.
        record: Where workers record to; None: nowhere.
        shows_private: Whether what they record has private values as they are.
        app: `module:gateway` that each worker imports; empty: none.

    Raises:
        ConfigError: The config has an error, or cannot be run by several processes.
        BrokerError: The environment lacks an address, or it cannot be read.
    """

    def __init__(  # noqa: PLR0913 - what a gateway is told, and how many of it
        self,
        config: GatewayConfig,
        count: int,
        *,
        command: Sequence[str],
        environ: Mapping[str, str] = os.environ,
        create_channels: bool = False,
        member: str = "",
        record: str | None = None,
        shows_private: bool = False,
        app: str = "",
    ) -> None:
        self._version = Version.of(config)
        _require_sharing(self._version, environ)
        begin = Begin(
            _text(config),
            0,
            creates=create_channels,
            record=record,
            shows_private=shows_private,
            app=app,
        )
        self._seats = [
            _Seat(
                command,
                environ,
                structs.replace(begin, number=number, member=member and f"{member}-{number}"),
            )
            for number in range(count)
        ]
        self._lives: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._refused = ""

    @property
    def config(self) -> GatewayConfig:
        """The config that decides now."""
        return self._version.config

    async def __aenter__(self) -> Self:
        """Start the workers."""
        for told in _unordered(self._version):
            _LOG.warning("%s", told)
        self._lives = [asyncio.create_task(self._look_after(each)) for each in self._seats]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop cleanly."""
        await self.stop()

    async def wait(self) -> None:
        """Wait until no worker runs any more: all were stopped, or ended by themselves.

        Raises:
            GatewayLabError: A worker could not begin; the others were stopped.
        """
        while running := [task for task in self._lives if not task.done()]:
            await asyncio.wait(running)
        for task in self._lives:
            task.result()
        if refused := next((each.refused for each in self._seats if each.refused), ""):
            raise GatewayLabError(refused)

    async def stop(self, *, now: bool = False) -> None:
        """Let each worker finish what is in flight; `now` does not wait for it."""
        self._tell_stop(now=now)
        if now:
            await asyncio.wait(self._lives, timeout=NOW_S)
            for seat in self._seats:
                seat.kill()
        await self.wait()

    def _tell_stop(self, *, now: bool = False) -> None:
        self._stopping.set()
        for seat in self._seats:
            seat.tell(Stop(now))

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that run now."""
        return [seat.pid for seat in self._seats if seat.pid]

    def stats(self) -> Stats:
        """Return the books of all workers, of those that died, too, added up."""
        books = [part for seat in self._seats for part in seat.books(self._version)]
        return replace(merged(books), digest=self.config.digest, refused=self._refused)

    # --- reload ---

    async def reload(self, config: GatewayConfig) -> None:
        """Let all workers decide by another config, or none; see `Gateway.reload`.

        Raises:
            GatewayLabError: It cannot be taken over; nothing is changed.
        """
        async with self._reloading:
            try:
                version = await self._prepare(config)
            except GatewayLabError as error:
                self.refuse(str(error))
                raise
            self._version, self._refused = version, ""
            for number, seat in enumerate(self._seats):
                seat.change(_text(config))
                if self._lives[number].done() and not self._stopping.is_set():
                    self._lives[number] = asyncio.create_task(self._look_after(seat))

    async def _prepare(self, config: GatewayConfig) -> Version:
        version = await asyncio.to_thread(self._version.successor, config)
        problems = await asyncio.gather(*(seat.prepare(_text(config)) for seat in self._seats))
        if found := [each for each in problems if each]:
            raise ConfigError("a worker cannot take the new config over", hint=found[0])
        return version

    def refuse(self, reason: str) -> None:
        """Note why there was no reload; what runs goes on."""
        self._refused = reason
        _LOG.error("the new config is refused, the old one goes on", extra={"reason": reason})

    # --- one worker ---

    async def _look_after(self, seat: _Seat) -> None:
        """Start a worker, and start it again as often as it dies."""
        rests = pauses()
        while not self._stopping.is_set():
            began = monotonic()
            code = await self._live(seat)
            if seat.refused:
                self._tell_stop()
            if seat.is_over or self._stopping.is_set():
                return
            seat.bury()
            _LOG.error(
                "worker %s ended with %s, it is started again",
                seat.begin.number,
                code,
                extra={"worker": seat.begin.number},
            )
            rests = pauses() if monotonic() - began > STEADY_S else rests
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), next(rests))

    async def _live(self, seat: _Seat) -> str:
        """Let a worker live, and say how it ended."""
        try:
            async with self._reloading:  # it begins with the config that all have
                await seat.start()
        except OSError as error:  # no memory, or too many processes
            return type(error).__name__
        if self._stopping.is_set():
            seat.tell(Stop())
        return str(await seat.live())


class _Seat:
    """The place of one worker, which several processes may take in turn.

    Attributes:
        begin: What its next process is told first.
        is_over: Whether the last one ended by itself: no source of it could go on.
        refused: Why it could not begin; empty if it could.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], begin: Begin) -> None:
        self.begin, self.is_over, self.refused = begin, False, ""
        self._command, self._environ = command, environ
        self._process: WorkerProcess | None = None
        self._books: Stats | None = None
        self._past: list[Stats] = []
        self._prepared: asyncio.Future[str] | None = None

    @property
    def pid(self) -> int:
        """The number of the process; 0 if there is none."""
        return self._process.pid if self._process else 0

    def tell(self, order: Order) -> None:
        """Give an order, if there is somebody to hear it."""
        if self._process:
            self._process.tell(order)

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._process:
            self._process.kill()

    async def start(self) -> None:
        """Start a process."""
        self.is_over = False
        self._process = await WorkerProcess.start(self._command, self._environ)
        self._process.tell(self.begin)

    async def live(self) -> int:
        """Hear what the process says until it has ended, and return how it ended."""
        process = self._process
        if process is None:
            raise TypeError
        try:
            async for answer in process.answers():
                self._hear(answer)
            return await process.end()
        finally:
            process.kill()
            self._process = None
            self._answer_prepare("a worker ended")

    def _hear(self, answer: Answer) -> None:
        match answer:
            case Books():
                self._books = answer.stats
            case Logged():
                self._log(answer)
            case Prepared():
                self._answer_prepare(answer.problem)
            case Refused():
                self.refused = answer.problem
            case Over():
                self.is_over = True
            case _:
                assert_never(answer)

    def _log(self, told: Logged) -> None:
        fields = {name: told.line[name] for name in FIELDS if name in told.line}
        extra = fields | {"worker": self.begin.number}
        _LOG.log(told.level, "%s", told.line["message"], extra=extra)

    # --- books ---

    def books(self, version: Version) -> Iterator[Stats]:
        """Return the books of the process, and of those before it."""
        yield self._books or self._blank(version)
        yield from self._past

    def bury(self) -> None:
        """Keep the books of a process that died."""
        if self._books:
            past = merged([ended(self._books), *self._past])
            self._books, self._past = None, [past]

    def _blank(self, version: Version) -> Stats:
        """Return the books of a process that has not said anything yet."""
        reason = f"worker {self.begin.number} starts"
        counters = [Counters(name, reason=reason) for name in version.reaches]
        return Stats(sources=tuple(each.source_stats() for each in counters), routers=(), ways=())

    # --- reload ---

    async def prepare(self, text: Text) -> str:
        """Let the process look whether it could take a config over; return what is wrong."""
        if self._process is None:
            return ""
        self._prepared = asyncio.get_running_loop().create_future()
        self._process.tell(Prepare(text))
        try:
            return await asyncio.wait_for(self._prepared, ANSWER_S)
        except TimeoutError:
            return "a worker does not answer"

    def _answer_prepare(self, problem: str) -> None:
        if self._prepared and not self._prepared.done():
            self._prepared.set_result(problem)

    def change(self, text: Text) -> None:
        """Let the process, and all after it, take over what was prepared."""
        self.begin = structs.replace(self.begin, text=text)
        self.tell(Change())


def _text(config: GatewayConfig) -> Text:
    return Text(canonical_json(config).decode(), config.digest)


def _require_sharing(version: Version, environ: Mapping[str, str]) -> None:
    """Refuse what several processes would do twice, or cannot reach."""
    for alias in sorted(version.brokers):
        require_server(alias, version.config.brokers[alias], environ)
    for name, reach in version.reaches.items():
        for reading in reach.readings:
            protocol = version.config.brokers[reading.broker]
            if protocol == "redis" and getattr(reading.options, "delivery", "") == "at_most_once":
                raise ConfigError(
                    "each worker would get every message: Redis has no groups for pub/sub",
                    where=f"sources.{name}",
                    hint="run one worker, or read a stream",
                )


def _unordered(version: Version) -> Iterator[str]:
    """Say which sources lose the order of keys between several processes."""
    for name, reach in version.reaches.items():
        protocols = {version.config.brokers[each.broker] for each in reach.readings} - {"kafka"}
        if protocols:
            told = ", ".join(sorted(protocols))
            yield f"source {name} keeps no order of keys: several workers share what {told} gives"
