"""`gateway-lab diff`: what a change would move."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

import gateway_lab as gl
from gateway_lab.cli.options import App, Bindings, CaptureFile, Form, Limit, bindings, handlers_of
from gateway_lab.cli.report import Format, Report, table
from gateway_lab.cli.unread import is_unread, unread

EXAMPLES = """
`gateway-lab diff routes.yaml draft.yaml monday.parquet`

`gateway-lab diff routes.yaml draft.yaml monday.parquet --max-moved 0.05 --keep audit`
  fails when more than 5 % of the deliveries, or one to audit, are not the same

`gateway-lab diff routes.yaml draft.yaml monday.parquet --format markdown`  for a pull request
"""


def diff(
    old: Annotated[Path, Argument(help="The config that runs.", metavar="OLD")],
    new: Annotated[Path, Argument(help="The draft.", metavar="NEW")],
    capture: CaptureFile,
    *,
    max_moved: Annotated[
        float | None, Option(min=0, max=1, help="Fail when a larger share is not the same.")
    ] = None,
    keep: Annotated[
        list[str] | None, Option(help="Fail when a delivery to this target changes; repeatable.")
    ] = None,
    source: Bindings = None,
    app: App = "",
    limit: Limit = 20,
    form: Form = Format.TABLE,
) -> None:
    """Sends nothing: compare two configs on the same captured messages."""
    before, after = gl.read_config(old), gl.read_config(new)
    traffic, handlers = gl.scan_capture(capture), handlers_of(app)
    result = gl.diff(before, after, traffic, sources=bindings(source), handlers=handlers)
    tables = [
        table("summary", result.summary(), limit=limit),
        table("config", result.config(), limit=limit),
        table("flow", result.flow(), limit=limit),
    ]
    strange = [] if source or not is_unread(before, traffic) else unread(traffic, binds=True)
    Report(facts=facts(result), tables=tables, closing="\n".join(strange)).show(form)
    result.check(max_moved=max_moved, keep=keep or ())


def facts(result: gl.RouteDiff) -> dict[str, Any]:
    """Name what was compared, and how much of it does not stay the same."""
    return {
        "old": f"{result.old.name} {result.old.digest[:12]}",
        "new": f"{result.new.name} {result.new.digest[:12]}",
        "capture": result.capture.digest[:12],
        "messages": result.capture.count,
        "moved_share": round(result.moved_share, 6),
    }
