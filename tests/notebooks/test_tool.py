"""The tool that writes the notebooks' outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks


def write(path: Path, *sources: str, tags: tuple[str, ...] = ()) -> Path:
    cells = [new_code_cell(source, metadata={"collapsed": True}) for source in sources]
    cells[-1].metadata["tags"] = list(tags)
    made = new_notebook(cells=[new_markdown_cell("# Title"), *cells], metadata={"author": "me"})
    nbformat.write(made, path)
    return path


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ipynb", "import warnings\nprint('a')", "1 + 1")
    assert notebooks.main(["regen", str(path)]) == 0
    first = path.read_bytes()
    assert b'"2"' in first
    assert notebooks.main(["regen", "--check", str(path)]) == 0
    assert path.read_bytes() == first


@pytest.mark.slow
def test_check_writes_nothing_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ipynb", "1 + 1")
    before = path.read_bytes()
    assert notebooks.main(["regen", "--check", str(path)]) == 1
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_failure_that_is_shown_keeps_its_message_but_no_path(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ipynb", "raise ValueError('no')", tags=("raises-exception",))
    notebooks.main(["regen", str(path)])
    output = notebooks.read(path).cells[1].outputs[0]
    assert output.traceback == ["ValueError: no"]


def test_tidy_keeps_tags_and_drops_what_an_editor_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.ipynb", "1", tags=("nbval-skip",))
    assert notebooks.main(["tidy", str(path)]) == 1
    assert notebooks.read(path).cells[1].metadata == {"tags": ["nbval-skip"]}
    assert notebooks.read(path).metadata == notebooks.METADATA
    assert notebooks.main(["tidy", str(path)]) == 0
    assert capsys.readouterr().out == "a.ipynb: written\na.ipynb: as it was\n"
