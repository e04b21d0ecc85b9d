"""A cold replay of a million business messages through three routers, Parquet to counts.

The peer is a bare loop of msgspec over the same bodies, read before, into three lists of the
routing fields: no check of anything else, no Parquet, no rules, no counts.
"""

from __future__ import annotations

from functools import partial

import msgspec
import polars as pl

from benchmarks.table import Figure, business_capture, interleaved, seconds, show
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.load import read_config
from gateway_lab.offline import decode_shared
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.run import replay
from gateway_lab.offline.worker import warm_worker

MESSAGES = 1_000_000


class Bare(msgspec.Struct, gc=False):
    """The three routing fields."""

    event_type: str
    priority: str
    tenant_id: str


def bare_loop(bodies: list[bytes]) -> tuple[list[str], list[str], list[str]]:
    """Read the three fields, and nothing else."""
    decode = msgspec.json.Decoder(Bare).decode
    event_types, priorities, tenants = [], [], []
    for body in bodies:
        row = decode(body)
        event_types.append(row.event_type)
        priorities.append(row.priority)
        tenants.append(row.tenant_id)
    return event_types, priorities, tenants


def valid_bodies(bodies: list[bytes | None]) -> list[bytes]:
    """Leave out what msgspec refuses: exceptions would slow the peer down."""
    decode = msgspec.json.Decoder(Bare).decode
    found: list[bytes] = []
    for body in bodies:
        try:
            decode(body or b"")
        except ValueError:
            continue
        found.append(body or b"")
    return found


def measure() -> list[Figure]:
    """Measure both ways of a replay against the bare loop."""
    path = business_capture(MESSAGES)
    config = read_config("data/business.yaml")
    bodies = valid_bodies(pl.read_parquet(path, columns=["body"])["body"].to_list())

    def cold(shared_from: int) -> float:
        decode_shared.SHARED_FROM = shared_from
        capture = scan_capture(path)
        return seconds(partial(replay, config, capture), before=CACHE.clear)

    warm_worker()
    cold(0)  # the worker has imported what it needs, and read the file once
    bare, alone, shared = interleaved(
        lambda: seconds(partial(bare_loop, bodies)) * MESSAGES / len(bodies),
        partial(cold, MESSAGES + 1),
        partial(cold, 0),
    )
    return [
        figure("cold replay of 1,000,000 messages, one process", bare, alone, 0.4),
        figure("cold replay of 1,000,000 messages, warm worker", bare, shared, 0.5),
    ]


def figure(what: str, bare: float, taken: float, demanded: float) -> Figure:
    """Compare a replay with the bare loop."""
    ratio = bare / taken
    return Figure(
        what=what,
        value=f"{taken:.2f} s, {MESSAGES / taken / 1e6:.2f} M/s",
        against=f"bare msgspec loop, {bare:.2f} s",
        ratio=f"{ratio:.2f}",
        demanded=f">= {demanded}",
        is_met=ratio >= demanded,
    )


if __name__ == "__main__":
    show(measure())
