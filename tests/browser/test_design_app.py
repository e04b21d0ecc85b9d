"""`gateway-lab design` as people use it: a command, a real browser, and no notebook."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import gateway_lab as gl
from tests.browser.chromium import Watched, browser_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

DATA = Path(__file__).parents[2] / "data"
SHOTS = Path(__file__).parents[2] / "var" / "browser"
LIMIT_MS = 60_000
LIMIT_S = 60
expect.set_options(timeout=LIMIT_MS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(shutil.copy(DATA / "business.yaml", tmp_path / "routes.yaml"))


@pytest.fixture
def command(file: Path) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs."""
    program = Path(sys.executable).with_name("gateway-lab")
    given = [str(program), "design", str(file), str(DATA / "business.parquet"), "--no-browser"]
    with subprocess.Popen(given, stderr=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


@pytest.fixture
def app(command: subprocess.Popen[str]) -> Iterator[Watched]:
    """The page that the command prints the address of."""
    assert command.stderr is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", command.stderr.readline())
    assert found is not None
    SHOTS.mkdir(parents=True, exist_ok=True)
    with browser_page() as page:
        watched = Watched(page)
        page.goto(found[0], timeout=LIMIT_MS)
        yield watched
        page.screenshot(path=SHOTS / "design_app.png")


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_a_screen_reader_finds_nothing_amiss(app: Watched, shade: Literal["light", "dark"]) -> None:
    app.page.emulate_media(color_scheme=shade)
    expect(app.page.locator(".gl-times")).to_be_visible()
    app.page.locator('[data-key="by_priority/critical:samples"]').click()
    expect(app.page.locator(".gl-sample")).to_have_count(5)
    found = Axe().run(app.page)
    assert found.violations_count == 0, found.generate_report()


def test_routes_are_designed_and_written_without_a_notebook(
    app: Watched, command: subprocess.Popen[str], file: Path
) -> None:
    page = app.page
    expect(page).to_have_title("business-events \N{EN DASH} route designer")
    assert "token" not in page.url
    expect(page.locator(".gl-times")).to_be_visible()
    rule = page.get_by_label("condition of by_priority/critical")
    rule.fill("prio")
    expect(page.locator(".gl-menu li")).to_have_text(["priority"])
    rule.fill("priority = 'high'")
    rule.press("Enter")
    status = page.get_by_role("status")
    expect(status).to_have_text("route by_priority/critical: when")
    page.get_by_role("button", name="Write…").click()
    panel = page.locator(".gl-release")
    expect(panel.locator(".gl-plus").last).to_contain_text("priority = 'high'")
    panel.get_by_role("button", name="Write", exact=True).click()
    expect(status).to_contain_text("written to")
    assert gl.read_config(file).routers["by_priority"].routes[0].when == "priority = 'high'"
    page.get_by_label("by_priority/medium is on").uncheck()
    expect(status).to_have_text("route by_priority/medium: enabled")
    assert (app.elsewhere, app.complaints) == ([], [])
    command.send_signal(signal.SIGINT)
    expect(page.get_by_role("alert")).to_contain_text("Run the command again")
    _, told = command.communicate(timeout=LIMIT_S)
    assert command.returncode == 0
    assert ".edit_route('by_priority', 'medium', enabled=False)" in told
    assert "Traceback" not in told
