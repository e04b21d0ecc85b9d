"""`gateway-lab run`: a config, live."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, NoReturn, Protocol, Self, TypeAlias

from rich.console import Console
from typer import BadParameter, Exit, Option

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFile
from gateway_lab.cli.run_beside import NOTHING, Beside, BesideAsked
from gateway_lab.cli.run_logs import json_logs
from gateway_lab.cli.run_table import LiveTable
from gateway_lab.cli.worker import COMMAND
from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.counters import State, Stats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.health import Health
from gateway_lab.gateway.reload import changes
from gateway_lab.gateway.workers import Workers

EXAMPLES = """
`gateway-lab run routes.yaml`  until Ctrl+C or SIGTERM, which finish what is in flight; a second
one does not wait

`gateway-lab run routes.yaml --create-channels`  creates what is missing, also channels whose names
messages choose

`gateway-lab run routes.yaml --watch`  takes over what is saved; `kill -HUP` does so once

`gateway-lab run routes.yaml --workers 2 --member blue --port 9100`  two processes, and
http://127.0.0.1:9100/readyz and /metrics

`gateway-lab run routes.yaml --record monday/`  a capture of all that comes, to replay

`gateway-lab run routes.yaml --shadow new.yaml`  what another config would do otherwise

`gateway-lab run routes.yaml 2> gateway.log`  one JSON object a line, for programs
"""

_LOG: Final = logging.getLogger("gateway_lab.run")

REFRESH_S: Final = 1.0
"""How often the books are shown."""

NOW_S: Final = 2.0
"""How long a second signal leaves for closing connections."""

Shown: TypeAlias = Callable[[Stats], None]


class Running(Protocol):
    """A gateway, in this process or in several."""

    @property
    def config(self) -> gl.GatewayConfig:
        """The config that decides now."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def wait(self) -> None:
        """Wait until it has ended."""

    async def stop(self, *, now: bool = False) -> None:
        """End it."""

    def stats(self) -> Stats:
        """Return its books."""

    async def reload(self, config: gl.GatewayConfig) -> None:
        """Take another config over."""

    def refuse(self, reason: str) -> None:
        """Note why there was no reload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked for on the command line."""

    path: Path
    workers: int
    create_channels: bool
    watch: bool
    port: int | None
    member: str
    beside: BesideAsked


def run(
    config: ConfigFile,
    *,
    workers: Annotated[int, Option(min=1, help="Processes that share the work.")] = 1,
    create_channels: Annotated[
        bool, Option("--create-channels", help="Create channels that are missing.")
    ] = False,
    watch: Annotated[
        bool, Option("--watch", help="Take the file over whenever it changes, or say why not.")
    ] = False,
    record: Annotated[
        Path | None,
        Option(metavar="PATH", help="Write all that sources deliver to a capture: a folder."),
    ] = None,
    shadow: Annotated[
        Path | None,
        Option(metavar="CONFIG", help="Compare with what another config would decide."),
    ] = None,
    show_private: Annotated[
        bool, Option("--show-private", help="Record private values as they are, not masked.")
    ] = False,
    disagreements: Annotated[
        Path | None,
        Option(metavar="PATH", help="Write what the shadow decides otherwise to a capture."),
    ] = None,
    port: Annotated[
        int | None,
        Option(min=0, max=65535, help="Serve /livez, /readyz and /metrics on 127.0.0.1."),
    ] = None,
    member: Annotated[
        str,
        Option(
            metavar="NAME",
            envvar="GATEWAY_MEMBER",
            help="Names this gateway among those that run the same config: the same at each start, "
            "and no other's.",
        ),
    ] = "",
) -> None:
    """Run a config until it is told to stop: at least once, nothing lost.

    The address of each broker is in the environment, `GATEWAY_BROKER_<ALIAS>_URL`. A source starts
    when its brokers are there, and stops by itself, *red*, when it cannot go on; others go on.

    Exit codes: 0 it was stopped; 1 a source is red; 2 it cannot begin.
    """
    asked = _Asked(
        path=config,
        workers=workers,
        create_channels=create_channels,
        watch=watch,
        port=port,
        member=_member(member),
        beside=BesideAsked(
            record=record, show_private=show_private, shadow=shadow, disagreements=disagreements
        ),
    )
    _refuse_together(asked)
    read = gl.read_config(config)
    alone = asked.beside if workers == 1 else NOTHING  # workers record by themselves
    with Beside(read, alone) as beside:
        running = _made(asked, read, beside)
        with _shown(running, asked, beside) as show:
            asyncio.run(_run(running, asked, show))
    if any(each.state is State.RED for each in running.stats().sources):
        raise Exit(1)


def _member(name: str) -> str:
    """Refuse a name that Kafka would not take."""
    if name.replace("-", "").replace("_", "").isalnum() and name.isascii() and len(name) <= 40:
        return name
    if name:
        msg = f"{name!r} is not 1 to 40 letters, digits, hyphens and underscores"
        raise BadParameter(msg, param_hint="--member")
    return ""


def _refuse_together(asked: _Asked) -> None:
    if asked.beside.shadow and (asked.workers > 1 or asked.watch):
        msg = "a shadow is compared with one config in one process: no --workers, no --watch"
        raise BadParameter(msg, param_hint="--shadow")
    if asked.beside.record and asked.beside.record.suffix and asked.workers > 1:
        msg = "workers record to a folder, each to files of its own"
        raise BadParameter(msg, param_hint="--record")
    if asked.beside.disagreements and not asked.beside.shadow:
        msg = "there is no --shadow that could disagree"
        raise BadParameter(msg, param_hint="--disagreements")


def _made(asked: _Asked, config: gl.GatewayConfig, beside: Beside) -> Running:
    if asked.workers > 1:
        return Workers(
            config,
            asked.workers,
            command=COMMAND,
            create_channels=asked.create_channels,
            member=asked.member,
            record=None if asked.beside.record is None else str(asked.beside.record),
            shows_private=asked.beside.show_private,
        )
    return Gateway(
        config,
        create_channels=asked.create_channels,
        member=asked.member and f"{asked.member}-0",
        wrap=beside.wrap,
    )


@contextmanager
def _shown(running: Running, asked: _Asked, beside: Beside) -> Iterator[Shown]:
    """Show it to people on a terminal, else write logs."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        many = [f"{asked.workers} workers"] if asked.workers > 1 else []
        table = LiveTable(console, lambda: [running.config.name, *many, *beside.notes()])
        with table.shown():
            yield table.show
    else:
        with json_logs(lambda: running.config.digest, beside.notes) as show:
            yield show


async def _run(running: Running, asked: _Asked, show: Shown) -> None:
    """Run until every source has stopped."""
    async with AsyncExitStack() as stack:
        if asked.port is not None:
            health = Health(running.stats, port=asked.port, name=running.config.name)
            await stack.enter_async_context(health)
            _LOG.info("health is at http://%s:%s", *health.address)
        signals = _Signals(running, asked)
        stack.push_async_callback(signals.close)
        await stack.enter_async_context(running)
        signals.listen()
        waiting = asyncio.create_task(running.wait())
        while not waiting.done():
            show(running.stats())
            await asyncio.wait([waiting], timeout=REFRESH_S)
        await waiting
    show(running.stats())


class _Signals:
    """What signals and the watch over the file do."""

    def __init__(self, running: Running, asked: _Asked) -> None:
        self._running, self._asked = running, asked
        self._stops = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Listen from now on."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        if self._asked.watch:
            self._begin(self._watch())

    async def close(self) -> None:
        """Do nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self) -> None:
        """Stop; the second time at once, whatever does not want to end."""
        self._stops += 1
        if self._stops > 1:
            _LOG.warning("ending at once: what is in flight comes again")
            asyncio.get_running_loop().call_later(NOW_S, _end)
        else:
            _LOG.info("stopping: what is in flight is finished; a second signal does not wait")
        self._begin(self._running.stop(now=self._stops > 1))

    def _reload(self) -> None:
        self._begin(self._take_over())

    async def _watch(self) -> None:
        origin = self._running.config.origin
        async for _ in changes(self._asked.path, origin.text if origin else ""):
            await self._take_over()

    async def _take_over(self) -> None:
        """Reload the file; what is wrong with it is in the books and in the log."""
        if self._asked.beside.shadow:
            self._running.refuse("a shadow is compared with the config of the start")
            return
        try:
            config = await asyncio.to_thread(gl.read_config, self._asked.path)
        except (GatewayLabError, OSError) as error:
            self._running.refuse(str(error))
            return
        with suppress(GatewayLabError):  # it has told
            await self._running.reload(config)


def _end() -> NoReturn:
    """End at once: what is not settled comes again, and nothing else is lost."""
    Console(stderr=True).show_cursor(show=True)
    os._exit(1)
