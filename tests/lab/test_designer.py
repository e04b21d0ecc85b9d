from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import gateway_lab as gl
from gateway_lab.errors import CaptureError, ConfigError
from gateway_lab.lab import pieces

DATA = Path(__file__).parents[2] / "data"
TRAITS = (
    "document", "hints", "counts", "problems", "flow", "times", "samples", "why", "comparison",
    "steps", "release", "code", "status",
)  # fmt: skip


@pytest.fixture
def designer() -> gl.Designer:
    config = gl.read_config(DATA / "business.yaml")
    return gl.design(config, gl.scan_capture(DATA / "business.parquet").head(5_000))


def ask(designer: gl.Designer, do: str, **more: Any) -> None:
    """Send what a view sends."""
    designer.hear({"do": do, **more})


def edit(designer: gl.Designer, **changes: Any) -> None:
    ask(designer, "edit_route", arguments=["by_priority", "critical"], changes=changes)


def test_everything_that_is_shown_is_json(designer: gl.Designer) -> None:
    ask(designer, "compare", on=True)
    ask(designer, "select", select={"route": "critical"})
    ask(designer, "explain", seq=designer.samples["rows"][0]["seq"])
    ask(designer, "release", on=True)
    ask(designer, "code", on=True)
    for name in TRAITS:
        assert json.loads(json.dumps(getattr(designer, name))) == getattr(designer, name)


def test_an_edit_is_counted_beside_the_base(designer: gl.Designer) -> None:
    before = designer.counts["routes"]["by_priority/critical"]["messages"]
    edit(designer, when="priority = 'high'")
    now = designer.counts["routes"]["by_priority/critical"]
    assert now["delta"] == now["messages"] - before != 0
    assert designer.steps == {"names": ["opened", "route by_priority/critical: when"], "at": 1}
    assert designer.status["said"] == "route by_priority/critical: when"


def test_a_new_target_leaves_the_others_their_colours(designer: gl.Designer) -> None:
    def told() -> dict[str, str]:
        return {each["name"]: each["colour"] for each in designer.document["targets"]}

    before = told()
    ask(designer, "add_target", arguments=["audit"], changes={"broker": "work", "channel": "a"})
    assert told() == {**before, "audit": told()["audit"]}
    shown = {each["label"]: each["colour"] for each in designer.flow["nodes"]}
    assert {name: shown[name] for name in before} == before
    assert {each["target"]: each["colour"] for each in designer.times["series"]}.items() >= {
        (name, before[name]) for name in ("critical", "high")
    }


def test_a_wrong_rule_is_told_at_its_route_while_the_counts_stay(designer: gl.Designer) -> None:
    before = designer.counts["routes"]
    arguments = ["by_priority", "critical"]
    ask(designer, "type", method="edit_route", arguments=arguments, changes={"when": "teant = 1"})
    problem = next(each for each in designer.problems if each["severity"] == "error")
    told = {name: problem[name] for name in ("router", "route", "field")}
    assert told == {"router": "by_priority", "route": "critical", "field": "when"}
    assert "tenant_id" in problem["hint"]
    assert designer.counts["stale"]
    assert designer.counts["routes"] == before
    assert designer.document["routers"][0]["routes"][0]["when"] == "teant = 1"


@pytest.mark.parametrize(
    "asked",
    [
        {"do": "edit_route", "arguments": ["by_priority", "gone"], "changes": {"when": None}},
        {"do": "rename_route", "arguments": ["by_priority", "critical", "Not a name"]},
        {"do": "remove_target", "arguments": ["critical"]},
        {"do": "write", "path": "/nowhere/at/all.yaml"},
        {"do": "no_such_thing"},
        {"do": "edit_route", "arguments": ["by_priority"]},
        {"do": "select", "select": {"route": "gone"}},
        {"do": "explain", "seq": -1},
        {"do": "window", "from_ms": "soon", "to_ms": 3},
        {"do": "window", "from_ms": 0, "to_ms": 8.64e15},
        {"do": "explain", "seq": "first"},
        {"do": "edit_route", "arguments": [{}, []]},
        {"do": []},
        {"do": None},
    ],
    ids=str,
)
def test_what_cannot_be_is_told_and_changes_nothing(
    designer: gl.Designer, asked: dict[str, Any]
) -> None:
    before = designer.config
    designer.hear(asked)
    assert designer.status["error"]["message"]
    assert designer.config == before
    edit(designer, enabled=False)
    assert designer.status["error"] is None


def test_a_year_that_no_calendar_has_is_told_in_words(designer: gl.Designer) -> None:
    ask(designer, "window", from_ms=0, to_ms=8.64e15)  # the last moment that a browser knows
    assert designer.status["error"]["message"] == "no calendar has this time"
    assert designer.window is None


def test_work_is_announced_before_it_begins(designer: gl.Designer) -> None:
    told: list[str | None] = []
    designer.observe(lambda change: told.append(change["new"]["busy"]), "status")
    ask(designer, "compare", on=True)
    assert (told[0], told[-1]) == ("comparing with the base", None)


@pytest.mark.anyio
async def test_counts_do_not_wait_for_the_time_chart(
    designer: gl.Designer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_lab.lab.designer.PAUSE_S", 0)
    times, drawn = designer.times, asyncio.Event()
    designer.observe(lambda _: drawn.set(), "times")
    edit(designer, when="priority = 'high'")
    assert designer.counts["routes"]["by_priority/critical"]["delta"]
    assert designer.times == times
    await drawn.wait()
    assert designer.times != times


LIMIT_S = 60


class Gate:
    """Stops a function until it is opened."""

    def __init__(self, function: Any) -> None:
        self.function, self.reached, self.open = function, threading.Event(), threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self.reached.set()
        assert self.open.wait(LIMIT_S)
        return self.function(*arguments)


@pytest.mark.anyio
async def test_what_is_said_outlasts_work_that_began_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Notebooks hand messages to another thread than the one that opened the panel."""
    monkeypatch.setattr("gateway_lab.lab.designer.PAUSE_S", 0)
    gate = Gate(lambda *_: {"fields": []})
    monkeypatch.setattr("gateway_lab.lab.designer.hints", gate)
    config = gl.read_config(DATA / "business.yaml")
    designer = gl.design(config, gl.scan_capture(DATA / "business.parquet").head(100))
    assert await asyncio.to_thread(gate.reached.wait, LIMIT_S)
    monkeypatch.setattr("gateway_lab.lab.designer.PAUSE_S", LIMIT_S)
    file = tmp_path / "routes.yaml"

    async def write() -> None:
        ask(designer, "release", on=True, path=str(file))
        ask(designer, "write", path=str(file))

    await asyncio.to_thread(asyncio.run, write())
    (opening,) = designer._later._tasks
    gate.open.set()
    await asyncio.wait_for(opening, LIMIT_S)
    assert designer.status["said"] == f"written to {file}"
    assert designer.release is None


@pytest.mark.anyio
async def test_what_was_worked_out_for_an_earlier_draft_is_not_shown(
    designer: gl.Designer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_lab.lab.designer.PAUSE_S", 0)
    ask(designer, "compare", on=True)
    gate = Gate(pieces.problems)
    monkeypatch.setattr("gateway_lab.lab.pieces.problems", gate)
    edit(designer, enabled=False)
    assert await asyncio.to_thread(gate.reached.wait, LIMIT_S)
    ask(designer, "compare", on=False)
    shown, drawn = [], asyncio.Event()
    designer.observe(lambda change: shown.append(change["new"]), "comparison")
    designer.observe(lambda _: drawn.set(), "times")
    gate.open.set()
    await asyncio.wait_for(drawn.wait(), LIMIT_S)
    assert shown == []


def test_commands_of_two_threads_are_done_one_after_the_other(designer: gl.Designer) -> None:
    with ThreadPoolExecutor(2) as pool:
        names = [f"t{number}" for number in range(20)]
        changes = {"broker": "stream", "channel": "elsewhere"}
        done = pool.map(
            lambda name: ask(designer, "add_target", arguments=[name], changes=changes), names
        )
        list(done)
    assert set(names) <= set(designer.config.targets)
    assert designer.draft.at == len(names)
    assert designer.document["digest"] == designer.config.digest


def test_a_window_counts_less_and_all_of_it_comes_back(designer: gl.Designer) -> None:
    times = designer.times
    middle = times["from_ms"] + times["length"] * times["step_ms"] // 2
    ask(designer, "window", from_ms=times["from_ms"], to_ms=middle)
    assert 0 < designer.counts["messages"] < 5_000
    assert designer.times["window"] == [times["from_ms"], middle]
    ask(designer, "window")
    assert designer.counts["messages"] == 5_000


def test_the_time_chart_holds_every_delivery(designer: gl.Designer) -> None:
    total = sum(sum(each["counts"]) for each in designer.times["series"])
    assert total == designer.replay.flow()["deliveries"].sum()


def test_samples_come_in_pages_that_differ(designer: gl.Designer) -> None:
    pages = []
    for page in (0, 1, 0):
        ask(designer, "select", select={"target": "low"}, page=page)
        pages.append([row["seq"] for row in designer.samples["rows"]])
    assert pages[0] == pages[2]
    assert not set(pages[0]) & set(pages[1])
    ask(designer, "select", select={})
    assert designer.samples is None


def test_samples_of_a_route_that_is_removed_are_put_away(designer: gl.Designer) -> None:
    ask(designer, "select", select={"route": "critical"})
    ask(designer, "remove_route", arguments=["by_priority", "critical"])
    assert designer.status["error"] is None
    assert designer.samples is None


def test_each_message_can_say_why(designer: gl.Designer) -> None:
    ask(designer, "select", select={"router": "by_priority", "route": "critical"})
    seq = designer.samples["rows"][0]["seq"]
    ask(designer, "explain", seq=seq)
    assert designer.why["seq"] == seq
    assert any(row["result"] == "TRUE" for row in designer.why["clauses"])


def test_a_comparison_stays_in_step_with_edits(designer: gl.Designer) -> None:
    ask(designer, "compare", on=True)
    assert designer.comparison["changed"] == 0
    edit(designer, enabled=False)
    assert designer.comparison["changed"] > 0
    assert designer.comparison["flow"]["links"]
    ask(designer, "undo")
    assert designer.comparison["changed"] == 0
    ask(designer, "compare", on=False)
    assert designer.comparison is None


def test_a_draft_is_written_as_production_loads_it(designer: gl.Designer, tmp_path: Path) -> None:
    edit(designer, when="priority = 'high'")
    file = tmp_path / "routes.yaml"
    ask(designer, "release", on=True, path=str(file))
    assert designer.release["diff"]
    assert designer.release["digest"] == designer.config.digest
    ask(designer, "write", path=str(file))
    assert gl.read_config(file) == designer.config
    assert designer.release is None


def test_a_config_of_no_file_is_written_by_a_call_that_is_named() -> None:
    config = gl.parse_config((DATA / "business.yaml").read_text())
    designer = gl.design(config, gl.scan_capture(DATA / "business.parquet").head(10))
    ask(designer, "release", on=True)
    assert designer.release is None
    assert 'designer.export("routes.yaml")' in designer.status["error"]["hint"]


def test_completion_offers_fields_and_the_values_seen(designer: gl.Designer) -> None:
    fields = {each["path"]: each for each in designer.hints["fields"]}
    assert fields["priority"]["values"] == ["'low'", "'medium'", "'high'", "'critical'"]
    assert "'order_created'" in fields["event_type"]["values"]
    assert "settings.big_order" in designer.hints["settings"]
    assert "regexp_matches" in designer.hints["functions"]


@pytest.mark.anyio
async def test_completion_is_known_though_a_rule_is_wrong_from_the_first_key_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway_lab.lab.designer.PAUSE_S", 0)
    config = gl.read_config(DATA / "business.yaml")
    designer, known = gl.design(config, gl.scan_capture(DATA / "business.parquet")), asyncio.Event()
    designer.observe(lambda _: known.set(), "hints")
    edit(designer, when="prio")
    await asyncio.wait_for(known.wait(), LIMIT_S)
    assert "priority" in {each["path"] for each in designer.hints["fields"]}


def test_completion_never_offers_private_values() -> None:
    config = gl.read_config(DATA / "users.yaml")
    designer = gl.design(config, gl.scan_capture(DATA / "users.parquet").head(2_000))
    private = next(each for each in designer.hints["fields"] if each["path"] == "username")
    assert private["values"] == []


def test_without_a_browser_it_is_a_table_and_a_picture(designer: gl.Designer) -> None:
    bundle, _ = designer._repr_mimebundle_()
    assert bundle["text/plain"].startswith("<Designer business-events: unchanged")
    assert "data:image/svg+xml;base64," in bundle["text/html"]
    assert "<td>critical</td>" in bundle["text/html"]
    edit(designer, enabled=False)
    assert "1 step, " in repr(designer)


def test_a_page_made_of_a_notebook_shows_the_picture_and_the_tables() -> None:
    notebook = DATA.parent / "notebooks" / "02_design.ipynb"
    command = [sys.executable, "-m", "nbconvert", "--to=html", "--stdout", str(notebook)]
    page = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert 'messages go" src="data:image/svg+xml;base64,' in page
    assert "<td>urgent</td>" in page
    assert "widget-view" not in page


def test_names_and_values_are_never_markup() -> None:
    config = gl.read_config(DATA / "business.yaml").edit_target(
        "low", channel="low-<script>alert(1)</script>"
    )
    designer = gl.design(config, gl.scan_capture(DATA / "business.parquet").head(100))
    assert "<script" not in designer._repr_mimebundle_()[0]["text/html"]


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_traffic_is_enough(n: int) -> None:
    capture = gl.scan_capture(DATA / "business.parquet").head(n)
    designer = gl.design(gl.read_config(DATA / "business.yaml"), capture)
    edit(designer, enabled=False)
    assert designer.counts["messages"] == n
    assert (designer.times is None) is (n == 0)


def test_samples_and_reasons_mask_private_values() -> None:
    config = gl.read_config(DATA / "users.yaml")
    capture = gl.scan_capture(DATA / "users.parquet").head(500)
    designer = gl.design(config, capture)
    ask(designer, "select", select={"source": next(iter(config.sources))})
    seen = designer.samples["rows"]
    ask(designer, "explain", seq=seen[0]["seq"])
    shown = json.dumps([seen, designer.why])
    for row in seen:
        private = json.loads(capture.message(row["seq"]).body or b"")["username"]
        assert json.dumps(private) not in shown


@pytest.mark.slow
def test_hundreds_of_routes_are_counted_and_the_small_ones_folded_in_the_flow() -> None:
    config = gl.read_config(DATA / "business.yaml")
    for number in range(194):
        config = config.add_target(f"t{number}", broker="stream", channel=f"out-{number}")
    for number in range(495):
        when = f"tenant_id = 'shop-{number % 60:02}' and payload.amount > {number}"
        config = config.add_route("by_tenant", f"r{number}", when=when, to=[f"t{number % 194}"])
    designer = gl.design(config, gl.scan_capture(DATA / "business.parquet").head(5_000))
    edit(designer, when="priority = 'high'")
    assert len(designer.counts["routes"]) == 500
    assert len(designer.document["targets"]) == 200
    assert designer.flow["folded"] > 0
    assert len(designer.flow["nodes"]) < 100
    assert "others" in {node["label"] for node in designer.flow["nodes"]}


def test_what_is_no_config_or_capture_is_refused() -> None:
    config = gl.read_config(DATA / "business.yaml")
    with pytest.raises(ConfigError, match="read it first"):
        gl.design("routes.yaml", None)  # type: ignore[arg-type]
    with pytest.raises(CaptureError):
        gl.design(config, "capture.parquet")  # type: ignore[arg-type]


# --- large captures ---


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> gl.Designer:
    """A designer for which 1,000 messages are many."""
    monkeypatch.setattr("gateway_lab.lab.draft.AT_ONCE", 999)
    monkeypatch.setattr("gateway_lab.lab.draft.FIRST_FEW", 100)
    config = gl.read_config(DATA / "business.yaml")
    return gl.design(config, gl.scan_capture(DATA / "business.parquet").head(1_000))


def counted(designer: gl.Designer) -> asyncio.Event:
    """Return what is set once all messages are counted."""
    whole = asyncio.Event()

    def look(change: Any) -> None:
        if change["new"]["of"] is None:
            whole.set()

    designer.observe(look, "counts")
    return whole


def test_of_many_messages_the_first_are_counted_at_once_and_it_says_so(large: gl.Designer) -> None:
    assert (large.counts["messages"], large.counts["of"]) == (100, 1_000)
    bundle, _ = large._repr_mimebundle_()
    assert "the first 100 of 1,000 messages" in bundle["text/html"]
    assert large.counts["of"] is None
    bundle, _ = large._repr_mimebundle_()
    assert "where 1,000 messages go" in bundle["text/html"]


def test_in_python_all_messages_are_counted(large: gl.Designer) -> None:
    edit(large, enabled=False)
    assert large.counts["messages"] == 100
    assert large.replay.books().messages == 1_000
    assert large.draft.diff().summary()["deliveries"].sum() > 1_000
    assert large.replay.routes()["route"].to_list()[0] != "critical"


@pytest.mark.anyio
async def test_edits_made_while_many_messages_are_counted_are_counted_with_them(
    large: gl.Designer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, whole = Gate(large.draft.count_all), counted(large)
    monkeypatch.setattr(large.draft, "count_all", gate)
    large._repr_mimebundle_()
    assert await asyncio.to_thread(gate.reached.wait, LIMIT_S)
    assert large.progress["of"] == 1_000
    edit(large, when="priority = 'high'")
    times = large.times
    ask(large, "window", from_ms=0, to_ms=2e12)
    assert large.counts["of"] == 1_000
    gate.open.set()
    await asyncio.wait_for(whole.wait(), LIMIT_S)
    assert (large.progress, times) == (None, None)
    assert large.counts["messages"] == 1_000
    expected = gl.replay(large.config, large.draft.capture).routes()["messages"].to_list()
    assert [each["messages"] for each in large.counts["routes"].values()] == expected


@pytest.mark.anyio
async def test_how_far_the_counting_is_is_told(large: gl.Designer) -> None:
    told: list[Any] = []
    whole = counted(large)
    large.observe(lambda change: told.append(change["new"]), "progress")
    large._repr_mimebundle_()
    await asyncio.wait_for(whole.wait(), LIMIT_S)
    assert told[0] == {"counted": 0, "of": 1_000}
    assert told[1]["counted"] > 0
    assert told[-1] is None
