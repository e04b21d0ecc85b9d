"""A small config and captures made by hand: what the tests of this room share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS, CaptureMetadata
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.offline.cache import CACHE

SHOP = """
gateway_lab: 1
name: shop
brokers: {stream: kafka, work: rabbitmq, edge: nats}
events:
  Order:
    type: object
    required: [priority, tenant]
    properties:
      priority: {enum: [low, high, critical]}
      tenant: {type: string, x-private: true}
      amount: {type: number}
sources:
  orders: {broker: stream, channel: orders, event: Order}
  done: {broker: work, channel: done, event: Order, handler: {returns: Order}}
targets:
  pager: {broker: work, channel: "pager.{tenant}", key: "{tenant}"}
  bulk: {broker: edge, channel: bulk}
  audit: {broker: stream, channel: audit, max_channels: 1}
routers:
  by_priority:
    source: orders
    match: first
    routes:
      - {name: critical, when: "priority = 'critical' or amount > 1000", to: [pager]}
      - {name: high, when: "priority = 'high'", to: [bulk]}
    unmatched: drop
  everything: {source: orders, match: all, routes: [{name: all, to: [audit]}], unmatched: drop}
  by_done: {source: done, match: all, routes: [{name: all, to: [audit]}], unmatched: drop}
dead_letter: {broker: stream, channel: "dead.{message.source}"}
"""
START = datetime(2026, 3, 2, 8, tzinfo=UTC)

MakeCapture = Callable[..., Capture]


@pytest.fixture
def shop() -> GatewayConfig:
    return parse_config(SHOP)


@pytest.fixture(autouse=True)
def _nothing_is_known_yet() -> Iterator[None]:
    CACHE.clear()
    yield
    CACHE.clear()


def message(event: Any = None, **columns: Any) -> dict[str, Any]:
    """Make a row of a capture: an event (or `body`) on the channel of the orders."""
    body = None if event is None else json.dumps(event).encode()
    return {"broker": "stream", "kind": "kafka", "channel": "orders", "body": body, **columns}


def order(priority: str, tenant: str = "acme", **fields: Any) -> dict[str, Any]:
    return {"priority": priority, "tenant": tenant, **fields}


@pytest.fixture
def capture_of() -> MakeCapture:
    def make(*messages: dict[str, Any], **metadata: Any) -> Capture:
        rows = [
            {
                "seq": seq,
                "received": START + timedelta(seconds=seq),
                "timestamp": None,
                "partition": "0",
                "position": str(seq),
                "key": None,
                "headers": None,
                **each,
            }
            for seq, each in enumerate(messages)
        ]
        frame = pl.DataFrame(rows, schema=dict(COLUMNS))
        return Capture(frame.lazy(), CaptureMetadata(messages=len(rows), **metadata))

    return make


@pytest.fixture
def five(capture_of: MakeCapture) -> Capture:
    """Critical, high, low, a dear low one, and one that is no order."""
    return capture_of(
        message(order("critical")),
        message(order("high", amount=1.0)),
        message(order("low", amount=2.0)),
        message(order("low", amount=2000.0)),
        message({"priority": "urgent", "tenant": "acme"}),
    )
