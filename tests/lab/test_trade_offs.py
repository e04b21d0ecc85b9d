from __future__ import annotations

import pytest

import gateway_lab as gl
from gateway_lab.errors import ReplayError

GRID = {"batches.load.size": [50, 500], "batches.load.every": ["1s", "5s", "30s"]}


@pytest.fixture(scope="module")
def capture() -> gl.Capture:
    return gl.generate_traffic("metrics", n=2_000, seed=3)


@pytest.fixture(scope="module")
def tuning(capture: gl.Capture) -> gl.Tuning:
    config = gl.read_config("data/metrics.yaml")
    return gl.tune(config, capture, GRID, "cost where latency_p99 <= 6s")


def test_every_point_is_drawn_once_in_the_colour_of_what_the_grid_varies(
    tuning: gl.Tuning,
) -> None:
    figure = gl.figures.trade_offs(tuning)
    clouds = [each for each in figure.data if each.mode == "markers"]
    assert sum(len(each.x) for each in clouds) == tuning.frame.height
    assert [each.name for each in clouds if each.showlegend] == ["1s", "5s", "30s"]
    assert len({each.marker.color for each in clouds}) == 3
    told = clouds[0].customdata[0]
    assert "<b>batches.load.every = 1s</b>" in told
    assert "latency_p99" in told


def test_points_that_miss_the_conditions_are_faint_and_the_condition_is_a_line(
    tuning: gl.Tuning,
) -> None:
    figure = gl.figures.trade_offs(tuning)
    faint = {each.name for each in figure.data if each.mode == "markers" and each.opacity < 0.5}
    assert faint == {"30s"}
    [limit] = figure.layout.shapes
    assert (limit.y0, limit.y1) == (6, 6)


def test_the_frontier_today_and_the_best_are_marked(tuning: gl.Tuning) -> None:
    drawn = {each.name: each for each in gl.figures.trade_offs(tuning).data}
    edge, best, today = drawn["frontier"], drawn["best"], drawn["today"]
    assert list(edge.x) == tuning.frontier["cost"].to_list()
    assert (best.x[0], best.y[0]) == (tuning.best_point["cost"], tuning.best_point["latency_p99"])
    assert (today.x[0], today.y[0]) == (tuning.today["cost"], tuning.today["latency_p99"])


def test_other_measures_can_be_traded_and_the_table_shows_them(tuning: gl.Tuning) -> None:
    figure = gl.figures.trade_offs(tuning, x="batches", y="latency_max")
    assert figure.layout.xaxis.title.text == "batches (batches)"
    assert figure.frame.columns == ["point", *GRID, "batches", "latency_max", "moved"]
    assert "that no other beats · looking for cost where latency_p99 <= 6s" in repr(figure)


def test_where_no_point_meets_the_conditions_all_are_faint_and_none_is_the_best(
    capture: gl.Capture,
) -> None:
    config = gl.read_config("data/metrics.yaml")
    tuning = gl.tune(config, capture, GRID, "cost where latency_p99 <= 1ms and cost < 1h")
    names = [each.name for each in gl.figures.trade_offs(tuning).data]
    assert "today" in names
    assert "best" not in names


def test_what_is_no_tuning_or_no_measure_is_told_so(tuning: gl.Tuning, capture: gl.Capture) -> None:
    with pytest.raises(ReplayError, match="no tuning"):
        gl.figures.trade_offs(capture)  # type: ignore[arg-type]
    with pytest.raises(ReplayError, match="did you mean 'latency_p99'"):
        gl.figures.trade_offs(tuning, x="latency_p999")
