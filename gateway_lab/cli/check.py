"""`gateway-lab check`: what is wrong with configs, and what could be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from typer import Exit, Option

import gateway_lab as gl
from gateway_lab.cli.options import App, ConfigFiles, Form, handlers_of
from gateway_lab.cli.report import Format, Report, Table
from gateway_lab.cli.unread import is_unread, unread
from gateway_lab.findings import Finding, Severity

EXAMPLES = """
`gateway-lab check routes.yaml`

`gateway-lab check routes.yaml --capture monday.parquet`  also what the traffic shows

`gateway-lab check configs/*.yaml --strict`  fails on warnings, too
"""

COLUMNS = ("severity", "code", "place", "text", "hint")


def check(
    configs: ConfigFiles,
    *,
    capture: Annotated[
        Path | None, Option(help="Also compare with traffic: undeclared fields, idle rules.")
    ] = None,
    strict: Annotated[bool, Option("--strict", help="Exit 1 on a warning, too.")] = False,
    app: App = "",
    form: Form = Format.TABLE,
) -> None:
    """List what is wrong with configs; exit 1 on an error."""
    traffic = None if capture is None else gl.scan_capture(capture)
    handlers = handlers_of(app)
    read = {path: gl.read_config(path) for path in configs}
    findings = [
        each for config in read.values() for each in gl.check(config, traffic, handlers=handlers)
    ]
    counts = Counter(each.severity for each in findings)
    total = ", ".join(f"{counts[each]} {each}{_s(counts[each])}" for each in Severity)
    closing = "\n".join([*_strange(read, traffic), total])
    if form is Format.TABLE:
        # A line a finding, as compilers write them: editors jump to the place.
        print("\n".join([*map(str, findings), closing]))
    else:
        rows = [_row(each) for each in findings]
        Report(tables=[Table(name="findings", columns=COLUMNS, rows=rows)], closing=closing).show(
            form
        )
    if counts[Severity.ERROR] or (strict and counts[Severity.WARNING]):
        raise Exit(1)


def _strange(read: dict[Path, gl.GatewayConfig], traffic: gl.Capture | None) -> list[str]:
    """Name the configs that the traffic says nothing about."""
    if traffic is None:
        return []
    said = unread(traffic, binds=False)
    return [f"{path}: {each}" for path in read if is_unread(read[path], traffic) for each in said]


def _row(finding: Finding) -> dict[str, object]:
    place = finding.file or ""
    if finding.line is not None:
        place += f":{finding.line}:{finding.column}"
    path = ".".join(map(str, finding.path))
    return {
        "severity": finding.severity,
        "code": finding.code,
        "place": place or path,
        "text": finding.text,
        "hint": finding.hint,
        "path": path,
        "witness": finding.witness,
    }


def _s(count: int) -> str:
    return "" if count == 1 else "s"
