"""Writes the pages that are made from code, so that they cannot say anything else.

`make docs` runs this; a test fails when a page is out of step. A new page is a function that
returns its text, and a line in `PAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tools.chaos_page import chaos_page
from tools.cli_page import cli_page
from tools.config_reference import config_reference, schema_file
from tools.environment import environment
from tools.findings_page import findings_page
from tools.guarantees_page import guarantees_page
from tools.metrics_page import metrics_page
from tools.protocols_page import protocols_page
from tools.rule_language import rule_language

ROOT = Path(__file__).parents[1]

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/chaos-results.md": chaos_page,
    "docs/cli.md": cli_page,
    "docs/config-reference.md": config_reference,
    "docs/delivery-guarantees.md": guarantees_page,
    "docs/findings.md": findings_page,
    "docs/gateway-lab.schema.json": schema_file,
    "docs/metrics.md": metrics_page,
    "docs/protocols.md": protocols_page,
    "docs/rule-language.md": rule_language,
    "environment.yml": environment,
}


def main() -> None:
    """Write every page that differs."""
    for name, make in PAGES.items():
        path, new = ROOT / name, make()
        if not path.exists() or path.read_text() != new:
            path.write_text(new)
            print(f"{name}: written")


if __name__ == "__main__":
    main()
