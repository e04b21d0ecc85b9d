"""`gateway-lab test`: what configs promise of single messages and of a whole capture."""

from __future__ import annotations

from typer import Exit

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFiles, Form
from gateway_lab.cli.report import Format, Report, Table

EXAMPLES = """
`gateway-lab test routes.yaml`

`gateway-lab test configs/*.yaml --format markdown`  for a pull request

`pytest routes.yaml`  the same under pytest, a test each
"""

COLUMNS = ("config", "test", "result", "why")

NOTHING = "nothing to run; write `tests:`, or export it with --capture"


def test(configs: ConfigFiles, *, form: Form = Format.TABLE) -> None:
    """Run the tests of configs, and replay the counts they promise; exit 1 when one fails."""
    found = {path: _rows(gl.read_config(path), str(path)) for path in configs}
    rows = [row for each in found.values() for row in each]
    failed = sum(row["result"] == "failed" for row in rows)
    idle = [f"{path}: {NOTHING}" for path, each in found.items() if not each]
    closing = "\n".join([*idle, f"{len(rows) - failed} passed, {failed} failed"])
    Report(tables=[Table(name="tests", columns=COLUMNS, rows=rows)], closing=closing).show(form)
    if failed:
        raise Exit(1)


def _rows(config: gl.GatewayConfig, path: str) -> list[dict[str, str]]:
    results = gl.run_tests(config)
    rows = [_row(path, each.name, "" if each.passed else str(each)) for each in results]
    if config.expectations is not None:
        rows.append(_row(path, "expectations", _broken_promise(config)))
    return rows


def _row(path: str, name: str, why: str) -> dict[str, str]:
    return {"config": path, "test": name, "result": "failed" if why else "passed", "why": why}


def _broken_promise(config: gl.GatewayConfig) -> str:
    try:
        gl.check_expectations(config)
    except gl.ExpectationError as error:
        return str(error)
    return ""
