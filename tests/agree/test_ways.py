"""The two ways of a message agree: one after the other in Python, and a capture in Polars.

Random configs (event types, rules, templates, all protocols) over random messages (invalid
bodies, odd keys and headers): decisions, deliveries and the bytes that are written.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS, CaptureMetadata
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.rows import message_of
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import read_config
from gateway_lab.config.plan import Plan
from gateway_lab.errors import RuleError
from gateway_lab.events.event_type import Schema
from gateway_lab.events.schema import read_event_type
from gateway_lab.findings import Severity
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.route import SourceRouter, compile_source
from gateway_lab.rules.types import Scope, resolve
from gateway_lab.testing.awkward import INTEGERS, NUMBERS, TEXTS
from gateway_lab.testing.strategies import conditions, seeds

EXAMPLES = max(15, int(os.environ.get("AGREE_PAIRS", "0")) // 4000)
"""Configs tried, 120 messages each; with AGREE_PAIRS=2000000 five hundred."""

_SCALARS: dict[str, dict[str, Any]] = {
    "t": {"type": "string"},
    "b": {"type": "boolean"},
    "i": {"type": "integer"},
    "n": {"type": "number"},
    "ts": {"type": "string", "format": "date-time"},
}
FIRST = {
    "type": "object",
    "required": ["t", "i"],
    "properties": {
        **_SCALARS,
        "t2": {"type": ["string", "null"]},
        "e": {"enum": ["low", "high", "a"]},
        "o": {"type": "object", "properties": {"n": {"type": "number"}, "t": {"type": "string"}}},
        "list_t": {"type": "array", "items": {"type": "string"}},
        "opaque": {"type": "object"},
    },
}
SECOND = {
    "type": "object",
    "properties": {"t": {"type": "string"}, "i": {"type": "integer"}, "x": {"type": "number"}},
}
TYPES = {
    "First": read_event_type("First", FIRST),
    "Second": read_event_type("Second", SECOND),
}
SOURCES: dict[str, dict[str, Any]] = {
    "typed": {"broker": "stream", "channel": "typed", "event": "First"},
    "chosen": {
        "broker": "work",
        "channel": "chosen",
        "event": {"by": "message.headers['kind']", "types": {"1": "First", "2": "Second"}},
        "on_invalid": "drop",
    },
    "bare": {"broker": "edge", "channel": "bare"},
}
SCOPES = {
    "typed": Scope({"First": TYPES["First"]}, {}),
    "chosen": Scope(TYPES, {}),
    "bare": Scope({}, {}),
}
TEMPLATES = {
    "typed": ("{t}", "{i}", "{e}", "{t2}", "{message.key}", "{message.headers['kind']}", "{b}"),
    "chosen": ("{t}", "{i}", "{message.key}", "{message.channel}"),
    "bare": ("{message.key}", "{message.source}", "{message.headers['kind']}"),
}
BODIES: dict[str, tuple[Any, ...]] = {
    "typed": (
        None,
        {"x": "{n}", "y": ["{ts}", "{o.n * 2}", {"z": "{list_t}"}], "o": "{opaque}"},
        "{t}",
        {"sum": "{i + 1}", "text": "is {t}!"},
    ),
    "chosen": (None, {"t": "{t}", "at": "{message.received}"}),
    "bare": (None, {"key": "{message.key}", "text": "plain {{}}"}),
}


# --- configs ---


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    targets: dict[str, Any] = {}
    routers: dict[str, Any] = {}
    for source in SOURCES:
        names = [f"{source}_{number}" for number in range(draw(st.integers(1, 3)))]
        targets |= {name: draw(target_of(source)) for name in names}
        for number in range(draw(st.integers(1, 2))):
            routers[f"{source}_router_{number}"] = draw(router_of(source, names))
    return {
        "name": "random",
        "brokers": {"stream": "kafka", "work": "rabbitmq", "edge": "nats", "cache": "redis"},
        "events": {"First": FIRST, "Second": SECOND},
        "sources": SOURCES,
        "targets": targets,
        "routers": routers,
        "dead_letter": {"broker": "stream", "channel": draw(st.sampled_from(LETTERS))},
    }


LETTERS = ("dead.{message.source}", "dead.{message.key}", "dead.{message.headers['kind']}")


@st.composite
def target_of(draw: st.DrawFn, source: str) -> dict[str, Any]:
    template = st.sampled_from(TEMPLATES[source])
    target: dict[str, Any] = {
        "broker": draw(st.sampled_from(("stream", "work", "edge", "cache"))),
        "channel": draw(st.just("fixed") | template.map("to.".__add__)),
        "pass_headers": draw(st.sampled_from(("all", "none", ["kind", "X-Odd"]))),
        "headers": draw(st.dictionaries(st.sampled_from(("kind", "added")), template, max_size=2)),
        "body": draw(st.sampled_from(BODIES[source])),
    }
    if draw(st.booleans()):
        target["key"] = draw(template)
    return target


@st.composite
def router_of(draw: st.DrawFn, source: str, targets: list[str]) -> dict[str, Any]:
    ends = st.sampled_from(("drop", "dead_letter"))
    to = st.lists(st.sampled_from(targets), min_size=1, max_size=3, unique=True)
    routes = []
    for number in range(draw(st.integers(1, 9))):
        route: dict[str, Any] = {
            "name": f"route_{number}",
            "to": draw(to | ends.map(lambda e: [e])),
        }
        is_about_one = source == "chosen" and draw(st.integers(0, 3)) == 0
        if is_about_one:
            route["events"] = [draw(st.sampled_from(("First", "Second")))]
        when = draw(equalities(source) if is_about_one else condition_of(source))
        if when is not None:
            route["when"] = when
        routes.append(route)
    return {
        "source": source,
        "match": draw(st.sampled_from(("first", "all"))),
        "undecided": draw(st.sampled_from(("continue", "continue", "dead_letter"))),
        "unmatched": draw(ends | to),
        "routes": routes,
    }


def equalities(source: str) -> st.SearchStrategy[str]:
    """Ask one field for constants: a table answers a run of these, not an expression."""
    asked = "message.key" if source == "bare" else "t"
    equal = st.sampled_from(("a", "b", "ab", "", "é")).map(lambda text: f"{asked} = '{text}'")
    return equal | equal | st.just(f"{asked} in ('a', 'x', 'A')")


def condition_of(source: str) -> st.SearchStrategy[str | None]:
    if source == "bare":
        return st.none() | equalities(source) | st.just("message.headers['kind'] is null")
    random = conditions(SCOPES[source], max_depth=3).filter(lambda rule: resolves(rule, source))
    return st.none() | equalities(source) | random


def resolves(rule: str, source: str) -> bool:
    try:
        resolve(rule, SCOPES[source])
    except RuleError:
        return False
    return True


# --- messages ---

KEYS = (None, b"a", b"b", b"", b"\xff", b"a\nb", "é".encode(), b"k.1")
HEADERS = (
    ("kind", b"1"),
    ("kind", b"2"),
    ("Kind", b"\xff"),
    ("X-Odd", b"\x01"),
    ("x-gw-id", b"1"),
    ("odd name", b"v"),
    ("body", b"v"),
    ("x" * 300, b"v"),
    ("empty", b""),
)
JUNK = (None, b"", b"{", b"[]", b"\xff", b'{"t": 1}', b'{"t": "a", "i": 1.5}', b"null", b"[" * 300)


PLACES = (
    ("kafka", "typed"),
    ("kafka", "typed"),
    ("rabbitmq", "chosen"),
    ("nats", "bare"),
    ("nats", "other"),
)


def random_messages(count: int, seed: int) -> list[dict[str, Any]]:
    """Invent messages; drawn one by one they would take most of the time."""
    rng = Random(seed)  # noqa: S311 - traffic, not a secret
    return [random_message(rng) for _ in range(count)]


def random_message(rng: Random) -> dict[str, Any]:
    kind, channel = rng.choice(PLACES)
    headers = [rng.choice(HEADERS) for _ in range(rng.randrange(4))]
    schema = TYPES[rng.choice(("First", "First", "Second"))].schema
    is_junk = rng.random() < 0.1
    return {
        "kind": kind,
        "channel": channel,
        "key": rng.choice(KEYS),
        "headers": [{"name": name, "value": value} for name, value in headers],
        "body": rng.choice(JUNK) if is_junk else to_body(random_value(schema, rng)),
    }


def random_value(schema: Schema, rng: Random) -> Any:
    """Invent a value of a schema, from the pools that constants of rules come from."""
    if schema.nullable and rng.random() < 0.3:
        return None
    if schema.enum is not None:
        return rng.choice(schema.enum)
    if schema.type == "array":
        return [rng.choice(TEXTS) for _ in range(rng.randrange(4))]
    if schema.type == "object":
        return {
            name: random_value(child, rng)
            for name, child in (schema.properties or {}).items()
            if name in schema.required or rng.random() < 0.7
        }
    if schema.date_time:
        return rng.choice(("2026-01-31T12:00:00Z", "1970-01-01T00:00:00.5+01:00"))
    pools = {"boolean": (True, False), "integer": INTEGERS, "number": NUMBERS}
    return rng.choice(pools.get(schema.type or "", TEXTS))


def to_body(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass")


def capture_of(found: list[dict[str, Any]]) -> Capture:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    rows = [
        {
            "seq": seq,
            "received": start + timedelta(milliseconds=seq),
            "timestamp": None if seq % 3 else start,
            "broker": "elsewhere",
            "partition": None,
            "position": str(seq),
            **message,
        }
        for seq, message in enumerate(found)
    ]
    frame = pl.DataFrame(rows, schema=dict(COLUMNS))
    return Capture(frame.lazy(), CaptureMetadata(messages=len(rows)))


# --- both ways ---


def compiled(document: dict[str, Any]) -> tuple[GatewayConfig, Plan]:
    config = GatewayConfig.model_validate(json.loads(json.dumps(document)), strict=False)
    found = compile_plan(config)
    errors = [str(each) for each in found.findings if each.severity is Severity.ERROR]
    assert found.plan is not None, errors
    return config, found.plan


def one_by_one(plan: Plan, capture: Capture) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Route each message of each source: the rows that `deliveries(rendered=True)` promises."""
    rows: list[tuple[Any, ...]] = []
    results: dict[str, Any] = {}
    routers = {name: compile_source(plan, name) for name in plan.sources}
    for row in capture.frame.collect().iter_rows(named=True):
        for name, source in plan.sources.items():
            if any(each.channel == row["channel"] for each in source.addresses):
                rows += routed(name, routers[name], row, results)
    return rows, results


def routed(
    name: str, router: SourceRouter, row: dict[str, Any], results: dict[str, Any]
) -> list[tuple[Any, ...]]:
    message = message_of(row)
    found = router.route(message)
    for decision in found.decisions:
        counts = results.setdefault(decision.router, {"undecided": 0})
        counts[decision.result.value] = counts.get(decision.result.value, 0) + 1
        counts["undecided"] += bool(decision.undecided)
    return [
        (
            message.seq,
            message.received,
            name,
            each.router,
            each.route,
            each.target,
            each.broker,
            each.channel,
            each.outcome.value,
            each.reason,
            len(message.body or b""),
            each.key,
            [{"name": header, "value": value} for header, value in each.headers],
            each.body,
        )
        for each in found.deliveries
    ]


def assert_agree(result: Replay, capture: Capture) -> None:
    rows, results = one_by_one(result.run.plan, capture)
    assert result.deliveries(rendered=True).collect().rows() == rows
    for row in result.routers().rows(named=True):
        counts = results.get(row["router"], {})
        shown = ("matched", "unmatched", "invalid", "undecided")
        assert {n: row[n] for n in shown} == {n: counts.get(n, 0) for n in shown}
    counted = pl.DataFrame(
        rows, schema=result.deliveries(rendered=True).collect_schema(), orient="row"
    )
    keys = ["source", "router", "route", "target", "outcome"]
    flow = counted.group_by(keys).agg(
        deliveries=pl.len().cast(pl.Int64), bytes=pl.col("bytes").cast(pl.Int64).sum()
    )
    assert result.flow().sort(keys).equals(flow.sort(keys))


@settings(max_examples=EXAMPLES, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(document=configs(), seed=seeds())
def test_a_replay_decides_and_writes_what_the_gateway_would(
    document: dict[str, Any], seed: int
) -> None:
    config, _ = compiled(document)
    capture = capture_of(random_messages(120, seed))
    assert_agree(replay(config, capture), capture)


DATA = Path(__file__).parents[2] / "data"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["business", "users", "metrics", "conversion", "observable"])
def test_a_replay_of_shipped_traffic_is_what_the_gateway_would_do(name: str) -> None:
    capture = scan_capture(DATA / f"{name}.parquet").sample(5000, seed=1)
    assert_agree(replay(read_config(DATA / f"{name}.yaml"), capture), capture)
