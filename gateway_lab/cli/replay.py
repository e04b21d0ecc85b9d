"""`gateway-lab replay`: where every captured message would go."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from typer import Option

import gateway_lab as gl
from gateway_lab.cli.options import (
    App,
    Bindings,
    CaptureFile,
    ConfigFile,
    Form,
    Limit,
    bindings,
    handlers_of,
)
from gateway_lab.cli.report import Format, Report, table
from gateway_lab.cli.unread import unread

EXAMPLES = """
`gateway-lab replay data/business.yaml data/business.parquet`  the books of each router

`gateway-lab replay routes.yaml monday.parquet --by channels --limit 50`  what is written where

`gateway-lab replay routes.yaml monday.parquet --every 5m --format json`  deliveries over time

`gateway-lab replay users.yaml monday.parquet --app users:gateway --by handled`
  what became of messages in the handlers that users.py registers
"""


class By(StrEnum):
    """What the counts are about."""

    ROUTERS = "routers"
    ROUTES = "routes"
    TARGETS = "targets"
    CHANNELS = "channels"
    HANDLED = "handled"


def replay(
    config: ConfigFile,
    capture: CaptureFile,
    *,
    by: Annotated[By, Option(help="What to count by; routers and targets always balance.")] = (
        By.ROUTERS
    ),
    every: Annotated[str | None, Option(help="Count per target and step of time: 10s, 1m.")] = None,
    source: Bindings = None,
    app: App = "",
    limit: Limit = 20,
    form: Form = Format.TABLE,
) -> None:
    """Sends nothing: count where each captured message would go, and why not.

    Sources with handlers are not replayed, unless --app names the gateway that has them: whatever
    these functions do to the world, they do.
    """
    routes, traffic = gl.read_config(config), gl.scan_capture(capture)
    result = gl.replay(routes, traffic, sources=bindings(source), handlers=handlers_of(app))
    if every is not None:
        tables = [table("over_time", result.over_time(every), limit=limit)]
    elif by is By.ROUTERS:
        tables = [
            table("routers", result.routers(), limit=limit),
            table("targets", result.targets(), limit=limit),
        ]
    else:
        tables = [table(by.value, getattr(result, by.value)(), limit=limit)]
    Report(facts=facts(result), tables=tables, closing=closing(result)).show(form)


def facts(result: gl.Replay) -> dict[str, Any]:
    """Name what was replayed, and count the messages that no router saw."""
    books = result.books()
    return {
        "config": f"{result.config.name} {result.config.digest[:12]}",
        "capture": result.capture.digest[:12],
        "messages": books.messages,
        "no_source": books.no_source,
        "not_replayed": sum(books.not_replayed.values()),
    }


def closing(result: gl.Replay) -> str:
    """Say what checking found, a line a finding, and when the capture is another one's."""
    return "\n".join([*map(str, result.findings), *_unread(result), *_unhandled(result)])


def _unhandled(result: gl.Replay) -> list[str]:
    """Say how the sources are replayed whose handler did not run."""
    names = ", ".join(result.books().not_replayed)
    if not any(result.books().not_replayed.values()) or result.run.handled:
        return []
    return [f"the handler of {names} did not run\n  hint: --app MODULE:GATEWAY names its gateway"]


def _unread(result: gl.Replay) -> list[str]:
    """Say where the messages came from, when nobody reads them and no source was told to."""
    books = result.books()
    if not books.messages or books.no_source < books.messages or result.run.sources:
        return []
    return unread(result.capture, binds=True)
