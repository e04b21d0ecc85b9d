"""A small config, and messages for it, that the tests of this room share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.config.plan import Plan
from gateway_lab.messages.message import Message
from gateway_lab.routing.route import compile_source
from gateway_lab.routing.routed import Routed

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)

SHOP = """
gateway_lab: 1
name: shop
settings: {prefix: {type: string, value: "shop."}}
brokers: {stream: kafka, work: rabbitmq, edge: nats, cache: redis, here: memory}
events:
  Order:
    type: object
    required: [kind]
    properties:
      kind: {type: string}
      tenant: {type: string}
      name: {type: string, x-private: true}
      amount: {type: number}
      count: {type: integer}
      payload: {type: object}
  Refund:
    type: object
    required: [reason]
    properties: {reason: {type: string}, tenant: {type: string}}
sources:
  orders: {broker: stream, channel: orders, event: Order, private: {headers: [x-user]}}
  mixed:
    broker: edge
    pattern: mixed.*
    event: {by: "message.headers['x-type']", types: {order: Order, refund: Refund}}
  lenient: {broker: work, channel: lenient, event: Order, on_invalid: drop}
  raw: {broker: cache, channel: raw}
targets:
  kafka: {broker: stream, channel: "{settings.prefix}{tenant}"}
  kafka_fixed: {broker: stream, channel: fixed}
  rabbit: {broker: work, channel: "work.{tenant}.{kind}", key: "{tenant}"}
  nats: {broker: edge, channel: "edge.{tenant}"}
  redis: {broker: cache, channel: cache}
  person: {broker: here, channel: "person.{name}"}
  converted:
    broker: here
    channel: converted
    key: "{count}"
    pass_headers: [X-Request-Id]
    headers: {Source: "{message.source}", Tenant: "{tenant}", x-user: gateway}
    body: {id: "{kind}-{count}", payload: "{payload}", total: "{amount}"}
  bare: {broker: edge, channel: bare, pass_headers: none, headers: {tenant: "{tenant}"}}
ROUTERS
dead_letter: {broker: stream, channel: "dead.{message.source}.{message.key}"}
"""

ROUTERS = """
routers:
  first:
    source: orders
    match: first
    routes:
      - {name: big, when: amount > 100, to: [kafka, rabbit]}
      - {name: waste, when: kind = 'waste', to: [drop]}
      - {name: parked, when: kind = 'parked', to: [dead_letter]}
    unmatched: [redis]
  every:
    source: orders
    match: all
    routes:
      - {name: a, when: kind like 'a%', to: [kafka, redis]}
      - {name: b, when: kind like '%b', to: [redis, rabbit]}
      - {name: off, to: [converted], enabled: false}
    unmatched: drop
"""


def config(routers: str = ROUTERS) -> GatewayConfig:
    return parse_config(SHOP.replace("ROUTERS", routers.strip()))


def plan(routers: str = ROUTERS) -> Plan:
    compiled = compile_plan(config(routers))
    assert compiled.plan is not None, compiled.findings
    return compiled.plan


def one_route(target: str, *, source: str = "orders", when: str = "") -> Plan:
    """A plan whose only router sends everything to one target."""
    condition = f"when: {when}, " if when else ""
    return plan(
        f"""
routers:
  only:
    source: {source}
    match: first
    routes: [{{name: all, {condition}to: [{target}]}}]
    unmatched: drop
"""
    )


def message(event: Any = None, *, body: bytes | None = None, **parts: Any) -> Message:
    written = msgspec.json.encode(event) if event is not None else body
    return Message(body=written, received=RECEIVED, **parts)


def route(plan: Plan, sent: Message, source: str = "orders") -> Routed:
    return compile_source(plan, source).route(sent)
