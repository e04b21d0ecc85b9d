"""No import goes in a circle: not at run time, not for types, not inside a function."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path, modules: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & modules or {node.module}
    return found & modules


def test_no_import_goes_in_a_circle() -> None:
    files = {name_of(file): file for file in (ROOT / "gateway_lab").rglob("*.py")}
    public = "gateway_lab"  # names everything for users; what is inside never imports it
    rooms = ("gateway_lab.cli", "gateway_lab.examples", "gateway_lab.testing")
    users = {name for name in files if name.startswith(rooms)}
    graph = {
        name: imported(file, set(files)) - {name} for name, file in files.items() if name != public
    }
    assert {name for name, needs in graph.items() if public in needs} <= users
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle
