"""A config with private fields, and messages for it."""

from __future__ import annotations

from typing import Any

import gateway_lab as gl
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.judge import Judge
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan
from tests.captures.made import a_capture

CONFIG = """
gateway_lab: 1
name: shop
brokers: {stream: kafka, work: rabbitmq}
events:
  Order:
    type: object
    required: [id]
    properties:
      id: {type: integer}
      email: {type: [string, "null"], x-private: true}
      total: {type: number, x-private: true}
      at: {type: string, format: date-time, x-private: true}
      notes: {type: array, items: {type: string, x-private: true}}
      customer:
        type: object
        properties: {name: {type: string, x-private: true}, city: {type: string}}
      address: {type: object, x-private: true}
  Visit:
    type: object
    required: [page]
    properties: {page: {type: string}}
sources:
  orders:
    broker: stream
    channel: orders
    event: Order
    private: {key: true, headers: [X-User]}
  visits: {broker: work, channel: visits, event: Visit}
  mixed:
    broker: stream
    channel: mixed
    event: {by: "message.headers['type']", types: {order: Order, visit: Visit}}
targets: {all: {broker: stream, channel: all}}
routers:
  everything: {source: orders, match: all, routes: [{name: all, to: [all]}], unmatched: drop}
"""


def config() -> GatewayConfig:
    """Read the config."""
    return gl.parse_config(CONFIG)


def plan() -> Plan:
    """Compile the config."""
    compiled = compile_plan(config())
    assert compiled.plan is not None, compiled.findings
    return compiled.plan


def judge() -> Judge:
    """Make a judge of raw messages."""
    return Judge(plan(), {}, is_handled=False)


def messages(channel: str, *bodies: bytes | None, **columns: Any) -> Capture:
    """Make a capture of bodies on one channel of `stream`, without keys and headers."""
    n = len(bodies)
    plain: dict[str, Any] = {"channel": [channel] * n, "key": [None] * n, "headers": [[]] * n}
    return a_capture(n, body=list(bodies), **(plain | columns))
