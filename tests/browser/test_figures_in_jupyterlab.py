"""Figures in a real JupyterLab, as people see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import READY_MS, Lab, jupyter_lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

DATA = Path(__file__).parents[2] / "data"
FLOW = f"""
import gateway_lab as gl
config = gl.read_config({str(DATA / "business.yaml")!r})
capture = gl.scan_capture({str(DATA / "business.parquet")!r}).head(2_000)
gl.figures.flow(gl.replay(config, capture))
"""
NOTHING = f"{FLOW}\ngl.figures.diff_flow(gl.diff(config, config, capture))"
HOSTILE = """
import polars as pl
import gateway_lab as gl
link = "<a href='https://example.com'>link</a>"
frame = pl.DataFrame({"channel": [link, "<b>bold</b>"], "n": [2, 1]})
gl.figures.distribution(frame, x="n", y="channel")
"""
DRAWING = ".js-plotly-plot .main-svg"
SIZE = "each => [each.getBoundingClientRect().width, each.getBoundingClientRect().height]"
GROUNDS = """() => [...document.querySelectorAll('.js-plotly-plot .main-svg')].map(
    each => getComputedStyle(each).backgroundColor)"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with jupyter_lab(tmp_path, height=900) as lab:
        lab.open("figures.ipynb", FLOW, NOTHING, HOSTILE)
        yield lab


def test_a_figure_keeps_its_height_and_fits_the_width_of_another_window(lab: Lab) -> None:
    lab.run(0, until=None)
    lab.page.locator(DRAWING).first.wait_for(timeout=READY_MS)
    width, height = lab.page.locator(DRAWING).first.evaluate(SIZE)
    lab.page.set_viewport_size({"width": 1000, "height": 900})
    fits = f"document.querySelector('{DRAWING}').getBoundingClientRect().width < {width}"
    lab.page.wait_for_function(fits, timeout=READY_MS)
    assert lab.page.locator(DRAWING).first.evaluate(SIZE)[1] == height > 200
    expect(lab.page.locator(DRAWING).first).to_be_visible()
    assert set(lab.page.evaluate(GROUNDS)) == {"rgba(0, 0, 0, 0)"}
    assert (lab.elsewhere, lab.complaints) == ([], [])


def test_a_diff_of_nothing_says_so(lab: Lab) -> None:
    lab.run(1, until=None)
    told = lab.page.locator(".js-plotly-plot .annotation-text")
    expect(told.first).to_have_text("nothing to show", timeout=READY_MS)
    assert (lab.elsewhere, lab.complaints) == ([], [])


def test_a_name_in_a_figure_is_no_link_and_not_bold(lab: Lab) -> None:
    lab.run(2, until=None)
    names = lab.page.locator(".js-plotly-plot .yaxislayer-above .ytick text")
    expect(names).to_have_text(
        ["<a href='https://example.com'>link</a>", "<b>bold</b>"], timeout=READY_MS
    )
    expect(lab.page.locator(".js-plotly-plot svg a")).to_have_count(0)
    assert (lab.elsewhere, lab.complaints) == ([], [])
