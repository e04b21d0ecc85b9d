"""The same designer in marimo, a notebook of another kind."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from gateway_lab.testing.server_process import Server
from tests.browser.chromium import Watched, browser_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

DATA = Path(__file__).parents[2] / "data"
SHOTS = Path(__file__).parents[2] / "var" / "browser"
READY_MS = 60_000
expect.set_options(timeout=60_000)

APP = """
import marimo
app = marimo.App(width="full")

@app.cell
def _():
    import marimo as mo
    import gateway_lab as gl
    capture = gl.scan_capture({capture!r}).head(3_000)
    designer = gl.design(gl.read_config({config!r}), capture)
    mo.ui.anywidget(designer)
    return
"""


class Marimo(Server):
    """marimo with one app."""

    protocol = "marimo"
    install_hint = "pip install marimo"

    @classmethod
    def installed(cls) -> Path | None:
        beside = Path(sys.executable).parent / "marimo"
        return beside if beside.exists() else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> Sequence[str]:
        config = shutil.copy(DATA / "business.yaml", self.folder / "routes.yaml")
        app = self.folder / "app.py"
        app.write_text(APP.format(config=str(config), capture=str(DATA / "business.parquet")))
        given = ["run", str(app), "--headless", "--no-token", "--host", "127.0.0.1"]
        return [str(self.installed()), *given, "--port", str(self.port)]

    def _environment(self) -> Mapping[str, str]:
        names = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")
        return {name: str(self.folder / name.lower()) for name in names}

    def _is_ready(self) -> bool:
        return self._answers(b"GET /health HTTP/1.0\r\n\r\n", b" 200 ")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Watched]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with Marimo(tmp_path) as server, browser_page() as page:
        watched = Watched(page)
        page.goto(server.url, timeout=READY_MS)
        yield watched
        page.screenshot(path=SHOTS / "marimo.png")


def test_the_designer_opens_in_marimo_and_counts(opened: Watched) -> None:
    designer: Locator = opened.page.locator(".gl-designer")
    expect(designer.locator(".gl-times")).to_be_visible()
    counted = designer.locator('[data-key="by_priority/critical:samples"]')
    before = counted.inner_text()
    rule = designer.get_by_label("condition of by_priority/critical")
    rule.fill("priority = 'high'")
    rule.press("Enter")
    expect(designer.get_by_role("status")).to_have_text("route by_priority/critical: when")
    expect(counted).not_to_have_text(before)
    counted.click()
    expect(designer.locator(".gl-sample")).to_have_count(5)
