"""Tuning: a grid of values on a capture, what each point costs and moves, and the best of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway_lab as gl
from gateway_lab.batches.cost import StoreCost
from gateway_lab.batches.window import GRACE_S, Window
from gateway_lab.errors import ReplayError
from gateway_lab.gateway.window import MAX_MESSAGES
from gateway_lab.offline.grid import LARGEST_BATCH
from gateway_lab.offline.latency import Arrivals
from gateway_lab.offline.objective import frontier, read_objective
from tests.offline.conftest import MakeCapture, message

SECOND = 1_000_000
COST = StoreCost(per_batch=1.0, per_row=0.0)
GRID: Mapping[str, Sequence[Any]] = {
    "settings.hot": [90, 95],
    "batches.load.size": [50, 500],
    "batches.load.every": ["1s", "5s", "30s"],
}


@pytest.fixture(scope="module")
def config() -> gl.GatewayConfig:
    return gl.read_config("data/metrics.yaml")


@pytest.fixture(scope="module")
def capture() -> gl.Capture:
    return gl.generate_traffic("metrics", n=3_000, seed=3)


@pytest.fixture(scope="module")
def tuning(config: gl.GatewayConfig, capture: gl.Capture) -> gl.Tuning:
    return gl.tune(config, capture, GRID, "cost where latency_p99 <= 2s and moved = 0")


def arrivals(times: Sequence[Sequence[int]]) -> Arrivals:
    """Make the arrivals of some partitions, without a capture."""
    rows = [(str(part), at, at) for part, each in enumerate(times) for at in each]
    frame = pl.DataFrame(rows, schema=["partition", "_received", "_time"], orient="row")
    places = frame.with_columns(broker=pl.lit("b"), channel=pl.lit("c"))
    with patch("gateway_lab.offline.latency.batch_messages", return_value=places):
        return Arrivals(None, None)  # type: ignore[arg-type]


# --- the latency of rows ---


def test_a_row_waits_for_its_batch_and_for_the_database() -> None:
    came = arrivals([[0, 1 * SECOND, 2 * SECOND]])
    timing = came.time(size=2, every_us=10 * SECOND, cost=COST)
    assert timing is not None
    assert (timing.batches, timing.rows, timing.cost) == (2, 3, 2.0)
    assert timing.p50 == 2.0  # came at 0 s, closed with the one of 1 s, committed at 2 s
    assert timing.longest == pytest.approx(10 + GRACE_S + 1)  # its timer rang


def test_batches_of_all_partitions_wait_for_one_connection() -> None:
    came = arrivals([[0], [0], [0]])
    timing = came.time(size=1, every_us=SECOND, cost=COST)
    assert timing is not None
    assert (timing.p50, timing.longest) == (2.0, 3.0)


def test_what_is_stored_nowhere_waits_for_its_batch_only() -> None:
    timing = arrivals([[0, SECOND]]).time(size=2, every_us=5 * SECOND, cost=None)
    assert timing is not None
    assert (timing.cost, timing.longest) == (0.0, 1.0)


def test_without_messages_there_is_no_latency() -> None:
    assert arrivals([]).time(size=2, every_us=1, cost=COST) is None
    assert arrivals([]).seconds == 0


@given(
    steps=st.lists(st.integers(0, 4 * SECOND), min_size=1, max_size=30),
    size=st.integers(1, 5),
    every=st.integers(1, 6 * SECOND),
)
def test_batches_close_as_a_window_with_a_clock_closes_them(
    steps: list[int], size: int, every: int
) -> None:
    times = [sum(steps[: at + 1]) for at in range(len(steps))]
    timing = arrivals([times]).time(size=size, every_us=every, cost=None)
    assert timing is not None
    assert round(timing.longest * SECOND) == max(_waited(times, size, every))


def _waited(times: Sequence[int], size: int, every: int) -> list[int]:
    """Push one by one, the timer asked `GRACE_S` late, as a gateway does."""
    window: Window[int] = Window(size=size, every_us=every)
    grace, waits = round(GRACE_S * SECOND), list[int]()
    for at in times:
        rings = window.rings_us
        if rings is not None and rings + grace <= at:
            waits += [rings + grace - each for each in window.flush() or ()]
        waits += [at - each for each in window.push(at, at, at) or ()]
    rings = window.rings_us
    return waits + [(rings or 0) + grace - each for each in window.flush() or ()]


# --- points ---


def test_every_point_of_the_grid_is_a_row_with_what_it_costs_and_moves(
    tuning: gl.Tuning, config: gl.GatewayConfig, capture: gl.Capture
) -> None:
    assert tuning.frame.height == 12
    assert tuning.frame.select(*GRID).unique().height == 12
    for row in tuning.frame.rows(named=True):
        tried = tuning.config_of(row["point"])
        assert tried.batches["load"].every == row["batches.load.every"]
        moved = gl.diff(config, tried, capture)
        assert row["moved_share"] == pytest.approx(moved.moved_share)
        batches = gl.replay(tried, capture).batches("load")
        assert row["batches"] == batches["batch"].n_unique()
        assert row["rows_per_batch"] == pytest.approx(batches["messages"].sum() / row["batches"])
        of_rows = sum(batches["messages"].to_list()) * tuning.cost.per_row
        assert row["cost"] == pytest.approx(row["batches"] * tuning.cost.per_batch + of_rows)


def test_what_points_share_is_worked_out_once(
    config: gl.GatewayConfig, capture: gl.Capture
) -> None:
    with (
        patch.object(Arrivals, "time", autospec=True, side_effect=Arrivals.time) as timed,
        patch("gateway_lab.offline.tune.diff", side_effect=gl.diff) as compared,
    ):
        gl.tune(config, capture, GRID, "cost")
    assert (timed.call_count, compared.call_count) == (6, 2)


def test_what_runs_today_is_a_point_whether_the_grid_names_it_or_not(
    config: gl.GatewayConfig, capture: gl.Capture, tuning: gl.Tuning
) -> None:
    other = gl.tune(config, capture, {"batches.load.size": [50, 100]}, "cost")
    assert other.frame["batches.load.size"].to_list() == [500, 50, 100]
    assert other.today["changes"] == tuning.today["changes"] == 0
    assert other.config_of(0) == config


def test_retries_say_how_long_a_message_that_fails_waits_for_its_letter(
    config: gl.GatewayConfig, capture: gl.Capture
) -> None:
    grid: dict[str, list[Any]] = {
        "retry.attempts": [1, 4],
        "retry.initial": ["1s"],
        "retry.max": ["3s"],
    }
    tuning = gl.tune(config, capture, grid, "retry_wait")
    assert tuning.frame["retry_wait"].to_list() == [pytest.approx(0.6), 0, 1 + 2 + 3]
    nearest = gl.tune(config, capture, {"sources.metrics.retry.attempts": [2]}, "retry_wait")
    assert nearest.best.sources["metrics"].retry == config.retry.model_copy(update={"attempts": 2})


def test_a_config_without_batches_is_tuned_for_what_it_moves() -> None:
    config = gl.read_config("data/business.yaml")
    capture = gl.generate_traffic("business", n=500, seed=1)
    [name] = list(config.settings)[:1]
    value = config.settings[name].value
    tuning = gl.tune(config, capture, {f"settings.{name}": [value]}, "moved")
    assert tuning.frame["cost"].null_count() == 1
    assert tuning.axes == ("moved", "letters")
    assert tuning.best == config
    with pytest.raises(ReplayError, match="the config has none"):
        gl.tune(config, capture, {f"settings.{name}": [value]}, "latency")


# --- the best ---


def test_the_best_meets_the_conditions_at_the_least_cost_and_moves_least(
    tuning: gl.Tuning,
) -> None:
    best = tuning.best_point
    met = tuning.frame.filter(pl.col("latency_p99") <= 2, pl.col("moved") == 0)
    assert best["cost"] == met["cost"].min()
    assert best["moved"] == 0
    assert best["changes"] == 1
    assert tuning.changes()["path"].to_list() == ["batches.load.every"]


def test_the_best_is_written_as_a_file_that_a_gateway_runs(
    tuning: gl.Tuning, tmp_path: Path
) -> None:
    tuning.best.write(tmp_path / "best.yaml")
    again = gl.read_config(tmp_path / "best.yaml")
    assert again.digest == tuning.best.digest
    assert "# Batches: rows into a database" in (tmp_path / "best.yaml").read_text()


def test_conditions_that_no_point_meets_are_told_with_what_there_is(
    config: gl.GatewayConfig, capture: gl.Capture
) -> None:
    tuning = gl.tune(config, capture, GRID, "cost where latency_p99 <= 1ms")
    assert "no point of 12 meets" in repr(tuning)
    with pytest.raises(ReplayError, match=r"latency_p99 1\.\d+ s at the least and"):
        _ = tuning.best


@given(
    points=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20),
)
def test_no_point_beats_one_of_the_frontier_and_one_of_it_beats_each_other(
    points: list[tuple[int, int]],
) -> None:
    frame = pl.DataFrame(points, schema=["x", "y"], orient="row").with_row_index("point")
    found = frontier(frame.with_columns(moved=0, changes=0), ("x", "y")).select("x", "y").rows()
    for x, y in points:
        assert not any((x <= a and y < b) or (x < a and y <= b) for a, b in found)
        assert any(a <= x and b <= y for a, b in found)


def test_a_tuning_tells_itself_as_text_and_as_a_table(tuning: gl.Tuning) -> None:
    lines = repr(tuning).splitlines()
    assert lines[0].startswith("Tuning of metrics ")
    assert "12 points, looking for cost where" in lines[0]
    assert "a default" in lines[1]
    assert "today: settings.hot = 90, batches.load.size = 500, batches.load.every = 5s" in lines[2]
    html = tuning._repr_html_()
    assert "<table>" in html
    assert "latency_p99 &lt;= 2s" in html


# --- what cannot be tuned ---


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({}, "the grid is empty"),
        ({"hot": [1]}, "did you mean 'settings.hot'?"),
        ({"settings.hto": [1]}, "did you mean 'settings.hot'?"),
        ({"batches.load.sizes": [1]}, "did you mean 'batches.load.size'?"),
        ({"settings.hot": []}, "no value to try"),
        ({"settings.hot": 90}, r"give a list: \[90\]"),
        ({"settings.hot": "90"}, "give a list"),
        ({"settings.hot": ["90"]}, "'90' is not of type number"),
        ({"settings.hot": [True]}, "True is not of type number"),
        ({"settings.hot": [float("nan")]}, "nan is not of type number"),
        ({"batches.load.size": [0]}, "greater than or equal to 1|at least 1"),
        ({"batches.load.size": [1.5]}, "1.5"),
        ({"batches.load.size": [10_001]}, "does not run"),
        ({"batches.load.every": ["5 seconds"]}, "5 seconds"),
        ({"retry.attempts": [0]}, "retry.attempts"),
        (
            {"settings.hot": range(1_000), "batches.load.size": range(1, 1_001)},
            "1,000,000 points",
        ),
        ({"settings.hot": range(10**6)}, "1,000,000 points"),
    ],
)
def test_a_grid_that_cannot_be_says_what_and_where(
    grid: dict[str, Any], told: str, config: gl.GatewayConfig, capture: gl.Capture
) -> None:
    with pytest.raises(ReplayError, match=told):
        gl.tune(config, capture, grid, "cost")


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ("", "lacks a measure"),
        ("where cost < 1", "nothing is measured|lacks a measure"),
        ("cots", "did you mean 'cost'?"),
        ("cost where", "lacks a measure or a condition"),
        ("cost where latency", "cannot be read"),
        ("cost where latncy <= 5s", "did you mean 'latency'?"),
        ("cost where latency <= 5 years", "cannot be read"),
        ("cost where latency <= 1.2.3s", "no number"),
    ],
)
def test_an_objective_that_cannot_be_read_says_what_it_lacks(objective: str, told: str) -> None:
    with pytest.raises(ReplayError, match=told):
        read_objective(objective)


def test_conditions_have_units() -> None:
    objective = read_objective("latency where cost <= 1m and busy < 5% and moved = 0")
    assert objective.measure == "latency_p99"
    assert objective.conditions == (("cost", "<=", 60.0), ("busy", "<", 0.05), ("moved", "=", 0))


def test_the_largest_batch_of_a_grid_is_what_a_source_holds() -> None:
    assert LARGEST_BATCH == MAX_MESSAGES


# --- handlers ---

PAYMENTS = """
gateway_lab: 1
name: payments
brokers: {stream: kafka}
events:
  Payment: {type: object, required: [n], properties: {n: {type: integer}}}
sources:
  payments: {broker: stream, channel: payments, event: Payment, handler: {returns: Payment}}
targets:
  paid: {broker: stream, channel: paid}
routers:
  paid: {source: payments, match: all, routes: [{name: all, to: [paid]}], unmatched: drop}
dead_letter: {broker: stream, channel: dead}
"""


def test_letters_of_handlers_are_counted_where_their_functions_run(
    capture_of: MakeCapture,
) -> None:
    config = gl.parse_config(PAYMENTS)
    gateway, tries = gl.Gateway(config), Counter[int]()

    @gateway.handler("payments")
    def pay(event: dict[str, Any]) -> dict[str, Any]:
        tries[event["n"]] += 1
        if event["n"] == 3:
            raise TimeoutError
        return event

    messages = capture_of(*(message({"n": n}, channel="payments") for n in (1, 2, 3)))
    grid = {"retry.attempts": [1, 2]}
    assert gl.tune(config, messages, grid, "letters").frame["letters"].max() == 0  # none ran
    tuning = gl.tune(config, messages, grid, "letters", handlers=gateway)
    assert tuning.frame["letters"].to_list() == [1, 1, 1]
    assert tuning.frame["retry_wait"].to_list() == pytest.approx([0.6, 0, 0.2])
    assert tries[3] > tries[1]


def test_batches_behind_a_handler_are_of_what_it_returned(capture_of: MakeCapture) -> None:
    batch = "batches: {load: {source: payments, size: 2, every: 1m, aggregates: {n: sum(n)}, to: [paid]}}"
    config = gl.parse_config(f"{PAYMENTS}{batch}\n")
    gateway, ran = gl.Gateway(config), list[int]()

    @gateway.handler("payments")
    def pay(event: dict[str, Any]) -> dict[str, Any] | None:
        ran.append(event["n"])
        return event if event["n"] % 2 else None

    messages = capture_of(*(message({"n": n}, channel="payments") for n in range(6)))
    tuning = gl.tune(config, messages, {"batches.load.size": [1, 3]}, "batches", handlers=gateway)
    assert tuning.frame["batches"].to_list() == [2, 3, 1]
    assert ran == list(range(6))
