"""`gateway-lab redrive`: dead letters, looked at and sent again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from rich.console import Console
from rich.text import Text
from typer import Exit, Option

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFile, Form
from gateway_lab.cli.report import Format, Report, Table
from gateway_lab.recording.letter_pile import NOT_WANTED
from gateway_lab.recording.redrive import WAIT_S, Redriven, Redriver, Wish

EXAMPLES = """
`gateway-lab redrive routes.yaml --dry-run`  what letters there are, and why; nothing is taken

`gateway-lab redrive routes.yaml`  each to the target that failed

`gateway-lab redrive routes.yaml --where "class = 'unroutable' and target = 'audit'"`

`gateway-lab redrive routes.yaml --replan`  after a rule was mended: its router decides anew
"""

REFRESH_S: Final = 1.0
COLUMNS: Final = (
    *("letters", "class", "source", "route", "target", "reason", "first", "last", "example"),
)

Shown: TypeAlias = Callable[[Redriven], None]


class To(StrEnum):
    """Where letters go that do not go where they failed."""

    SOURCE = "source"


def redrive(
    config: ConfigFile,
    *,
    where: Annotated[
        str | None,
        Option(
            metavar="RULE",
            help="Only these letters: a rule over class, reason, source, router, route, target, "
            "attempts, replays, first, last and `message.*`.",
        ),
    ] = None,
    channel: Annotated[
        str | None,
        Option(
            "--from",
            metavar="ALIAS:CHANNEL",
            help="Where the letters are, if not in the config's dead-letter channels.",
        ),
    ] = None,
    replan: Annotated[
        bool, Option("--replan", help="Let the router that failed to deliver decide anew.")
    ] = False,
    to: Annotated[
        To | None,
        Option(
            help="Write messages back to where they were read: every target gets them again, "
            "under new ids.",
        ),
    ] = None,
    kept: Annotated[
        bool, Option("--kept", help="Move letters that stay to `<channel>.kept`.")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show the letters by kind, and take none.")
    ] = False,
    wait: Annotated[
        float, Option(min=0.1, help="Seconds without a further letter until there are no more.")
    ] = WAIT_S,
    form: Form = Format.TABLE,
) -> None:
    """Send dead letters again to where they failed; exit 1 when some failed again or stay."""
    wish = Wish(
        where=where,
        channel=channel,
        replans=replan,
        to_source=to is To.SOURCE,
        moves_aside=kept,
        is_dry=dry_run,
        wait_s=wait,
    )
    redriver = Redriver(gl.read_config(config), wish)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if wish.to_source and not dry_run:
        warning = "every router decides these messages again: targets that have them get them twice"
        console.print(Text(warning, style="yellow"))
    with _shown(console) as show:
        done = asyncio.run(_run(redriver, show))
    _report(redriver, done, has_facts=form is not Format.TABLE and not dry_run).show(form)
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
        show(redriver.progress)
        await asyncio.wait([running], timeout=REFRESH_S)
    return redriver.progress if running.cancelled() else running.result()


@contextmanager
def _shown(console: Console) -> Iterator[Shown]:
    """Show on a terminal how far it has come."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("waiting for letters") as status:
        yield lambda done: status.update(_line(done))


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
