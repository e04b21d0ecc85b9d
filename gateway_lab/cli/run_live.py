"""A gateway while it runs: what is shown, and what signals and the watch over its file do."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Final, NoReturn, Protocol, Self, TypeAlias

from rich.console import Console

import gateway_lab as gl
from gateway_lab.cli.run_asked import Asked
from gateway_lab.cli.run_beside import Beside
from gateway_lab.cli.run_logs import json_logs
from gateway_lab.cli.run_table import LiveTable
from gateway_lab.cli.worker import COMMAND
from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.app.gateway import AppGateway, find_gateway
from gateway_lab.gateway.counters import State, Stats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.health.health import Health
from gateway_lab.gateway.log_lines import place_of
from gateway_lab.gateway.reload import changes
from gateway_lab.gateway.telemetry.export import Exports
from gateway_lab.gateway.tuning import tune
from gateway_lab.gateway.workers.workers import Workers

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


def run_live(asked: Asked) -> bool:
    """Run a config until it is told to stop, and say whether no source is red.

    Raises:
        GatewayLabError: It cannot begin.
    """
    config = gl.read_config(asked.path)
    with Beside(config, asked) as beside:
        running = _made(asked, config, beside)
        with _shown(running, asked, beside) as show:
            asyncio.run(_run(running, asked, show))
    return all(each.state is not State.RED for each in running.stats().sources)


def _made(asked: Asked, config: gl.GatewayConfig, beside: Beside) -> Running:
    host = find_gateway(asked.app) if asked.app else None
    if asked.workers > 1:
        if host:
            host.handlers.agree(config)  # before any worker starts
        return Workers(
            config,
            asked.workers,
            command=COMMAND,
            create_channels=asked.create_channels,
            member=asked.member,
            record=None if asked.record is None else str(asked.record),
            shows_private=asked.show_private,
            app=asked.app,
        )
    make = partial(AppGateway, host) if host else Gateway
    gateway = make(
        config,
        create_channels=asked.create_channels,
        member=asked.member and f"{asked.member}-0",
        wrap=beside.wrap,
    )
    beside.watch(gateway)
    return gateway


@contextmanager
def _shown(running: Running, asked: Asked, beside: Beside) -> Iterator[Shown]:
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


async def _run(running: Running, asked: Asked, show: Shown) -> None:
    """Run until every source has stopped."""
    async with AsyncExitStack() as stack:
        if asked.port is not None:
            health = Health(running.stats, port=asked.port, name=running.config.name)
            await stack.enter_async_context(health)
            _LOG.info("health is at http://%s:%s", *health.address)
        signals = _Signals(running, asked)
        stack.push_async_callback(signals.close)
        if asked.workers == 1:  # several send by themselves
            await stack.enter_async_context(Exports(running.config.name, asked.member))
        await stack.enter_async_context(running)
        signals.listen()
        tune()
        waiting = asyncio.create_task(running.wait())
        while not waiting.done():
            show(running.stats())
            await asyncio.wait([waiting], timeout=REFRESH_S)
        await waiting
    show(running.stats())


class _Signals:
    """What signals and the watch over the file do."""

    def __init__(self, running: Running, asked: Asked) -> None:
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
        if self._asked.shadow:
            self._running.refuse("a shadow is compared with the config of the start")
            return
        try:
            config = await asyncio.to_thread(gl.read_config, self._asked.path)
        except (GatewayLabError, OSError) as error:
            self._running.refuse(str(error))
            return
        try:
            await self._running.reload(config)
        except GatewayLabError:
            pass  # it has told
        except Exception as error:  # noqa: BLE001 - what runs goes on, and so does the watch
            self._running.refuse(f"a defect of gateway_lab: {place_of(error)}")


def _end() -> NoReturn:
    """End at once: what is not settled comes again, and nothing else is lost."""
    Console(stderr=True).show_cursor(show=True)
    os._exit(1)
