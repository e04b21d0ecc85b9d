"""The route designer in a real JupyterLab: from a key press to the counts painted anew.

`python -m benchmarks.designer` looks at a million messages; another count can be given. It needs
Chromium, as the tests of the designer do.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.table import Figure, business_capture, show
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import read_config
from tests.browser.jupyter import DESIGNER, Lab, jupyter_lab, opening

MESSAGES = 1_000_000
CONFIG = Path(__file__).parents[1] / "data" / "business.yaml"
RULES = [
    *(f"payload.amount > {amount}" for amount in range(1000, 6000, 500)),
    *(f"priority = 'high' and payload.amount < {amount}" for amount in range(300, 800, 50)),
]
ROUTES, TARGETS = 500, 200
WHOLE_MS = 120_000


class Opened(NamedTuple):
    """Seconds from running the cell.

    Attributes:
        shown: Until the panel had counts, of a large capture those of the first messages.
        whole: Until they were of all messages.
    """

    shown: float
    whole: float


# From an event to the paint after the first change of the count of a route, in milliseconds.
UNTIL_COUNTED = """async ([root, key, text]) => {
  const designer = document.querySelector(root);
  const count = designer.querySelector(`[data-key="${key}:samples"]`);
  const before = count.textContent;
  const start = performance.now();
  const rule = designer.querySelector(`textarea[data-key="${key}:when"]`);
  rule.value = text;
  rule.dispatchEvent(new Event("input"));
  while (count.textContent === before && performance.now() - start < 20000)
    await new Promise(requestAnimationFrame);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


def many(config: GatewayConfig) -> GatewayConfig:
    """Give a config many routes and targets."""
    for number in range(TARGETS - len(config.targets)):
        config = config.add_target(f"t{number}", broker="stream", channel=f"out-{number}")
    for number in range(ROUTES - 5):
        target = f"t{number % (TARGETS - 10)}"
        when = f"tenant_id = 'shop-{number:02}' and payload.amount > {number}"
        config = config.add_route("by_tenant", f"r{number}", when=when, to=[target])
    return config


def open_designer(lab: Lab, name: str, config: Path, capture: Path) -> Opened:
    """Open a designer in a kernel that did so before, with little."""
    little = opening(config, capture, head=1_000)
    lab.open(name, little, opening(config, capture))
    lab.run(0)
    return run_designer(lab)


def run_designer(lab: Lab) -> Opened:
    """Run the cell that opens the designer."""
    start = time.perf_counter()
    lab.run(1, until=".gl-count")
    seconds = time.perf_counter() - start
    lab.page.wait_for_selector(f"{DESIGNER}:not(.gl-few)", timeout=WHOLE_MS)
    whole = time.perf_counter() - start
    lab.designer.locator(".gl-times").wait_for()
    lab.page.wait_for_selector(f"{DESIGNER}:not(.gl-busy)")
    return Opened(seconds, whole)


def key_presses(lab: Lab, key: str, rules: list[str]) -> list[float]:
    """Type rules; return the seconds until each was counted and painted."""
    taken = []
    for rule in rules:
        asked = [DESIGNER, key, rule]
        taken.append(lab.page.evaluate(UNTIL_COUNTED, asked) / 1000)
        lab.page.wait_for_selector(f"{DESIGNER}:not(.gl-busy)")
    return taken


def figure(what: str, taken: list[float], limit: float | None) -> Figure:
    """Tell the median, and the worst."""
    median, worst = statistics.median(taken), max(taken)
    return Figure(
        what=what,
        value=f"{median * 1000:.0f} ms",
        against=f"worst of {len(taken)}: {worst * 1000:.0f} ms",
        ratio=f"{median * 1000:.0f} ms",
        demanded="-" if limit is None else f"<= {limit * 1000:.0f} ms",
        is_met=limit is None or median <= limit,
    )


def measure(messages: int = MESSAGES) -> list[Figure]:
    """Measure opening and typing, with few routes and with many."""
    capture, told = business_capture(messages), f"{messages:,} messages"
    with tempfile.TemporaryDirectory() as folder, jupyter_lab(Path(folder)) as lab:
        file = Path(folder) / "many.yaml"
        many(read_config(CONFIG)).write(file)
        opened = open_designer(lab, "few.ipynb", CONFIG, capture)
        pressed = key_presses(lab, "by_priority/critical", RULES)
        again = run_designer(lab)
        opened_many = open_designer(lab, "many.ipynb", file, capture)
        pressed_many = key_presses(lab, "by_priority/critical", RULES)
        pressed_within = key_presses(lab, "by_tenant/r33", RULES)
    routes = f"{ROUTES} routes, {TARGETS} targets"
    return [
        figure(f"open the designer, {told}: first counts", [opened.shown], 1.0),
        figure(f"open the designer, {told}: all counts", [opened.whole], 2.0),
        figure(f"open the designer, {told} that were read before: all counts", [again.whole], 2.0),
        figure(f"key press to counts painted, {told}", pressed, 0.3),
        figure(f"open the designer, {told}, {routes}: first counts", [opened_many.shown], 2.0),
        figure(f"open the designer, {told}, {routes}: all counts", [opened_many.whole], None),
        figure(f"key press to counts painted, {told}, {routes}", pressed_many, 0.5),
        figure(f"the same, in the router of {ROUTES - 4} routes", pressed_within, 0.5),
    ]


if __name__ == "__main__":
    show(measure(*map(int, sys.argv[1:2])))
