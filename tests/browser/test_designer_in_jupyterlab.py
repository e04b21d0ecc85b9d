"""The route designer as people use it: a real JupyterLab, a real browser, keys and a mouse."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

import gateway_lab as gl
from tests.browser.jupyter import DESIGNER, Lab, jupyter_lab, opening

pytestmark = [pytest.mark.browser]

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "var" / "browser"
NOTHING = "\N{EN DASH}"
expect.set_options(timeout=60_000)


# Which process the kernel is.
NUMBER = """
import os, pathlib
_ = pathlib.Path("pid").write_text(str(os.getpid()))
"""


# Completions are not known until a file is there.
WAITING = """
import pathlib, time
from gateway_lab.lab import designer as panel
known = panel.hints
def hints(*about):
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.01)
    return known(*about)
panel.hints = hints
"""


# Messages beyond the first few are not counted until a file is there.
FEW = """
import pathlib, time
from gateway_lab.lab import draft
class Draft(draft.Draft):
    def count_all(self, tell):
        while not pathlib.Path({go!r}).exists():
            time.sleep(0.01)
        return super().count_all(tell)
from gateway_lab.lab import designer as panel
usual = panel.Draft, draft.AT_ONCE, draft.FIRST_FEW
panel.Draft, draft.AT_ONCE, draft.FIRST_FEW = Draft, 1_000, 100
{opening}
panel.Draft, draft.AT_ONCE, draft.FIRST_FEW = usual
designer
"""


# One server and one page for all tests here; it ends with the module, for while it runs no other
# test of this process could have an event loop.
@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    folder = tmp_path_factory.mktemp("jupyter")
    with jupyter_lab(folder) as lab:
        capture = ROOT / "data" / "business.parquet"
        cells = [
            NUMBER + opening(folder / "routes.yaml", capture, head=3_000),
            "designer",
            opening(folder / "routes.yaml", folder / "hostile.ndjson"),
            opening(folder / "routes.yaml", capture, head=0),
            WAITING.format(go=str(folder / "go"))
            + opening(folder / "routes.yaml", capture, head=3_000),
            FEW.format(
                go=str(folder / "go"), opening=opening(folder / "routes.yaml", capture, head=3_000)
            ),
        ]
        lab.open("designer.ipynb", *cells)
        yield lab


@pytest.fixture
def file(lab: Lab) -> Path:
    """The config's file."""
    return lab.server.folder / "routes.yaml"


@pytest.fixture
def designer(lab: Lab, file: Path, request: pytest.FixtureRequest) -> Iterator[Locator]:
    """A designer that was opened just now; afterwards it is photographed."""
    shutil.copy(ROOT / "data" / "business.yaml", file)
    lab.run(0)
    yield lab.designer
    lab.page.screenshot(path=SHOTS / f"{request.node.name}.png")
    assert lab.elsewhere == []
    assert lab.complaints == []


def condition(designer: Locator, route: str = "critical") -> Locator:
    return designer.get_by_label(f"condition of by_priority/{route}")


def count(designer: Locator, what: str = "by_priority/critical") -> Locator:
    return designer.locator(f'[data-key="{what}:samples"]')


def number(designer: Locator) -> int:
    return int(count(designer).inner_text().replace(",", ""))


def routes(designer: Locator) -> list[str]:
    rows = designer.locator("tr[data-router=by_priority]").all()
    return [row.get_attribute("data-route") or "" for row in rows]


def press(designer: Locator, name: str) -> None:
    designer.get_by_role("button", name=name, exact=True).click()


# --- rules ---


def test_a_rule_is_completed_from_fields_and_values_and_counted(designer: Locator) -> None:
    before = count(designer).inner_text()
    rule = condition(designer)
    rule.fill("prio")
    expect(designer.locator(".gl-menu li")).to_have_text(["priority"])
    rule.press("ArrowDown")
    rule.press("Enter")
    rule.press_sequentially(" = 'hi")
    expect(designer.locator(".gl-menu li")).to_have_text(["'high'"])
    rule.press("ArrowDown")
    rule.press("Tab")
    expect(rule).to_have_value("priority = 'high'")
    expect(count(designer)).not_to_have_text(before)
    expect(designer.locator("tr[data-route=critical] .gl-delta")).to_have_text(
        re.compile("[+\N{MINUS SIGN}][0-9]+")
    )
    expect(designer.get_by_role("button", name="undo", exact=True)).to_be_visible()
    rule.press("Enter")
    expect(designer.get_by_role("status")).to_have_text("route by_priority/critical: when")


def test_a_wrong_rule_shows_a_hint_and_greys_the_counts(designer: Locator) -> None:
    before = count(designer).inner_text()
    condition(designer).fill("priorty = 'high'")
    expect(designer).to_have_class(re.compile("gl-stale"))
    expect(designer.locator("tr[data-route=critical] .gl-problem")).to_contain_text("'priority'?")
    expect(condition(designer)).to_have_attribute("aria-invalid", "true")
    expect(count(designer)).to_have_text(before)
    condition(designer).fill("priority = 'high'")
    expect(designer).not_to_have_class(re.compile("gl-stale"))


def test_a_rule_of_four_kilobytes_is_counted(designer: Locator) -> None:
    names = ", ".join(f"'tenant-{number:04}'" for number in range(270))
    rule = f"tenant_id in ({names})"
    assert len(rule) > 4_000
    condition(designer).fill(rule)
    expect(count(designer)).to_have_text("0")


# --- what is written by others ---

HOSTILE = "<img src=x onerror='window.hit = 1'>\"&amp;\N{GRINNING FACE}\u202ecba\u05d0"


def test_nothing_that_others_wrote_becomes_markup(lab: Lab, file: Path) -> None:
    event = {"event_type": HOSTILE, "priority": "low", "payload": {}, "tenant_id": "acme"}
    line = {"broker": "stream", "kind": "kafka", "channel": "business-events", "body": event}
    (file.parent / "hostile.ndjson").write_text(f"{json.dumps(line)}\n" * 3)
    routes = gl.read_config(ROOT / "data" / "business.yaml")
    routes.edit_route("by_priority", "critical", description=HOSTILE).write(file)
    lab.run(2)
    designer = lab.designer
    condition(designer).fill("event_type = ")
    written = HOSTILE.replace("'", "''")
    expect(designer.locator(".gl-menu li")).to_have_text([f"'{written}'"])
    condition(designer).press("ArrowDown")
    condition(designer).press("Enter")
    expect(count(designer)).to_have_text("3")
    expect(condition(designer)).to_have_attribute("title", HOSTILE)
    count(designer).click()
    expect(designer.locator(".gl-preview").first).to_contain_text("onerror")
    designer.get_by_role("button", name="Why?").first.click()
    expect(designer.locator(".gl-why")).to_contain_text("onerror")
    channel = designer.get_by_label("channel of low")
    channel.fill(HOSTILE)
    channel.press("Enter")
    expect(designer.locator(".gl-problems")).to_contain_text("targets.low")
    assert designer.locator("img").count() == 0
    assert lab.page.evaluate("window.hit") is None


def test_a_capture_without_messages_says_so(lab: Lab, file: Path) -> None:
    shutil.copy(ROOT / "data" / "business.yaml", file)
    lab.run(3, until=".gl-count")
    expect(lab.designer.locator(".gl-window")).to_contain_text("no messages")
    expect(count(lab.designer)).to_have_text("0")
    lab.designer.get_by_label("by_priority/high is on").uncheck()
    expect(count(lab.designer, "by_priority/high")).to_have_text(NOTHING)


def test_a_large_capture_is_worked_on_while_the_rest_is_counted(lab: Lab, file: Path) -> None:
    shutil.copy(ROOT / "data" / "business.yaml", file)
    go = file.parent / "go"
    go.unlink(missing_ok=True)
    lab.run(5, until=".gl-count")
    designer, part = lab.designer, lab.designer.locator(".gl-partial")
    expect(part).to_contain_text("counts are of the first 100 messages; counting all 3,000")
    designer.get_by_label("by_priority/critical is on").uncheck()
    expect(count(designer)).to_have_text(NOTHING)
    few = int(count(designer, "by_priority/high").inner_text())
    assert few < 100
    go.touch()
    expect(part).to_be_hidden()
    expect(designer.locator(".gl-times")).to_be_visible()
    assert int(count(designer, "by_priority/high").inner_text()) > few
    expect(count(designer)).to_have_text(NOTHING)


# --- order, switches, names ---


def test_routes_are_moved_by_keys_and_buttons(designer: Locator) -> None:
    condition(designer).press("Alt+ArrowDown")
    expect(designer.locator("tr[data-route]").first).to_have_attribute("data-route", "high")
    expect(condition(designer)).to_be_focused()
    condition(designer).press("Alt+ArrowUp")
    expect(designer.locator("tr[data-route]").first).to_have_attribute("data-route", "critical")
    press(designer, "move by_priority/critical down")
    expect(designer.locator("tr[data-route]").first).to_have_attribute("data-route", "high")
    assert routes(designer) == ["high", "critical", "medium"]


def test_a_route_dragged_above_others_warns_of_what_it_shadows(designer: Locator) -> None:
    condition(designer, "medium").fill("priority in ('medium', 'high')")
    condition(designer, "medium").press("Enter")
    expect(designer.get_by_role("status")).to_have_text("route by_priority/medium: when")
    handle = designer.locator("tr[data-route=medium] .gl-handle")
    handle.drag_to(designer.locator("tr[data-route=high] .gl-when"))
    expect(designer.locator("tr[data-route]").nth(1)).to_have_attribute("data-route", "medium")
    expect(designer.locator("tr[data-route=high] .gl-problem")).to_contain_text("medium")
    expect(count(designer, "by_priority/high")).to_have_text("0")


def test_a_route_switched_off_carries_nothing_but_stays(designer: Locator) -> None:
    designer.get_by_label("by_priority/high is on").uncheck()
    expect(count(designer, "by_priority/high")).to_have_text(NOTHING)
    expect(designer.locator("tr[data-route=high]")).to_have_class(re.compile("gl-off"))
    designer.get_by_label("by_priority/high is on").check()
    expect(count(designer, "by_priority/high")).not_to_have_text(NOTHING)


def test_routes_routers_and_targets_are_added_renamed_and_removed(designer: Locator) -> None:
    designer.get_by_label("name of a new target").fill("audit")
    press(designer, "Add target")
    expect(count(designer, "target audit")).to_have_text("0")
    designer.get_by_label("name of a new router", exact=True).fill("by_audit")
    press(designer, "Add router")
    designer.get_by_label("name of a new route of by_audit").fill("every")
    designer.get_by_label("name of a new route of by_audit").press("Enter")
    every = designer.get_by_label("condition of by_audit/every")
    every.fill("")
    every.press("Enter")
    designer.get_by_label("targets of by_audit/every").fill("audit")
    designer.get_by_label("targets of by_audit/every").press("Enter")
    expect(count(designer, "target audit")).not_to_have_text("0")
    name = designer.get_by_label("name of target audit")
    name.fill("log")
    name.press("Enter")
    expect(designer.get_by_label("targets of by_audit/every")).to_have_value("log")
    press(designer, "remove by_audit/every")
    press(designer, "remove router by_audit")
    press(designer, "remove target log")
    expect(designer.locator("[data-target=log]")).to_have_count(0)
    expect(designer.locator("[data-router=by_audit]")).to_have_count(0)


# --- messages ---


def test_flows_and_counts_show_their_messages_and_each_says_why(designer: Locator) -> None:
    panel = designer.locator(".gl-samples")
    designer.get_by_role("button", name=re.compile("Samples: target low")).click()
    expect(panel.locator("h3")).to_have_text("Messages of target low")
    designer.locator("path[aria-label*='medium → medium']").click(force=True)
    expect(panel.locator("h3")).to_contain_text("route medium")
    count(designer).click()
    expect(panel.locator("h3")).to_contain_text("route critical")
    expect(panel.locator(".gl-sample")).to_have_count(5)
    first = panel.locator("summary").first.inner_text()
    press(designer, "Next")
    expect(panel.locator("summary").first).not_to_have_text(first)
    panel.locator("summary").first.click()
    expect(panel.locator("pre").first).to_contain_text('"event_type"')
    panel.get_by_role("button", name="Why?").first.click()
    expect(panel.locator(".gl-why")).to_contain_text("router by_priority: matched")
    panel.get_by_role("button", name="Copy").first.click()
    expect(panel.get_by_text("Copied")).to_be_visible()
    assert '"event_type"' in designer.page.evaluate("navigator.clipboard.readText()")
    press(designer, "Close")
    expect(panel).to_be_hidden()


def test_a_window_drawn_on_the_time_chart_counts_what_lies_in_it(designer: Locator) -> None:
    mouse, whole = designer.page.mouse, count(designer).inner_text()
    box = designer.locator(".gl-times").bounding_box()
    assert box is not None
    mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 30, steps=4)
    expect(designer.locator(".gl-window")).to_contain_text("pending")
    expect(count(designer)).to_have_text(whole)
    mouse.up()
    expect(count(designer)).not_to_have_text(whole)
    expect(designer.get_by_role("button", name="All")).to_have_attribute("aria-disabled", "false")
    designer.get_by_role("button", name="All").press("Escape")
    expect(count(designer)).to_have_text(whole)


def test_a_window_can_be_typed_and_each_of_its_edges_moved(designer: Locator) -> None:
    whole = number(designer)
    start = designer.get_by_label("messages from (UTC)")
    stop = designer.get_by_label("messages until (UTC)")
    ended = stop.input_value()
    first, last = map(datetime.fromisoformat, (start.input_value(), ended))
    start.fill((first + (last - first) / 2).isoformat(timespec="seconds"))
    expect(count(designer)).not_to_have_text(str(whole))
    half = number(designer)
    assert 0 < half < whole
    expect(designer.get_by_role("button", name="All")).to_have_attribute("aria-disabled", "false")
    brush = designer.locator(".gl-brush").bounding_box()
    chart = designer.locator(".gl-times").bounding_box()
    assert brush is not None
    assert chart is not None
    mouse, y = designer.page.mouse, chart["y"] + 20
    mouse.move(brush["x"] + 1, y)
    mouse.down()
    mouse.move(chart["x"] + chart["width"] * 0.2, y, steps=4)
    mouse.up()
    expect(count(designer)).not_to_have_text(str(half))
    assert half < number(designer) < whole
    expect(stop).to_have_value(ended)


def test_a_comparison_shows_what_goes_elsewhere(designer: Locator) -> None:
    press(designer, "Compare")
    panel = designer.locator(".gl-comparison")
    expect(panel).to_contain_text("does what the base does")
    designer.get_by_label("by_priority/high is on").uncheck()
    expect(panel.locator("h3")).to_contain_text("deliveries differ")
    expect(panel.get_by_role("table", name="messages that go elsewhere")).to_contain_text("high")
    expect(panel.get_by_role("table", name="what differs in the config")).to_be_visible()


# --- steps, files, code ---


def test_steps_go_back_and_forth_by_buttons_and_keys(lab: Lab, designer: Locator) -> None:
    cells = lab.cells.count()
    switch = designer.get_by_label("by_priority/high is on")
    switch.uncheck()
    press(designer, "undo: route by_priority/high: enabled")
    expect(switch).to_be_checked()
    press(designer, "redo: route by_priority/high: enabled")
    expect(switch).not_to_be_checked()
    switch.press("Control+z")
    expect(switch).to_be_checked()
    switch.press("Control+Shift+z")
    expect(switch).not_to_be_checked()
    assert lab.cells.count() == cells


def test_writing_shows_the_difference_and_asks_when_the_file_changed(
    designer: Locator, file: Path
) -> None:
    designer.get_by_label("by_priority/high is on").uncheck()
    press(designer, "Write…")
    panel = designer.locator(".gl-release")
    expect(panel.locator(".gl-plus").last).to_contain_text("enabled: false")
    panel.get_by_role("button", name="Write", exact=True).click()
    expect(designer.get_by_role("status")).to_contain_text("written to")
    assert gl.read_config(file).routers["by_priority"].routes[1].enabled is False
    file.write_text(file.read_text() + "# somebody else\n")
    designer.get_by_label("by_priority/high is on").check()
    press(designer, "Write…")
    expect(panel).to_contain_text("Somebody else changed this file")
    press(designer, "Replace their changes")
    expect(designer.get_by_role("status")).to_contain_text("written to")
    assert gl.read_config(file) == gl.read_config(ROOT / "data" / "business.yaml")


def test_what_is_said_outlasts_a_closer_look_that_began_before_it(lab: Lab, file: Path) -> None:
    """The opening goes on in one thread of the kernel while commands are done in another."""
    shutil.copy(ROOT / "data" / "business.yaml", file)
    go = file.parent / "go"
    go.unlink(missing_ok=True)
    lab.run(4)
    designer = lab.designer
    designer.get_by_label("by_priority/high is on").uncheck()
    press(designer, "Write…")
    designer.locator(".gl-release").get_by_role("button", name="Write", exact=True).click()
    expect(designer.get_by_role("status")).to_contain_text("written to")
    go.touch()
    for key in ("Control+Home", *["ArrowRight"] * len("prio"), "Control+Space"):
        condition(designer).press(key)
    expect(designer.locator(".gl-menu li")).to_have_text(["priority"])
    expect(designer.get_by_role("status")).to_contain_text("written to")


def test_the_code_makes_the_config_again(designer: Locator) -> None:
    designer.get_by_label("by_priority/high is on").uncheck()
    press(designer, "Code")
    expect(designer.locator(".gl-code pre")).to_contain_text("edit_route")
    made: dict[str, gl.GatewayConfig] = {}
    exec(designer.locator(".gl-code pre").inner_text(), {"gl": gl}, made)  # noqa: S102
    assert made["config"].digest.startswith(designer.locator(".gl-digest").inner_text())
    press(designer, "Copy the code")
    expect(designer.get_by_text("Copied")).to_be_visible()


# --- without a kernel ---


def test_a_notebook_that_nobody_ran_or_trusts_shows_a_picture_and_tables(lab: Lab) -> None:
    shutil.copy(ROOT / "notebooks" / "02_design.ipynb", lab.server.folder / "work")
    page = lab.page.context.new_page()
    page.goto(f"{lab.server.url}/lab/workspaces/other/tree/02_design.ipynb?reset")
    shown = page.locator(".jp-OutputArea-output", has=page.locator("img[alt*='messages go']"))
    picture = shown.locator("img")
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    assert picture.evaluate("each => each.naturalWidth") > 0
    expect(shown.get_by_role("cell", name="urgent").first).to_be_visible()
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    page.close()


# --- views, keys, readers ---


def test_two_views_of_a_designer_are_in_step(lab: Lab, designer: Locator) -> None:
    designer.evaluate("root => { root.id = 'first'; }")
    lab.run(1)
    first, second = lab.page.locator("#first"), lab.designer
    condition(first).fill("priority = 'low'")
    condition(first).press("Enter")
    expect(condition(second)).to_have_value("priority = 'low'")
    second.get_by_label("by_priority/medium is on").uncheck()
    expect(first.get_by_label("by_priority/medium is on")).not_to_be_checked()
    expect(count(first)).to_have_text(count(second).inner_text())


def test_keys_of_the_notebook_do_nothing_while_a_control_has_the_focus(
    lab: Lab, designer: Locator
) -> None:
    cells = lab.cells.count()
    count(designer).click()
    designer.locator(".gl-sample").first.wait_for()
    controls = designer.locator("button, summary, select, input[type=checkbox], pre, [tabindex]")
    for control in controls.all()[:60]:
        if control.is_visible():
            control.focus()
            for key in ("x", "d", "d"):
                lab.page.keyboard.press(key)
    press(designer, "remove by_priority/high")
    expect(designer.locator("[data-route=high]")).to_have_count(0)
    lab.page.keyboard.press("x")
    assert lab.cells.count() == cells
    expect(designer).to_be_visible()


def test_everything_is_reached_by_the_tab_key(lab: Lab, designer: Locator) -> None:
    wanted = {"condition of by_priority/critical", "targets of by_priority/critical",
        "by_priority/high is on", "messages from (UTC)", "move by_priority/high up",
        "remove by_priority/medium", "channel of low", "name of a new target",
    }  # fmt: skip
    designer.get_by_role("button", name="Compare").focus()
    passed: list[str] = []
    while "Add target" not in passed and len(passed) < 150:
        lab.page.keyboard.press("Tab")
        passed.append(
            lab.page.evaluate(
                "(document.activeElement.ariaLabel ?? document.activeElement.textContent)"
            )
        )
    assert wanted <= set(passed)
    assert "Add target" in passed
    flow = designer.locator(".gl-flow [tabindex='0']")
    flow.focus()
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("Enter")
    expect(designer.locator(".gl-samples")).to_contain_text("router by_priority")


def walk(lab: Lab, name: str, key: str = "Tab") -> None:
    """Press a key until what has the focus is called so."""
    focus = "(document.activeElement.ariaLabel ?? document.activeElement.textContent)"
    for _ in range(200):
        lab.page.keyboard.press(key)
        if lab.page.evaluate(focus) == name:
            return
    raise AssertionError(f"{key} never came to {name}")


def test_a_route_is_designed_and_its_messages_are_read_by_keys_alone(
    lab: Lab, designer: Locator
) -> None:
    keys = lab.page.keyboard
    designer.focus()
    walk(lab, "condition of by_priority/critical")
    keys.press("Control+A")
    keys.type("prio")
    expect(designer.locator(".gl-menu li")).to_have_text(["priority"])
    keys.press("ArrowDown")
    keys.press("Enter")
    keys.type(" = 'low'")
    keys.press("Escape")
    keys.press("Enter")
    expect(designer.get_by_role("status")).to_have_text("route by_priority/critical: when")
    keys.press("Alt+ArrowDown")
    expect(designer.get_by_role("status")).to_have_text("route by_priority/critical moved")
    walk(lab, f"{count(designer).inner_text()}, samples of by_priority/critical")
    keys.press("Enter")
    expect(designer.locator(".gl-sample")).to_have_count(5)
    walk(lab, "Next", "Shift+Tab")
    keys.press("Control+z")
    expect(designer.locator("tr[data-route]").first).to_have_attribute("data-route", "critical")


def test_a_draft_is_compared_and_written_by_keys_alone(
    lab: Lab, designer: Locator, file: Path
) -> None:
    keys = lab.page.keyboard
    designer.focus()
    walk(lab, "by_priority/high is on")
    keys.press("Space")
    expect(designer.get_by_role("status")).to_have_text("route by_priority/high: enabled")
    designer.focus()
    walk(lab, "Compare")
    keys.press("Enter")
    expect(designer.locator(".gl-comparison h3")).to_contain_text("deliveries differ")
    walk(lab, "Write…")
    keys.press("Enter")
    expect(designer.locator(".gl-release .gl-plus").last).to_contain_text("enabled: false")
    walk(lab, "Write")
    keys.press("Enter")
    expect(designer.get_by_role("status")).to_contain_text("written to")
    assert gl.read_config(file).routers["by_priority"].routes[1].enabled is False


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_screen_reader_finds_nothing_amiss(lab: Lab, designer: Locator, theme: str) -> None:
    lab.page.get_by_role("menuitem", name="Settings").click()
    lab.page.get_by_text("Theme", exact=True).hover()
    lab.page.get_by_text(f"JupyterLab {theme}", exact=True).click()
    lab.page.wait_for_selector(f"body[data-jp-theme-name='JupyterLab {theme}']", state="attached")
    count(designer).click()
    designer.get_by_role("button", name="Why?").first.click()
    designer.locator(".gl-why").wait_for()
    press(designer, "Compare")
    press(designer, "Code")
    press(designer, "Write…")
    condition(designer).fill("priorty = 'high'")
    expect(designer).to_have_class(re.compile("gl-stale"))
    is_clean(lab)
    condition(designer).fill("prio")
    expect(designer.locator(".gl-menu li")).to_have_text(["priority"])
    condition(designer).press("ArrowDown")
    is_clean(lab)


def is_clean(lab: Lab) -> None:
    found = Axe().run(lab.page, context=DESIGNER)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [900, 1200])
def test_no_table_is_wider_than_the_panel(designer: Locator, width: int) -> None:
    designer.evaluate("(root, width) => { root.style.width = `${width}px`; }", width)
    for part in designer.locator(".gl-router, .gl-targets").all():
        assert part.evaluate("each => each.scrollWidth <= each.clientWidth")


def restart(lab: Lab) -> None:
    lab.page.get_by_role("menuitem", name="Kernel").click()
    lab.page.get_by_text("Restart Kernel…", exact=True).click()


def kill(lab: Lab) -> None:
    """End it as a machine without memory does."""
    os.kill(int((lab.server.folder / "work" / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("end", [restart, kill])
def test_a_kernel_that_ends_leaves_what_was_known(
    lab: Lab, designer: Locator, end: Callable[[Lab], None]
) -> None:
    before = count(designer).inner_text()
    end(lab)
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(designer.get_by_role("alert")).to_contain_text("Run the cell again")
    expect(count(designer)).to_have_text(before)
    lab.page.get_by_text("| Idle").wait_for()
