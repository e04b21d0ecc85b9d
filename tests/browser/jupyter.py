"""A real JupyterLab and a real browser: what the tests, the pictures and the figures of speed use.

The server has folders of its own and listens on loopback; the browser can reach nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, expect

from gateway_lab.cli.lab import DEFAULTS
from gateway_lab.testing.server_process import Server
from tests.browser.chromium import Watched, browser_page

READY_MS = 60_000
"""How long JupyterLab may take to show a notebook: a cold start on a busy machine needs 25 s."""

TRIES = 6
TRY_MS = 15_000
"""After which keys were let go by; a page that was only slow would run the cell twice."""

DESIGNER = ".gl-designer:not([data-old])"


class Jupyter(Server):
    """JupyterLab with private folders; its notebooks lie in `folder / "work"`."""

    protocol = "jupyter"
    install_hint = "pip install gateway-lab[lab]"

    @classmethod
    def installed(cls) -> Path | None:
        """Find it beside this Python."""
        beside = Path(sys.executable).parent / "jupyter-lab"
        return beside if beside.exists() else None

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> Sequence[str]:
        (self.folder / "work").mkdir(parents=True, exist_ok=True)
        settings = {
            "--ServerApp.ip": "127.0.0.1",
            "--ServerApp.port": self.port,
            "--ServerApp.port_retries": 0,
            "--ServerApp.root_dir": self.folder / "work",
            "--IdentityProvider.token": "",
            "--LabApp.extension_manager": "readonly",
        }
        given = [f"{name}={value}" for name, value in settings.items()]
        return [str(self.installed()), "--no-browser", "--allow-root", *given]

    def _environment(self) -> Mapping[str, str]:
        rooms = {name: str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        private = {f"JUPYTER_{name}_DIR": path for name, path in rooms.items()}
        return {**private, "JUPYTER_CONFIG_PATH": str(DEFAULTS)}

    def _is_ready(self) -> bool:
        return self._answers(b"GET /api HTTP/1.0\r\n\r\n", b" 200 ")


class Lab(Watched):
    """A notebook in a browser."""

    def __init__(self, page: Page, server: Jupyter) -> None:
        super().__init__(page)
        self.server = server

    def open(self, name: str, *cells: str) -> None:
        """Write a notebook and open it; no cell is run."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        (self.server.folder / "work" / name).write_text(nbformat.writes(notebook))
        self.page.goto(f"{self.server.url}/lab/tree/{name}?reset", timeout=READY_MS)
        self.cells.first.wait_for(timeout=READY_MS)
        self.page.get_by_text("| Idle").wait_for(timeout=READY_MS)

    @property
    def cells(self) -> Locator:
        """The notebook's cells."""
        return self.page.locator(".jp-Notebook .jp-Cell")

    def run(self, cell: int, *, until: str | None = ".gl-times") -> None:
        """Run a cell; if it shows a designer, wait for a part of the new one."""
        self.page.evaluate(
            "for (const each of document.querySelectorAll('.gl-designer')) each.dataset.old = ''"
        )
        prompt = self.cells.nth(cell).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        for _ in range(TRIES):
            if (ask := self.page.locator(".jp-Dialog .jp-mod-accept")).count():
                ask.click()
            self.cells.nth(cell).locator(".jp-InputArea-editor").click()
            self.page.keyboard.press("Control+Enter")
            # A notebook that is still opening lets the first keys go by.
            with suppress(AssertionError):
                expect(prompt).not_to_have_text(before, timeout=TRY_MS)
                break
        if until is not None:
            self.page.wait_for_selector(f"{DESIGNER} {until}", timeout=READY_MS)

    @property
    def designer(self) -> Locator:
        """The designer that was shown last."""
        return self.page.locator(DESIGNER).last


@contextmanager
def jupyter_lab(folder: Path, *, width: int = 1300, height: int = 1800) -> Iterator[Lab]:
    """Start JupyterLab and a browser, and end both."""
    with Jupyter(folder) as server, browser_page(width=width, height=height) as page:
        yield Lab(page, server)


def opening(config: Path, capture: Path, *, head: int | None = None) -> str:
    """Return the cell that opens the designer."""
    only = "" if head is None else f".head({head})"
    return "\n".join([
        "import gateway_lab as gl",
        f"config = gl.read_config({json.dumps(str(config))})",
        f"capture = gl.scan_capture({json.dumps(str(capture))}){only}",
        "designer = gl.design(config, capture)",
        "designer",
    ])  # fmt: skip
