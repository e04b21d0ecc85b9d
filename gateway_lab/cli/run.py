"""`gateway-lab run`: a config, live."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Annotated, Final, TypeAlias

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typer import Exit, Option

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFile
from gateway_lab.gateway.counters import SourceStats, State, Stats

EXAMPLES = """
`gateway-lab run routes.yaml`  until Ctrl+C or SIGTERM, which finish what is in flight

`gateway-lab run routes.yaml --create-channels`  creates what is missing first

`gateway-lab run routes.yaml 2> gateway.log`  one JSON object a line, for programs
"""

REFRESH_S: Final = 1.0
TOLD_S: Final = 10.0
"""How often the books are shown on a terminal, and how often they are logged."""

Shown: TypeAlias = Callable[[Stats], None]


def run(
    config: ConfigFile,
    *,
    create_channels: Annotated[
        bool, Option("--create-channels", help="Create channels that are missing.")
    ] = False,
) -> None:
    """Run a config until it is told to stop; exit 1 when a source stopped by itself."""
    gateway = gl.Gateway(gl.read_config(config), create_channels=create_channels)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with _on_terminal(console) if console.is_terminal else _as_json() as show:
        asyncio.run(_run(gateway, show))
    red = [each for each in gateway.stats().sources if each.state is State.RED]
    if console.is_terminal:
        for each in red:
            console.print(Text(f"{each.source} stopped: {each.reason}", style="red"))
    if red:
        raise Exit(1)


async def _run(gateway: gl.Gateway, show: Shown) -> None:
    """Run until every source has stopped; a first signal stops them, a second does not wait."""
    stops: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stops.append(loop.create_task(gateway.stop(now=bool(stops))))

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop)
    async with gateway:
        waiting = loop.create_task(gateway.wait())
        while not waiting.done():
            show(gateway.stats())
            await asyncio.wait([waiting], timeout=REFRESH_S)
    await asyncio.gather(*stops)
    show(gateway.stats())


# --- for people ---


@contextmanager
def _on_terminal(console: Console) -> Iterator[Shown]:
    """Show a table that is alive."""
    past: list[tuple[float, Stats]] = []

    def show(stats: Stats) -> None:
        past.append((monotonic(), stats))
        del past[:-2]
        live.update(table_of(past[0], past[-1]), refresh=True)

    with Live(console=console, auto_refresh=False) as live:
        yield show


def table_of(before: tuple[float, Stats], after: tuple[float, Stats]) -> Table:
    """Make a table of what happened between two moments, and in all."""
    seconds = max(after[0] - before[0], 1e-9)
    table = Table(
        *("source", "route", "target", "state", "a second", "in all", "under way", "dead letters"),
        box=None,
        header_style="dim",
    )
    old_sources = {each.source: each.settled for each in before[1].sources}
    old_ways = {
        (each.source, each.router, each.route, each.target): each.delivered
        for each in before[1].ways
    }
    for source in after[1].sources:
        rate = (source.settled - old_sources.get(source.source, 0)) / seconds
        table.add_row(
            source.source,
            "",
            "",
            _state(source),
            *(f"{rate:,.0f}", f"{source.settled:,}", f"{source.in_flight:,}"),
        )
        for way in after[1].ways:
            if way.source == source.source and way.delivered + way.dead_lettered + way.pending:
                key = (way.source, way.router, way.route, way.target)
                rate = (way.delivered - old_ways.get(key, 0)) / seconds
                table.add_row(
                    "",
                    "/".join(filter(None, (way.router, way.route))),
                    way.target,
                    "",
                    *(f"{rate:,.0f}", f"{way.delivered:,}", f"{way.pending:,}"),
                    f"{way.dead_lettered:,}" if way.dead_lettered else "",
                )
    return table


_COLOURS: Final = {State.RUNNING: "green", State.RED: "red", State.WAITING: "yellow"}


def _state(source: SourceStats) -> Text:
    return Text(source.state, style=_COLOURS.get(source.state, "dim"))


# --- for programs ---


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        told |= {
            name: getattr(record, name) for name in ("source", "reason") if hasattr(record, name)
        }
        if books := getattr(record, "books", None):
            told |= books
        return json.dumps(told)


@contextmanager
def _as_json() -> Iterator[Shown]:
    """Log to standard error what changes, and now and then the books."""
    logger, handler = logging.getLogger("gateway_lab"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    told: list[tuple[float, Stats]] = [(monotonic(), Stats(sources=(), routers=(), ways=()))]

    def show(stats: Stats) -> None:
        is_over = not {each.state for each in stats.sources} & {State.WAITING, State.RUNNING}
        if stats != told[0][1] and (is_over or monotonic() - told[0][0] >= TOLD_S):
            told[0] = (monotonic(), stats)
            for each in stats.sources:
                logger.info("books of %s", each.source, extra={"books": _books(each, stats)})

    try:
        yield show
    finally:
        logger.removeHandler(handler)


def _books(source: SourceStats, stats: Stats) -> dict[str, object]:
    """Return the numbers of one source, as a log has them."""
    ways = [each for each in stats.ways if each.source == source.source]
    return {
        "source": source.source,
        "state": source.state,
        "read": source.read,
        "settled": source.settled,
        "retried": source.retried,
        "delivered": sum(each.delivered for each in ways),
        "dropped": sum(each.dropped for each in ways),
        "dead_lettered": sum(each.dead_lettered for each in ways),
        "pending": sum(each.pending for each in ways),
    }
