"""`gateway-lab record`: what is on the channels of a config, without taking it from anybody."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Annotated, Final

from rich.console import Console
from typer import Argument, BadParameter, Option

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFile
from gateway_lab.config.durations import duration_us

EXAMPLES = """
`gateway-lab record routes.yaml monday/`  until Ctrl+C, into a folder

`gateway-lab record routes.yaml monday.parquet --until-caught-up`  what is there now, as one file

`gateway-lab record routes.yaml sample/ --source orders --limit 10000 --for 10m`
"""

SHOWN_S: Final = 0.5
"""How often the count is shown."""


def record(
    config: ConfigFile,
    path: Annotated[
        Path, Argument(help="A new folder, or a new .parquet or .ndjson file.", metavar="PATH")
    ],
    *,
    source: Annotated[
        list[str] | None, Option(help="Only this source; repeatable.", metavar="NAME")
    ] = None,
    limit: Annotated[int | None, Option(min=1, help="End after so many messages.")] = None,
    for_: Annotated[
        str | None, Option("--for", help="End after so long: 90s, 10m, 2h.", metavar="TIME")
    ] = None,
    until_caught_up: Annotated[
        bool, Option("--until-caught-up", help="End when all that is there now is recorded.")
    ] = False,
    new: Annotated[
        bool, Option("--new", help="Leave out what is there already: only what comes now.")
    ] = False,
    show_private: Annotated[
        bool, Option("--show-private", help="Record private values as they are, not masked.")
    ] = False,
) -> None:
    """Record the channels of a config's sources; takes nothing from anybody, changes nothing."""
    if show_private:
        gl.show_private()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with _progress(console) as shown:
        work = gl.record(
            gl.read_config(config),
            path,
            sources=source or (),
            limit=limit,
            seconds=_seconds(for_),
            until_caught_up=until_caught_up,
            from_start=not new,
            progress=shown,
        )
        asyncio.run(_until_stopped(work))
    if not path.exists():
        console.print("nothing was recorded")
        return
    console.print(f"{path}: {gl.scan_capture(path).count:,} messages")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return duration_us(text) / 1e6
    except (KeyError, ValueError):
        raise BadParameter(
            f"{text!r} is not written like 90s, 10m or 2h", param_hint="--for"
        ) from None


async def _until_stopped(work: Coroutine[object, object, gl.Capture]) -> None:
    """Work until done or told to stop, which ends the recording cleanly."""
    task = asyncio.ensure_future(work)
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many messages there are, and how fast they come."""
    if not console.is_terminal:
        yield lambda _: None
        return
    began = last = monotonic()

    def show(count: int) -> None:
        nonlocal last
        if (now := monotonic()) - last >= SHOWN_S:
            last = now
            status.update(f"{count:,} messages, {count / (now - began):,.0f} a second")

    with console.status("Recording, Ctrl+C ends it …") as status:
        yield show
