"""Runs the notebooks and writes their outputs, the same bytes on every machine.

`python -m tools.notebooks regen [--check] [NOTEBOOK …]` runs them all, or those named; with
`--check` nothing is written, and the exit code is 1 when a byte would change.
`python -m tools.notebooks tidy NOTEBOOK …` only removes what an editor left behind; the exit code
is 1 when there was something, as a commit hook wants it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
CELL_TIMEOUT_S = 120
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(path: Path) -> NotebookNode:
    """Read a notebook of format 4; every cell must have its id."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def text(notebook: NotebookNode) -> str:
    """Return the text of a notebook's file, after checking it against the format."""
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook)).rstrip("\n") + "\n"


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Remove, in place, what differs between two runs or two editors; tags of cells stay."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        tags = sorted(cell.metadata.get("tags", []))
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            _tidy_output(output)
    return notebook


def _tidy_output(output: NotebookNode) -> None:
    if output.output_type == "error":
        # A traceback names the machine's folders and says no more than its last line.
        output.traceback = [f"{output.ename}: {output.evalue}"]
    if "metadata" in output:
        output.metadata = NotebookNode()
    if "data" in output:
        # A view without its kernel reads "model not found" and bears a random id.
        output.data.pop(WIDGET_VIEW, None)


def run(path: Path) -> NotebookNode:
    """Run a notebook from its first cell to its last, in its own folder, with this Python.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed that is not tagged
            `raises-exception`.
    """
    notebook = read(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    return tidy(notebook)


def replace(path: Path, new: str) -> None:
    """Replace a file at once, so that a run that is stopped leaves the old one."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
    ) as file:
        file.write(new)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def update(path: Path, new: str, *, write: bool) -> bool:
    """Write a notebook if its bytes differ, say so, and return whether they did."""
    differs = path.read_text(encoding="utf-8") != new
    if differs and write:
        replace(path, new)
    done = "written" if write else "would change"
    print(f"{path.name}: {done if differs else 'as it was'}")
    return differs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit codes."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    regen = verbs.add_parser("regen", help="run, and write the outputs")
    regen.add_argument("--check", action="store_true", help="write nothing, exit 1 on a change")
    regen.add_argument("notebooks", nargs="*", type=Path)
    verbs.add_parser("tidy", help="only clean").add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    if options.verb == "tidy":
        changed = [update(path, text(tidy(read(path))), write=True) for path in options.notebooks]
        return int(any(changed))
    _same_everywhere()
    paths = options.notebooks or sorted(FOLDER.glob("*.ipynb"))
    try:
        changed = [update(path, text(run(path)), write=not options.check) for path in paths]
    except CellExecutionError as error:
        print(f"a cell failed, its notebook is as it was:\n{error}", file=sys.stderr)
        return 1
    return int(options.check and any(changed))


def _same_everywhere() -> None:
    """Keep a reader's own settings out of the kernel: tables as shipped, this environment."""
    for name in [name for name in os.environ if name.startswith("POLARS_FMT_")]:
        del os.environ[name]
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"


if __name__ == "__main__":
    sys.exit(main())
