"""Figures in a real JupyterLab, as people see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import READY_MS, Lab, jupyter_lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

DATA = Path(__file__).parents[2] / "data"
CELL = f"""
import gateway_lab as gl
config = gl.read_config({str(DATA / "business.yaml")!r})
capture = gl.scan_capture({str(DATA / "business.parquet")!r}).head(2_000)
gl.figures.flow(gl.replay(config, capture))
"""
SIZE = "each => [each.getBoundingClientRect().width, each.getBoundingClientRect().height]"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with jupyter_lab(tmp_path, height=900) as lab:
        lab.open("figures.ipynb", CELL)
        yield lab


def test_a_figure_keeps_its_height_and_fits_the_width_of_another_window(lab: Lab) -> None:
    drawing = ".js-plotly-plot .main-svg"
    lab.run(0, until=None)
    lab.page.locator(drawing).first.wait_for(timeout=READY_MS)
    width, height = lab.page.locator(drawing).first.evaluate(SIZE)
    lab.page.set_viewport_size({"width": 1000, "height": 900})
    fits = f"document.querySelector('{drawing}').getBoundingClientRect().width < {width}"
    lab.page.wait_for_function(fits, timeout=READY_MS)
    assert lab.page.locator(drawing).first.evaluate(SIZE)[1] == height > 200
    expect(lab.page.locator(drawing).first).to_be_visible()
    assert (lab.elsewhere, lab.complaints) == ([], [])
