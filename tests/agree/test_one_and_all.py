"""Deciding messages one at a time, as live does, and all at once, as a replay does, is the same."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_lab.captures.capture import Capture
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.messages.books import Outcome
from gateway_lab.offline.run import replay
from gateway_lab.routing.route import SourceRouter, compile_source
from gateway_lab.routing.sample import encode_event
from tests.captures.made import a_capture
from tests.examples import examples
from tests.routing.shop import config

ROUTERS = """
routers:
  first:
    source: orders
    match: first
    undecided: dead_letter
    routes:
      - {name: big, when: amount > 100, to: [kafka, rabbit, nats]}
      - {name: waste, when: kind = 'waste', to: [drop]}
      - {name: parked, when: kind = 'parked' or count > 1, to: [dead_letter]}
    unmatched: [redis]
  every:
    source: orders
    match: all
    routes:
      - {name: a, when: kind like 'a%', to: [nats, redis, converted]}
      - {name: b, when: "message.headers['x-user'] = 'u'", to: [redis, bare, person]}
      - {name: c, to: [kafka_fixed]}
    unmatched: drop
  types:
    source: mixed
    match: all
    undecided: continue
    routes:
      - {name: refunds, events: [Refund], when: reason = 'late', to: [redis]}
      - {name: both, when: tenant = 'acme', to: [kafka, bare]}
      - {name: orders, events: [Order], to: [rabbit]}
    unmatched: dead_letter
  lenient: {source: lenient, match: all, routes: [{name: l, to: [converted]}], unmatched: drop}
  raw:
    source: raw
    match: first
    routes: [{name: k, when: message.key = 'k', to: [redis]}]
    unmatched: [kafka_fixed]
"""


SHOP = config(ROUTERS)
PLACES = {
    "orders": ("stream", "kafka", "orders"),
    "mixed": ("edge", "nats", "mixed.eu"),
    "lenient": ("work", "rabbitmq", "lenient"),
    "raw": ("cache", "redis", "raw"),
}
NAMES = [
    "seq",
    "source",
    "router",
    "route",
    "target",
    "broker",
    "channel",
    "outcome",
    "reason",
    "key",
    "headers",
    "body",
]


@cache
def routers_of(config: GatewayConfig) -> dict[str, SourceRouter]:
    plan = compile_plan(config).plan
    assert plan is not None
    return {name: compile_source(plan, name) for name in plan.sources}


def one_by_one(
    config: GatewayConfig, capture: Capture, sources: list[str]
) -> list[tuple[Any, ...]]:
    """Decide each message by itself; row i of the capture belongs to source i."""
    routers = routers_of(config)
    rows = []
    for seq, source in zip(capture.frame.collect()["seq"], sources, strict=True):
        for each in routers[source].route(capture.message(seq)).deliveries:
            decided = {name: getattr(each, name) for name in NAMES[2:]}
            rows.append((seq, source, *decided.values()))
    return sorted(rows, key=str)


def all_at_once(config: GatewayConfig, capture: Capture) -> list[tuple[Any, ...]]:
    frame = replay(config, capture).deliveries(rendered=True).collect()
    return sorted((_row(each) for each in frame.select(NAMES).iter_rows(named=True)), key=str)


def _row(cells: dict[str, Any]) -> tuple[Any, ...]:
    headers = tuple((each["name"], each["value"]) for each in cells["headers"])
    return tuple((cells | {"headers": headers, "outcome": Outcome(cells["outcome"])}).values())


TEXTS = st.sampled_from(["acme", "t", "a.b", "", "x" * 70, "ü", "waste", "parked", "ab", "late"])
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "kind": TEXTS,
        "tenant": TEXTS,
        "name": TEXTS,
        "reason": TEXTS,
        "amount": st.sampled_from([1, 101.5, -0.0, None]),
        "count": st.sampled_from([0, 2, "2"]),
        "payload": st.sampled_from([{}, {"a": [1]}, []]),
    },
)
BODIES = EVENTS.map(encode_event) | st.sampled_from([None, b"", b"{", b"\xff", b"[]", b"null"])
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["x-type", "X-User", "x-user", "CC", "Nats-Rollup", "body", "a b", "x-gw-id"]
        ),
        st.sampled_from([b"order", b"refund", b"u", b"", b"\xff", b"a\nb"]),
    ).map(lambda pair: {"name": pair[0], "value": pair[1]}),
    max_size=3,
)
SENT = st.lists(
    st.tuples(
        st.sampled_from(sorted(PLACES)),
        BODIES,
        st.sampled_from([None, b"k", b"a.b", b"\xff", b"a\nb"]),
        HEADERS,
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(60))
@given(sent=SENT)
def test_any_messages_go_the_same_way(sent):
    sources = [source for source, *_ in sent]
    places = [PLACES[source] for source in sources]
    capture = a_capture(
        len(sent),
        broker=[broker for broker, _, _ in places],
        kind=[kind for _, kind, _ in places],
        channel=[channel for _, _, channel in places],
        body=[body for _, body, _, _ in sent],
        key=[key for _, _, key, _ in sent],
        headers=[headers for _, _, _, headers in sent],
    )
    assert all_at_once(SHOP, capture) == one_by_one(SHOP, capture, sources)
