"""What `redrive` does once it is asked: sends letters again, or shows them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TypeAlias

from rich.console import Console
from rich.text import Text
from typer import Exit

from gateway_lab.cli.report import Format, Report, Table
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.recording.letter_pile import NOT_WANTED
from gateway_lab.recording.redrive import Redriven, Redriver, Wish

REFRESH_S: Final = 1.0
COLUMNS: Final = (
    *("letters", "class", "source", "route", "target", "reason", "first", "last", "example"),
)
WARNING: Final = "every router decides these messages again: targets that have them get them twice"

Shown: TypeAlias = Callable[[str, str], None]
"""Takes how far it has come, and the broker that it waits for."""


def redrive_live(config: GatewayConfig, wish: Wish, form: Format) -> None:
    """Send letters again and report; exit 1 when some failed again, stay or are unfinished."""
    redriver = Redriver(config, wish)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if wish.to_source and not wish.is_dry:
        console.print(Text(WARNING, style="yellow"))
    with _shown(console) as show:
        done = asyncio.run(_run(redriver, show))
    _report(redriver, done, has_facts=form is not Format.TABLE and not wish.is_dry).show(form)
    stay = sum(number for why, number in done.piles.staying.items() if why != NOT_WANTED)
    if done.failed or done.unfinished or (stay and not done.moved):
        raise Exit(1)


async def _run(redriver: Redriver, show: Shown) -> Redriven:
    """Run until there are no more letters; a first signal finishes what was read."""
    loop = asyncio.get_running_loop()
    running = loop.create_task(redriver.run())
    stops = iter([redriver.stop])

    def stop() -> None:
        next(stops, running.cancel)()

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop)
    while not running.done():
        show(_line(redriver.progress), redriver.waiting_for)
        await asyncio.wait([running], timeout=REFRESH_S)
    return redriver.progress if running.cancelled() else running.result()


@contextmanager
def _shown(console: Console) -> Iterator[Shown]:
    """Show on a terminal how far it has come, and anywhere that a broker is away."""
    told: set[str] = set()

    def tell(_: str, waiting_for: str) -> None:
        if waiting_for and waiting_for not in told:
            told.add(waiting_for)
            console.print(f"waiting for broker {waiting_for}")

    if not console.is_terminal:
        yield tell
        return
    with console.status("waiting for letters") as status:
        yield lambda line, broker: status.update(f"waiting for broker {broker}" if broker else line)


def _line(done: Redriven) -> str:
    """Say in one line what has become of letters."""
    staying = sum(done.piles.staying.values())
    parts = {
        "delivered": done.delivered,
        "dropped by a rule": done.dropped,
        "failed again": done.failed,
        "stay": staying - done.moved,
        "moved aside": done.moved,
        "not finished": done.unfinished,
    }
    told = [f"{number:,} {what}" for what, number in parts.items() if number]
    more = ["there may be more"] if done.piles.may_be_more else []
    return ", ".join([f"{done.piles.letters:,} letters", *told, *more])


def _report(redriver: Redriver, done: Redriven, *, has_facts: bool) -> Report:
    rows = [
        {
            **kind._asdict(),
            "class": kind.of_class,
            "letters": pile.letters,
            "route": "/".join(filter(None, (kind.router, kind.route))),
            "first": _time(pile.first),
            "last": _time(pile.last),
            "example": redriver.show_example(pile),
        }
        for kind, pile in sorted(done.piles.wanted.items(), key=lambda each: -each[1].letters)
    ]
    staying = [{"messages": number, "why": why} for why, number in done.piles.staying.items()]
    tables = [Table(name="letters", columns=COLUMNS, rows=[_only(each) for each in rows])]
    if staying:
        tables.append(Table(name="stay", columns=("messages", "why"), rows=staying))
    facts = {
        "delivered": done.delivered,
        "dropped": done.dropped,
        "failed": done.failed,
        "moved": done.moved,
        "unfinished": done.unfinished,
        "may_be_more": done.piles.may_be_more,
    }
    return Report(facts=facts if has_facts else {}, tables=tables, closing=_line(done))


def _only(row: dict[str, object]) -> dict[str, object]:
    return {name: row[name] for name in COLUMNS}


def _time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
