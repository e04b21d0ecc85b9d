"""`gateway-lab check`: what is wrong with configs, and what could be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from typer import Exit, Option

import gateway_lab as gl
from gateway_lab.cli.options import App, ConfigFiles, Form, handlers_of
from gateway_lab.cli.report import Format, Report, Table
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
    findings = [
        each
        for path in configs
        for each in gl.check(gl.read_config(path), traffic, handlers=handlers)
    ]
    counts = Counter(each.severity for each in findings)
    closing = ", ".join(f"{counts[each]} {each}{_s(counts[each])}" for each in Severity)
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
