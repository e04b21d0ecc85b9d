from __future__ import annotations

import pytest

import gateway_lab as gl
from gateway_lab.captures.binding import bind
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.plan import SourcePlan
from gateway_lab.errors import ReplayError

CONFIG = """
gateway_lab: 1
name: binding
brokers: {stream: kafka, other: kafka, edge: nats}
sources:
  orders: {broker: stream, channel: orders}
  copies: {broker: other, channel: orders}
  again: {broker: stream, channel: orders}
  all_metrics: {broker: edge, pattern: "metrics.>"}
targets: {all: {broker: stream, channel: all}}
routers:
  r: {source: orders, match: all, routes: [{name: all, to: [all]}], unmatched: drop}
"""


@pytest.fixture
def sources() -> dict[str, SourcePlan]:
    plan = compile_plan(gl.parse_config(CONFIG)).plan
    assert plan is not None
    return dict(plan.sources)


def readers(sources: dict[str, SourcePlan], *place: str, **told: str) -> set[str]:
    broker, protocol, channel = place
    bound = bind(sources, ((broker, protocol, channel),), told)
    return {name for name, numbers in bound.items() if numbers}


def test_alias_and_channel_come_first(sources: dict[str, SourcePlan]) -> None:
    assert readers(sources, "stream", "kafka", "orders") == {"orders", "again"}
    assert readers(sources, "other", "kafka", "orders") == {"copies"}


def test_protocol_and_channel_come_second(sources: dict[str, SourcePlan]) -> None:
    assert readers(sources, "prod", "kafka", "orders") == {"orders", "copies", "again"}


def test_another_protocol_or_channel_is_nobodys(sources: dict[str, SourcePlan]) -> None:
    assert readers(sources, "prod", "nats", "orders") == set()
    assert readers(sources, "stream", "kafka", "elsewhere") == set()


def test_patterns_are_their_protocols(sources: dict[str, SourcePlan]) -> None:
    assert readers(sources, "edge", "nats", "metrics.cpu.1") == {"all_metrics"}
    assert readers(sources, "edge", "nats", "metrics") == set()


def test_what_is_told_wins_for_that_source(sources: dict[str, SourcePlan]) -> None:
    assert readers(sources, "x", "nats", "y", orders="nats:y") == {"orders"}
    assert readers(sources, "stream", "kafka", "orders", orders="nats:y") == {"again"}


def test_a_source_that_does_not_exist_is_told(sources: dict[str, SourcePlan]) -> None:
    with pytest.raises(ReplayError, match="did you mean 'orders'"):
        bind(sources, (), {"order": "kafka:x"})


def test_a_place_without_a_broker_is_told(sources: dict[str, SourcePlan]) -> None:
    with pytest.raises(ReplayError, match="write it like 'kafka:business-events'"):
        bind(sources, (), {"orders": "x"})
