from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ReplayError
from gateway_lab.offline.run import replay
from tests.offline.conftest import START, MakeCapture, message

METRICS = """
gateway_lab: 1
name: metrics
brokers: {stream: kafka}
events:
  Metric:
    type: object
    required: [value]
    properties: {value: {type: number}, host: {type: string}}
sources:
  metrics: {broker: stream, channel: metrics, event: Metric}
targets:
  sums: {broker: stream, channel: sums}
batches:
  load:
    source: metrics
    size: 3
    every: 10s
    group_by: {host: "{host}"}
    rows: {value: "{value}"}
    aggregates: {count: "count(*)", avg: "avg(value)", max: "max(value)"}
    to: [sums]
dead_letter: {broker: stream, channel: dead}
"""
CONFIG: GatewayConfig = parse_config(METRICS)


def metric(value: Any, host: str | None = "a", **columns: Any) -> dict[str, Any]:
    event = {"value": value} if host is None else {"value": value, "host": host}
    return message(event, channel="metrics", **columns)


def load(capture_of: MakeCapture, *messages: dict[str, Any]) -> pl.DataFrame:
    return replay(CONFIG, capture_of(*messages)).batches("load")


def test_a_batch_closes_when_it_is_full_and_each_group_is_a_row(capture_of: MakeCapture) -> None:
    frame = load(capture_of, metric(1), metric(2), metric(6, "b"), metric(8))
    assert frame.columns == [
        *("batch", "partition", "opened", "closed", "windows", "messages"),
        *("host", "avg", "count", "max"),
    ]
    assert frame.select("batch", "host", "messages", "count", "avg", "max").rows() == [
        (0, "a", 2, 2, 1.5, 2.0),
        (0, "b", 1, 1, 6.0, 6.0),
        (1, "a", 1, 1, 8.0, 8.0),
    ]
    assert frame["opened"].to_list() == [START, START, START + timedelta(seconds=3)]
    assert frame["closed"].to_list()[0] == START + timedelta(seconds=2)


def test_a_batch_closes_before_a_message_that_comes_too_late(capture_of: MakeCapture) -> None:
    late = metric(2, received=START + timedelta(seconds=10))
    assert load(capture_of, metric(1), late)["batch"].to_list() == [0, 1]


def test_the_time_of_a_message_is_its_own_where_it_has_one(capture_of: MakeCapture) -> None:
    times = [START, START + timedelta(seconds=11)]
    frame = load(capture_of, *(metric(1, timestamp=time) for time in times))
    assert frame["batch"].to_list() == [0, 1]


def test_two_channels_have_batches_of_their_own(capture_of: MakeCapture) -> None:
    both = "from: [{broker: stream, channel: metrics}, {broker: stream, channel: more}]"
    config = parse_config(METRICS.replace("broker: stream, channel: metrics", both, 1))
    at_once = [metric(1, received=START), metric(2, received=START) | {"channel": "more"}]
    frame = replay(config, capture_of(*at_once)).batches("load")
    assert frame.select("batch", "messages", "max").rows() == [(0, 1, 1.0), (1, 1, 2.0)]


def test_each_partition_has_batches_of_its_own(capture_of: MakeCapture) -> None:
    found = load(capture_of, *(metric(n, partition=str(n % 2)) for n in range(4)))
    assert found.select("batch", "partition", "messages", "max").rows() == [
        (0, "0", 2, 2.0),
        (1, "1", 2, 3.0),
    ]


def test_messages_that_are_not_valid_or_not_of_the_source_are_in_no_batch(
    capture_of: MakeCapture,
) -> None:
    frame = load(capture_of, metric("1"), message({"value": 1}), metric(2, None))
    assert frame.select("host", "count", "avg").rows() == [(None, 1, 2.0)]


def test_without_messages_there_are_the_columns(capture_of: MakeCapture) -> None:
    frame = load(capture_of)
    assert frame.height == 0
    assert frame.schema["avg"] == pl.Float64


def test_batches_over_a_large_capture_hold_every_message_once(capture_of: MakeCapture) -> None:
    values = [float(n) for n in range(1000)]
    frame = load(capture_of, *(metric(value, f"h{value % 7}") for value in values))
    assert frame["messages"].sum() == 1000
    sums = (frame["avg"] * frame["count"]).to_list()
    assert math.isclose(math.fsum(sums), math.fsum(values))


def test_what_a_gateway_stored_is_cut_as_it_was_stored(capture_of: MakeCapture) -> None:
    capture = capture_of(*(metric(n, partition="0", position=str(n)) for n in range(9)))
    place = "metrics/load/metrics/stream/metrics/0"
    guards = pl.DataFrame(
        [(place, 1, 2), (place, 3, 6), ("else/load", 0, 9)],
        schema=["place", "first", "last"],
        orient="row",
    )
    frame = replay(CONFIG, capture).batches("load", guards=guards)
    assert frame.select("windows", "messages", "max").rows() == [
        ("simulated", 1, 0.0),
        ("recorded", 2, 2.0),
        ("recorded", 4, 6.0),
        ("simulated", 2, 8.0),
    ]


def test_guards_without_their_columns_are_refused(capture_of: MakeCapture) -> None:
    with pytest.raises(ReplayError, match="no column 'first'"):
        replay(CONFIG, capture_of(metric(1))).batches("load", guards=pl.DataFrame({"place": ["a"]}))
