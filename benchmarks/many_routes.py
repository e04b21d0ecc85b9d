"""Ten thousand equality routes against ten, in both engines, and one message in one router."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from functools import partial

import polars as pl

from benchmarks.table import Figure, interleaved, seconds, show
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS, CaptureMetadata
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.decide import decide
from gateway_lab.offline.parts import parts_of
from gateway_lab.offline.run import replay
from gateway_lab.offline.view import view
from gateway_lab.rules.to_python import compile_router
from gateway_lab.rules.tree import Value, references

MESSAGES = 1_000_000
MANY = 10_000
CALLS = 20_000

MIXED = (
    "tenant = 't1'",
    "amount > 10",
    "tenant like 'a%'",
    "amount between 1 and 2",
    "tenant in ('x', 'y')",
    "amount is null",
    "length(tenant) > 20",
    "amount + 1 < 0",
    "lower(tenant) = 'z'",
    "tenant <> 't7' and amount < 0",
)


def config_of(conditions: list[str]) -> GatewayConfig:
    """Make a config with a route for each condition."""
    routes = [
        {"name": f"r{number}", "when": when, "to": ["out"]}
        for number, when in enumerate(conditions)
    ]
    properties = {"tenant": {"type": "string"}, "amount": {"type": "number"}}
    document = {
        "name": "many",
        "brokers": {"stream": "kafka"},
        "events": {"Order": {"type": "object", "properties": properties}},
        "sources": {"orders": {"broker": "stream", "channel": "orders", "event": "Order"}},
        "targets": {"out": {"broker": "stream", "channel": "out"}},
        "routers": {
            "by_tenant": {
                "source": "orders",
                "match": "first",
                "routes": routes,
                "unmatched": "drop",
            }
        },
    }
    return GatewayConfig.model_validate(document, strict=False)


def capture_of(count: int) -> Capture:
    """Invent orders of many tenants."""
    rng = random.Random(0)  # noqa: S311 - traffic, not a secret
    bodies = [
        json.dumps({"tenant": f"t{rng.randrange(MANY)}", "amount": rng.random() * 9}).encode()
        for _ in range(count)
    ]
    start = pl.datetime(2026, 3, 2, time_zone="UTC")
    known: dict[str, pl.Expr] = {
        "seq": pl.int_range(count, dtype=pl.UInt64),
        "received": start,
        "broker": pl.lit("stream"),
        "kind": pl.lit("kafka"),
        "channel": pl.lit("orders"),
        "body": pl.col("body"),
    }
    columns = [
        pl.lit(None, dtype).alias(name) for name, dtype in COLUMNS.items() if name not in known
    ]
    frame = pl.DataFrame({"body": bodies}).with_columns(columns).with_columns(**known)
    return Capture(frame.select(list(COLUMNS)).lazy(), CaptureMetadata(messages=count))


def equalities(count: int) -> GatewayConfig:
    """Ask one field for as many constants."""
    return config_of([f"tenant = 't{number}'" for number in range(count)])


def measure() -> list[Figure]:
    """Compare ten thousand routes with ten."""
    few, many, capture = equalities(10), equalities(MANY), capture_of(MESSAGES)

    def cold(config: GatewayConfig) -> float:
        return seconds(partial(replay, config, capture), before=CACHE.clear)

    def decided(config: GatewayConfig) -> float:
        plan = compile_plan(config).plan
        assert plan is not None
        (stream,) = view(plan, parts_of(capture)[0], sources={}).streams
        return seconds(partial(_decide, stream, plan.routers["by_tenant"]))

    ten, thousands = interleaved(partial(cold, few), partial(cold, many))
    ten_d, thousands_d = interleaved(partial(decided, few), partial(decided, many))
    ten_py, thousands_py = interleaved(partial(one_by_one, few), partial(one_by_one, many))
    (mixed,) = interleaved(partial(one_by_one, config_of([*MIXED, *MIXED])))
    return [
        figure(f"10,000 equality routes, cold replay of {MESSAGES:,}", ten, thousands),
        Figure(
            what="the same, deciding alone: columns and their distinct values are known",
            value=f"{thousands_d * 1000:.0f} ms",
            against=f"10 routes, {ten_d * 1000:.0f} ms",
            ratio="-",
            demanded="-",
            is_met=True,
        ),
        figure("10,000 equality routes, Python engine", ten_py, thousands_py),
        Figure(
            what="one message, Python engine, 20 mixed routes",
            value=f"{mixed / CALLS * 1e6:.2f} µs",
            against="-",
            ratio=f"{mixed / CALLS * 1e6:.2f} µs",
            demanded="<= 3 µs",
            is_met=mixed / CALLS <= 3e-6,
        ),
    ]


def _decide(stream: Stream, router: object) -> None:
    decide(router, stream)  # type: ignore[arg-type]


def one_by_one(config: GatewayConfig) -> float:
    """Decide messages one at a time; return the seconds of CPU."""
    plan = compile_plan(config).plan
    assert plan is not None
    conditions = [route.condition for route in plan.routers["by_tenant"].routes]
    inputs = references(*conditions)
    function: Callable[..., object] = compile_router(conditions, inputs, match="first", name="many")
    rng = random.Random(0)  # noqa: S311
    values: dict[str, Callable[[], Value]] = {
        "tenant": lambda: f"t{rng.randrange(2 * MANY)}",
        "amount": lambda: rng.random() * 9,
    }
    rows = [
        tuple(values[leaf.path[0]]() for leaf in inputs)  # type: ignore[union-attr]
        for _ in range(CALLS)
    ]
    start = time.process_time()
    for row in rows:
        function(*row)
    return time.process_time() - start


def figure(what: str, ten: float, thousands: float) -> Figure:
    """Compare with ten routes."""
    ratio = thousands / ten
    return Figure(
        what=what,
        value=f"{thousands * 1000:.0f} ms",
        against=f"10 routes, {ten * 1000:.0f} ms",
        ratio=f"{ratio:.2f}",
        demanded="<= 2",
        is_met=ratio <= 2,
    )


if __name__ == "__main__":
    show(measure())
