"""`gateway-lab explain`: why one message goes where it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from typer import Argument, BadParameter, Option

import gateway_lab as gl
from gateway_lab.cli.options import App, ConfigFile, Form, handlers_of
from gateway_lab.cli.report import Format, Report, table

EXAMPLES = """
`gateway-lab explain routes.yaml monday.parquet --seq 4711`

`gateway-lab explain routes.yaml --event '{"priority": "high"}'`  when nothing is captured

`gateway-lab explain routes.yaml --source business --event '{"priority": "high"}'`
  when there are several sources
"""

MASKED = (
    "the capture is masked: conditions on private values, and bodies that were not valid, are "
    "explained as they are now\n  hint: record with --show-private where you may"
)

LEGEND = "✓ TRUE  ✗ FALSE  ? NULL  · not asked; * a clause that made its route's result"


def explain(
    config: ConfigFile,
    capture: Annotated[Path | None, Argument(help="Where --seq is.", metavar="CAPTURE")] = None,
    *,
    seq: Annotated[int | None, Option(help="The number of a captured message.")] = None,
    source: Annotated[
        str | None, Option(help="The source that reads it; left out: the only one that can.")
    ] = None,
    event: Annotated[str | None, Option(help="An event, written as JSON.")] = None,
    app: App = "",
    form: Form = Format.TABLE,
) -> None:
    """Show clause by clause why a message goes where it goes."""
    routes, handlers = gl.read_config(config), handlers_of(app)
    if capture is not None and seq is not None:
        result = gl.explain(routes, _message(capture, seq), source=source, handlers=handlers)
    elif event is not None:
        result = gl.explain(routes, _event(event), source=source, handlers=handlers)
    else:
        raise BadParameter("give CAPTURE and --seq, or --event")
    if form is Format.TABLE:
        print(f"{result}\n{LEGEND}")
        return
    tables = {"targets": result.targets, "clauses": result.clauses, "changes": result.changes}
    named = ("source", "event_type", "handled", "invalid")
    facts = {name: getattr(result, name) for name in named}
    Report(
        facts=facts,
        tables=[table(name, frame, limit=frame.height) for name, frame in tables.items()],
    ).show(form)


def _message(capture: Path, seq: int) -> gl.Message:
    traffic = gl.scan_capture(capture)
    if traffic.is_masked:
        Console(stderr=True, highlight=False, soft_wrap=True).print(MASKED)
    return traffic.message(seq)


def _event(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise BadParameter("nested too deep", param_hint="--event") from None
    except ValueError as error:
        raise BadParameter(f"not JSON: {error}", param_hint="--event") from None
