"""docs/features.md: every row runs somewhere and is proven by tests that there are, on real brokers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway_lab.cli.example import ABOUT

DOCS = Path(__file__).parents[2] / "docs"
ROWS = re.split(r"^## (?=\d)", (DOCS / "features.md").read_text(), flags=re.MULTILINE)[1:]
PAGES = [DOCS / name for name in ("features.md", "guides.md", "the-articles-code.md")]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.partition("\n")[0])


def test_there_are_twelve_rows() -> None:
    assert [row.partition(".")[0] for row in ROWS] == [str(number) for number in range(1, 13)]


@each_row
def test_a_row_runs_somewhere(row: str) -> None:
    runs, _, _ = row.partition("- Proven:")
    assert re.search(r"^- Runs: .*(?:gateway-lab example|\.ipynb|\.md)", runs, re.MULTILINE)


@each_row
def test_a_row_is_proven_by_tests_on_real_brokers(row: str) -> None:
    proofs = re.split(r"\[test_\w+\.py\]\(", row.partition("- Proven:")[2])[1:]
    assert proofs
    for proof in proofs:
        path, _, named = proof.partition(")")
        tests = re.findall(r"`(test_\w+)`", named)
        assert tests, path
        assert set(tests) <= names_in(DOCS / path), path


def names_in(path: Path) -> set[str]:
    """Return the tests of a file whose tests all start real brokers."""
    text = path.read_text()
    assert re.search(r"^pytestmark = .*pytest\.mark\.broker", text, re.MULTILINE), path
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, functions)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"gateway-lab example ([a-z]+)", page.read_text()))
    assert named <= ABOUT.keys()


def test_every_example_is_in_a_row() -> None:
    assert set(re.findall(r"gateway-lab example (\w+)", "".join(ROWS))) == set(ABOUT)
