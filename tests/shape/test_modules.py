"""The package keeps its own rules: small files, empty rooms, plain words, imports only downward."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gateway_lab"
MODULES = sorted(PACKAGE.rglob("*.py"))
WRITTEN = [
    path
    for folder in ("gateway_lab", "tests", "tools", "benchmarks", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".md", ".js", ".css"} and path != Path(__file__)
]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=name)
def test_a_room_has_an_empty_init(path: Path) -> None:
    assert path.read_text() == ""


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
    assert [name(path) for path in MODULES if drawers & {path.stem, path.parent.name}] == []


@pytest.mark.parametrize("path", WRITTEN, ids=name)
def test_nothing_is_left_to_do_in_the_text(path: Path) -> None:
    found = re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b", path.read_text())
    assert found == []


@pytest.mark.slow  # `make check` runs the same by itself
def test_imports_go_only_downward() -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


LIVE = ("config", "events", "gateway", "messages", "proof", "protocols", "routing")
"""Rooms that a gateway in production imports; to_polars.py is offline's half of `rules`."""


def live_modules() -> list[str]:
    found = [path for room in LIVE for path in sorted((PACKAGE / room).glob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found]
    return ["gateway_lab", "gateway_lab.rules.to_python", *names]


def test_the_live_way_loads_no_polars() -> None:
    heavy = "{'polars', 'pandas', 'numpy', 'plotly', 'duckdb'}"
    code = "import importlib, sys\n"
    code += f"for name in {live_modules()!r}:\n"
    code += "    importlib.import_module(name)\n"
    code += f"    assert not {heavy} & set(sys.modules), (name, {heavy} & set(sys.modules))\n"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
