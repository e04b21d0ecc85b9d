"""nbval passes a cell that never ran; these tests do not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tools import notebooks

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAY_FAIL = "raises-exception"
LARGEST_BYTES = 300_000


def code_cells(path: Path) -> list[Any]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def is_skipped(cell: Any) -> bool:
    return "nbval-skip" in cell.metadata.get("tags", [])


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_every_cell_ran_once_in_order(path: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(path) if not is_skipped(cell)]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_only_a_cell_that_says_so_fails(path: Path) -> None:
    for cell in code_cells(path):
        fails = any(output.output_type == "error" for output in cell.outputs)
        assert fails == (MAY_FAIL in cell.metadata.get("tags", [])), cell.source


@each_notebook
def test_nothing_of_a_machine_is_in_the_outputs(path: Path) -> None:
    outputs = json.dumps([cell.outputs for cell in code_cells(path)])
    assert re.findall(r"/(?:home|root|Users|tmp|work|var|usr)/[\w.-]+", outputs) == []
    assert "widget-view" not in outputs


@each_notebook
def test_a_notebook_is_small_enough_to_read_in_a_diff(path: Path) -> None:
    assert path.stat().st_size < LARGEST_BYTES


@each_notebook
def test_a_notebook_is_tidy(path: Path) -> None:
    assert path.read_text() == notebooks.text(notebooks.tidy(notebooks.read(path)))


@each_notebook
def test_a_notebook_begins_with_a_title_and_our_import(path: Path) -> None:
    title = nbformat.read(path, as_version=4).cells[0]
    assert title.cell_type == "markdown"
    assert title.source.startswith("# ")
    assert "import gateway_lab as gl" in code_cells(path)[0].source
