from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway_lab.batches.batch import BatchMaker, batch_inputs
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.load import parse_config
from gateway_lab.config.plan import BatchPlan, Plan
from gateway_lab.events.decode import compile_decoder
from gateway_lab.rules.tree import Field

CONFIG = """
gateway_lab: 1
name: metrics
brokers: {stream: kafka}
events:
  Metric:
    type: object
    required: [ts, value]
    properties:
      ts: {type: string, format: date-time}
      value: {type: number}
      tags: {type: object, properties: {host: {type: string}}}
      extra: {}
      zones: {type: array, items: {type: string}}
sources:
  metrics: {broker: stream, channel: metrics, event: Metric}
targets:
  aggregated: {broker: stream, channel: aggregated-metrics}
batches:
  load:
    source: metrics
    size: 500
    every: 5s
    GROUP
    rows: {timestamp: "{ts}", value: "{value}", tags: "{tags}", extra: "{extra}", "on": "{tags.host}:1"}
    store: {database: metrics, table: metrics}
    aggregates:
      count: "count(*)"
      avg: "avg(value)"
      max: "max(value)"
      min: "min(value)"
      last: "max(ts)"
    to: [aggregated]
dead_letter: {broker: stream, channel: letters}
"""
AT = 1_767_600_000_000_000
MESSAGES: list[dict[str, Any]] = [
    {"ts": "2026-01-05T08:00:00Z", "value": 1, "tags": {"host": "b"}},
    {"ts": "2026-01-05T08:00:01Z", "value": 4.5, "tags": {"host": "a", "more": [1]}},
    {"ts": "2026-01-05T08:00:02Z", "value": 2.0, "tags": {"host": "b"}},
    {"ts": "2026-01-05T08:00:03Z", "value": 8.0},
]


def plan_of(group_by: str) -> Plan:
    compiled = compile_plan(parse_config(CONFIG.replace("GROUP", group_by)))
    assert compiled.plan is not None, compiled.findings
    return compiled.plan


def maker_of(plan: Plan) -> tuple[BatchMaker, list[tuple[Any, ...]]]:
    """Return the maker of the batch and the values of the messages as it takes them."""
    batch, event_type = plan.batches["load"], plan.sources["metrics"].event_types["Metric"]
    paths = [each.path for each in batch_inputs(batch) if isinstance(each, Field)]
    decoder = compile_decoder(event_type, paths)
    bodies = [json.dumps(message, separators=(",", ":")).encode() for message in MESSAGES]
    return BatchMaker(batch, event_type), [decoder.decode(body) for body in bodies]


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    maker, messages = maker_of(plan)
    return [dict(zip(maker.columns, maker.row(values), strict=True)) for values in messages]


def bodies_of(plan: Plan) -> list[dict[str, Any]]:
    maker, messages = maker_of(plan)
    return [json.loads(group.body) for group in maker.groups(messages)]


def test_each_message_is_a_row_of_timestamp_value_and_tags_or_an_empty_object() -> None:
    rows = rows_of(plan_of("group_by: {host: '{tags.host}'}"))
    assert rows[0] == {
        "timestamp": AT,
        "value": 1.0,
        "tags": b'{"host":"b"}',
        "extra": None,
        "on": "b:1",
    }
    assert isinstance(rows[0]["value"], float)
    assert rows[1]["tags"] == b'{"host":"a","more":[1]}'
    assert rows[3]["tags"] == b"{}"
    assert rows[3]["on"] is None


def test_a_group_is_one_message_of_its_key_and_its_aggregates() -> None:
    bodies = bodies_of(plan_of("group_by: {host: '{tags.host}'}"))
    assert bodies == [
        {
            "host": "b",
            "count": 2,
            "avg": 1.5,
            "max": 2.0,
            "min": 1.0,
            "last": "2026-01-05T08:00:02Z",
        },
        {
            "host": "a",
            "count": 1,
            "avg": 4.5,
            "max": 4.5,
            "min": 4.5,
            "last": "2026-01-05T08:00:01Z",
        },
        {
            "host": None,
            "count": 1,
            "avg": 8.0,
            "max": 8.0,
            "min": 8.0,
            "last": "2026-01-05T08:00:03Z",
        },
    ]


def test_a_batch_without_group_by_is_one_group() -> None:
    (body,) = bodies_of(plan_of(""))
    assert (body["count"], body["avg"], body["max"], body["min"]) == (4, 3.875, 8.0, 1.0)


@pytest.mark.parametrize("key", ["{zones}", "{value > 3}", "{tags}", "{year(ts)}-{tags.host}"])
def test_anything_may_be_a_group(key: str) -> None:
    bodies = bodies_of(plan_of(f"group_by: {{host: '{key}'}}"))
    assert sum(body["count"] for body in bodies) == len(MESSAGES)


def test_a_group_knows_its_members_and_its_message_is_a_valid_event() -> None:
    plan = plan_of("group_by: {host: '{tags.host}'}")
    maker, messages = maker_of(plan)
    batch: BatchPlan = plan.batches["load"]
    groups = maker.groups(messages)
    assert [group.members for group in groups] == [(0, 2), (1,), (3,)]
    decoder = compile_decoder(batch.output, [field.path for field in maker.outputs])
    assert [decoder.decode(group.body) for group in groups] == [group.values for group in groups]


def test_an_empty_batch_has_no_groups() -> None:
    maker, _ = maker_of(plan_of(""))
    assert maker.groups([]) == ()


def test_the_batch_that_ships_is_the_one_of_the_article() -> None:
    text = (Path(__file__).parents[2] / "data" / "metrics.yaml").read_text()
    plan = compile_plan(parse_config(text)).plan
    assert plan is not None
    maker = BatchMaker(plan.batches["load"], plan.sources["metrics"].event_types["Metric"])
    assert set(maker.columns) == {"timestamp", "value", "tags"}
    assert {field.path[0] for field in maker.outputs} == {"host", "count", "avg", "max", "min"}
