"""Makes the pictures of the docs from a real JupyterLab: `make pictures`.

Those of the route designer follow `docs/designer.md`, step by step, in
`docs/pictures/designer-*.png`; `docs/pictures/flow.png` is the figure of the README.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.jupyter import Lab, jupyter_lab, opening

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
MARGIN = 0
VIEW = {"width": 1180, "height": 2400}
FLOW = f"""
import gateway_lab as gl
config = gl.read_config({str(ROOT / "data" / "business.yaml")!r})
capture = gl.scan_capture({str(ROOT / "data" / "business.parquet")!r})
gl.figures.flow(gl.replay(config, capture)).update_layout(width=720, height=340)
"""


def _open(designer: Locator) -> list[Locator]:
    return [designer.locator(".gl-bar").first, designer.locator("section[data-router=by_priority]")]


def _complete(designer: Locator) -> list[Locator]:
    rule = designer.get_by_label("condition of by_priority/critical")
    rule.fill("priority = ")
    rule.press("ArrowDown")
    return [designer.locator("section[data-router=by_priority]"), designer.locator(".gl-menu")]


def _count(designer: Locator) -> list[Locator]:
    rule = designer.get_by_label("condition of by_priority/critical")
    rule.fill("priority in ('critical', 'high') and payload.amount > 1000")
    rule.press("Enter")
    expect(designer.get_by_role("status")).to_have_text("route by_priority/critical: when")
    expect(designer.locator("tr[data-route=critical] .gl-problem")).not_to_be_empty()
    return [designer.locator("section[data-router=by_priority]")]


def _explain(designer: Locator) -> list[Locator]:
    designer.locator('[data-key="by_priority/critical:samples"]').click()
    designer.get_by_role("button", name="Why?").first.click()
    designer.locator(".gl-why").wait_for()
    return [designer.locator(".gl-samples")]


def _compare(designer: Locator) -> list[Locator]:
    designer.get_by_role("button", name="Close").first.click()
    designer.get_by_role("button", name="Compare").click()
    designer.locator(".gl-comparison svg").wait_for()
    panel = designer.locator(".gl-comparison")
    return [panel.locator("h3"), panel.get_by_role("table").first]


def _write(designer: Locator) -> list[Locator]:
    designer.get_by_role("button", name="Compare").click()
    designer.get_by_role("button", name="Write…").click()
    designer.locator(".gl-release pre").wait_for()
    return [designer.locator(".gl-bar").first, designer.locator(".gl-release")]


STEPS: dict[str, Callable[[Locator], list[Locator]]] = {
    "open": _open,
    "complete": _complete,
    "count": _count,
    "explain": _explain,
    "compare": _compare,
    "write": _write,
}


def photograph(lab: Lab, name: str, parts: list[Locator]) -> Path:
    """Save what lies between the first and the last of some parts, as wide as the designer."""
    boxes = [box for part in parts if (box := part.bounding_box())]
    panel = lab.designer.bounding_box()
    if panel is None or len(boxes) < len(parts):
        raise LookupError(f"{name}: nothing to be seen")
    top = min(box["y"] for box in boxes) - MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    file = PICTURES / f"designer-{name}.png"
    height = bottom - top
    clip = {"x": panel["x"], "y": top, "width": panel["width"], "height": height}
    lab.page.screenshot(path=file, clip=clip)  # type: ignore[arg-type]
    return file


def photograph_flow(lab: Lab) -> Path:
    """Save the figure of a replay's deliveries."""
    lab.open("flow.ipynb", FLOW)
    lab.run(0, until=None)
    drawing = lab.page.locator(".js-plotly-plot .svg-container").first
    drawing.locator(".sankey-node").last.wait_for()
    lab.page.mouse.move(0, 0)
    file = PICTURES / "flow.png"
    drawing.screenshot(path=file)
    return file


def main() -> None:
    """Make every picture anew."""
    with tempfile.TemporaryDirectory() as folder, jupyter_lab(Path(folder), **VIEW) as lab:
        shutil.copy(ROOT / "data" / "business.yaml", lab.server.folder / "work" / "routes.yaml")
        lab.open("design.ipynb", opening(Path("routes.yaml"), ROOT / "data" / "business.parquet"))
        lab.page.keyboard.press("Control+b")
        lab.run(0)
        for name, do in STEPS.items():
            file = photograph(lab, name, do(lab.designer))
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB")
        print(photograph_flow(lab).relative_to(ROOT))


if __name__ == "__main__":
    main()
