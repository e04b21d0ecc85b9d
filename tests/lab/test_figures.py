from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

import gateway_lab as gl
from gateway_lab.errors import CaptureError, ReplayError
from gateway_lab.lab import figures
from gateway_lab.lab.palette import COLOURS, colours

START = datetime(2026, 3, 2)
FLOW = pl.DataFrame(
    {
        "source": ["business"] * 3,
        "router": ["by_priority"] * 3,
        "route": ["critical", None, None],
        "target": ["critical", "low", "low"],
        "outcome": ["delivered", "delivered", "dead_lettered"],
        "deliveries": [3, 40, 1],
    }
)
TIMES = pl.DataFrame(
    {
        "time": [START, START, START + timedelta(minutes=1)],
        "target": ["low", "critical", "low"],
        "outcome": ["delivered"] * 3,
        "deliveries": [4, 1, 6],
    }
)


CONFIG = """\
gateway_lab: 1
name: shop
brokers: {stream: kafka}
events: {Event: {type: object, properties: {priority: {enum: [low, medium, high, critical]}}}}
sources: {business: {broker: stream, channel: business-events, event: Event}}
targets:
  audit: {broker: stream, channel: audit-log}
  high: {broker: stream, channel: high-priority}
  rest: {broker: stream, channel: the-rest}
routers:
  by_priority:
    source: business
    match: first
    routes: [{name: high, when: "priority = 'high'", to: [high]}]
    unmatched: [rest]
dead_letter: {broker: stream, channel: dead-letters}
"""


@pytest.fixture(scope="module")
def capture() -> gl.Capture:
    return gl.generate_traffic("business", n=500)


@pytest.fixture(scope="module")
def replay(capture: gl.Capture) -> gl.Replay:
    return gl.replay(gl.parse_config(CONFIG), capture)


def test_a_flow_shows_every_delivery_and_says_how_many() -> None:
    figure = figures.flow(FLOW)
    links = figure.data[0].link
    assert links.value == (44, 3, 3, 41, 40, 1)
    assert repr(figure).startswith("44 deliveries, from their source to their target\n")
    assert figure.frame["target"].to_list() == ["critical", "low", "dead_letter"]


def test_an_invalid_message_passes_no_route() -> None:
    row = {"source": "a", "router": None, "route": None, "target": "dead_letter"}
    frame = pl.DataFrame([row | {"outcome": "dead_lettered", "deliveries": 2}], FLOW.schema)
    assert figures.flow(frame).data[0].node.label == ("a", "invalid", "dead_letter")


def test_what_a_target_refuses_ends_as_a_dead_letter() -> None:
    frame = TIMES.with_columns(outcome=pl.lit("dead_lettered"))
    assert [line.name for line in figures.over_time(frame).data] == ["dead_letter"]


def test_a_target_keeps_its_colour_when_a_figure_does_not_show_the_others(
    replay: gl.Replay,
) -> None:
    flow = figures.flow(replay).data[0].node
    shown = dict(zip(flow.label, flow.color, strict=True))
    lines = figures.over_time(replay, every="1h").data
    assert "audit" not in shown
    chosen = colours(["audit", "high", "rest"])
    assert shown["rest"] == chosen["rest"] in COLOURS
    assert {line.name: line.line.color for line in lines} == {
        name: chosen[name] for name in ("dead_letter", "high", "rest")
    }


def test_a_figure_of_a_replay_shows_all_of_its_deliveries(replay: gl.Replay) -> None:
    assert figures.flow(replay).frame["deliveries"].sum() == 500
    assert figures.over_time(replay, every="1h").frame["deliveries"].sum() == 500


def test_rates_are_stacked_by_target_in_the_order_of_their_names() -> None:
    figure = figures.over_time(TIMES)
    assert [line.name for line in figure.data] == ["critical", "low"]


def test_no_count_of_a_replay_reaches_into_a_step_without_messages(replay: gl.Replay) -> None:
    figure = figures.over_time(replay, every="1m")
    counted = figure.frame.group_by("time").agg(pl.col("deliveries").sum()).height
    drawn = [sum(of) for of in zip(*(line.y for line in figure.data), strict=True)]
    assert sum(number > 0 for number in drawn) == counted < len(drawn)
    assert drawn[-1] == 0


def test_the_axis_of_a_replay_s_rates_names_the_step(replay: gl.Replay) -> None:
    figure = figures.over_time(replay, every="1h")
    assert figure.layout.yaxis.title.text == "deliveries in 1h"


def test_a_diff_shows_what_does_not_stay_the_same(capture: gl.Capture) -> None:
    old = gl.parse_config(CONFIG)
    new = old.edit_route("by_priority", "high", when="priority in ('high', 'critical')")
    result = gl.diff(old, new, capture)
    figure = figures.diff_flow(result)
    assert figure.data[0].node.label == ("by_priority", "rest", "high")
    chosen = colours(["audit", "high", "rest"])
    assert figure.data[0].node.color[1:] == (chosen["rest"], chosen["high"])
    assert figure.frame["messages"].sum() == result.summary()["moved"].sum() > 0


def test_the_longest_bar_is_on_top_and_parts_are_stacked() -> None:
    frame = pl.DataFrame(
        {
            "channel": ["a", "b", "b"],
            "outcome": ["delivered", "delivered", "dropped"],
            "n": [5, 4, 2],
        }
    )
    figure = figures.distribution(frame, x="n", y="channel", colour="outcome")
    assert figure.layout.yaxis.categoryarray == ("b", "a")
    assert figure.layout.barmode == "stack"
    assert {bar.name: bar.y for bar in figure.data} == {"delivered": ("a", "b"), "dropped": ("b",)}


def test_a_diff_shows_what_goes_nowhere() -> None:
    frame = pl.DataFrame({"router": ["r"], "old": [None], "new": ["low"], "messages": [7]})
    figure = figures.diff_flow(frame.lazy())
    assert figure.data[0].node.label == ("r", "nowhere", "low")
    assert figure.layout.title.text == "7 deliveries do not stay the same"


def test_an_aggregate_of_batches_is_a_line_a_group() -> None:
    frame = pl.DataFrame(
        {
            "host": ["b", "a", "a"],
            "closed": [START, START, START + timedelta(seconds=5)],
            "avg": [1.0, 2, 3],
        }
    )
    figure = figures.batches(frame, y="avg", by="host")
    assert [(line.name, line.y) for line in figure.data] == [("a", (2, 3)), ("b", (1,))]
    assert len(figures.batches(frame, y="avg").data) == 1


def test_a_frame_without_the_column_is_refused_with_a_hint() -> None:
    with pytest.raises(ReplayError, match="no column 'deliveries'\nhint: did you mean 'delivery'"):
        figures.flow(FLOW.rename({"deliveries": "delivery"}))


def test_where_nothing_is_there_a_figure_says_so() -> None:
    """Plotly draws a flow without ways as a panel of errors."""
    moves = pl.DataFrame(schema=["router", "old", "new", "messages"]).cast({"messages": pl.Int64})
    drawn = figures.flow(FLOW.clear()), figures.over_time(TIMES.clear()), figures.diff_flow(moves)
    assert drawn[0].layout.title.text.startswith("0 deliveries")
    for figure in drawn:
        assert len(figure.data) == 0
        assert figure.layout.annotations[0].text == "nothing to show"


def test_one_is_not_many() -> None:
    assert figures.flow(FLOW.head(1)).layout.title.text.startswith("3 deliveries, from")
    one = FLOW.tail(1)
    assert figures.flow(one).layout.title.text.startswith("1 delivery, from")


def test_of_very_many_bars_the_longest_are_drawn_and_named_and_the_figure_says_so() -> None:
    frame = pl.DataFrame({"channel": [f"c{n:03}" for n in range(200)], "n": range(200)})
    figure = figures.distribution(frame, x="n", y="channel", title="Channels")
    [bars] = figure.data
    assert figure.layout.title.text == "Channels<br><sub>the 40 longest of 200</sub>"
    assert len(bars.y) == len(figure.layout.yaxis.ticktext) == 40
    assert figure.layout.yaxis.ticktext[0] == "c199"
    assert figure.frame.height == 200


def test_bars_whose_names_are_cut_alike_stay_apart() -> None:
    names = [f"{'a' * 60}{middle}{'z' * 60}" for middle in "bc"]
    frame = pl.DataFrame({"channel": names, "n": [2, 1]})
    figure = figures.distribution(frame, x="n", y="channel")
    assert len(set(figure.layout.yaxis.ticktext)) == 1
    assert list(figure.data[0].y) == list(figure.layout.yaxis.tickvals) == names


def test_the_volume_of_a_capture_is_counted_by_channel_and_step() -> None:
    capture = gl.generate_traffic("users", n=500, seed=3)
    drawn = figures.volume(capture, every="6h")
    assert drawn.frame.columns == ["time", "channel", "messages"]
    assert drawn.frame["messages"].sum() == 500
    assert [trace.name for trace in drawn.data] == [
        "user-events of cache",
        "user-events of stream",
        "user.events",
        "user.queue",
    ]
    assert drawn.layout.yaxis.title.text == "messages in 6h"


def test_a_step_that_is_no_time_is_refused() -> None:
    with pytest.raises(ReplayError, match="like 10s"):
        figures.volume(gl.generate_traffic("users", n=5, seed=3), every="often")


@pytest.mark.parametrize("draw", [figures.flow, figures.over_time])
def test_a_figure_of_a_replay_says_that_it_takes_one(draw: Any, capture: gl.Capture) -> None:
    with pytest.raises(ReplayError, match=r"this is a Capture, and no replay\n.*gl\.replay\("):
        draw(capture)


def test_a_figure_of_a_diff_says_that_it_takes_one(replay: gl.Replay) -> None:
    with pytest.raises(ReplayError, match=r"this is a Replay, and no diff\n.*gl\.diff\("):
        figures.diff_flow(replay)  # type: ignore[arg-type]


def test_a_figure_of_a_frame_says_that_it_takes_one(replay: gl.Replay) -> None:
    with pytest.raises(ReplayError, match=r"this is a Replay, and no frame"):
        figures.distribution(replay, x="messages", y="channel")  # type: ignore[arg-type]
    with pytest.raises(ReplayError, match=r"this is a Replay, and no frame"):
        figures.batches(replay, y="avg")  # type: ignore[arg-type]


def test_the_volume_of_what_is_no_capture_is_refused(replay: gl.Replay) -> None:
    with pytest.raises(CaptureError, match=r"this is a Replay, and no capture"):
        figures.volume(replay)  # type: ignore[arg-type]


def test_bars_of_targets_have_the_colours_that_targets_have_elsewhere() -> None:
    frame = pl.DataFrame({"target": ["low", "high", "dead_letter"], "deliveries": [3, 2, 1]})
    chosen = colours(frame["target"])
    bars = figures.distribution(frame, x="deliveries", y="target").data[0]
    assert list(bars.marker.color) == [chosen[name] for name in frame["target"]]
    others = figures.distribution(frame.rename({"target": "channel"}), x="deliveries", y="channel")
    assert isinstance(others.data[0].marker.color, str)
