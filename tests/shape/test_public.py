"""The public names: sorted, documented, loaded when used, shown in a notebook."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import gateway_lab as gl

ROOT = Path(__file__).parents[2]


def test_the_names_are_sorted_and_complete() -> None:
    assert gl.__all__ == sorted(gl.__all__)
    assert dir(gl) == gl.__all__


def test_checkers_and_the_interpreter_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "gateway_lab" / "__init__.py").read_text())
    typed = {
        f"{each.module}:{alias.asname}"
        for node in tree.body
        if isinstance(node, ast.If)
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    homes = {f"gateway_lab.{home}:{name}" for name, home in gl._HOMES.items()}
    modules = {
        f"gateway_lab.{home.rpartition('.')[0]}:{name}" for name, home in gl._MODULES.items()
    }
    assert typed == homes | modules


@pytest.mark.parametrize("name", gl.__all__)
def test_a_public_name_says_what_it_is_for(name: str) -> None:
    assert inspect.getdoc(getattr(gl, name))


def test_a_name_that_does_not_exist_is_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'replya'"):
        _ = gl.replya  # type: ignore[attr-defined]


def test_no_name_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys, gateway_lab; print([m for m in sys.modules if m.startswith('gateway_lab.')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
