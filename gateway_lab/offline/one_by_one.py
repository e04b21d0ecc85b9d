"""The same messages decided one by one, as the gateway does, to hold a replay to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from gateway_lab.captures.binding import bind
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.rows import message_of
from gateway_lab.errors import ReplayError
from gateway_lab.messages.message import Message
from gateway_lab.offline.deliveries import RENDERED, deliveries
from gateway_lab.offline.tasks import Run, make_run
from gateway_lab.routing.route import SourceRouter, compile_source
from gateway_lab.routing.routed import Delivery

MISMATCHES: dict[str, pl.DataType] = {"way": pl.String(), **RENDERED}
"""Columns of mismatches: `way` is `replay` or `one by one`, then those of rendered deliveries."""

_Rows = dict[int, list[dict[str, Any]]]


def mismatches(run: Run, *, n: int, seed: int) -> pl.DataFrame:
    """Decide a sample both ways and return the deliveries of messages that differ.

    Returns:
        A row a delivery with the columns of `MISMATCHES`, both ways of a message together;
        empty where the ways agree.

    Raises:
        ReplayError: The capture is masked: what is masked can only be judged as it was.
    """
    if run.capture.is_masked:
        raise ReplayError(
            "a masked capture cannot be decided one by one",
            hint="use the capture that it was masked from",
        )
    chosen = run.capture.sample(n, seed=seed)
    replayed, alone = _replayed(run, chosen), _one_by_one(run, chosen)
    rows = [
        {"way": way, **row}
        for seq in sorted(replayed.keys() | alone.keys())
        if replayed[seq] != alone[seq]
        for way, found in (("replay", replayed), ("one by one", alone))
        for row in found[seq]
    ]
    return pl.DataFrame(rows, schema=MISMATCHES)


def _replayed(run: Run, chosen: Capture) -> _Rows:
    again, _ = make_run(run.config, chosen, sources=run.sources)
    rows: _Rows = defaultdict(list)
    for seen in again.views():
        for row in deliveries(seen, rendered=True).iter_rows(named=True):
            rows[row["seq"]].append(row)
    return rows


def _one_by_one(run: Run, chosen: Capture) -> _Rows:
    routers = {
        name: compile_source(run.plan, name)
        for name, source in run.plan.sources.items()
        if source.handled is None or run.is_handled
    }
    rows: _Rows = defaultdict(list)
    for batch in chosen.batches():
        for row in batch.iter_rows(named=True):
            rows[row["seq"]] += _routed(run, routers, message_of(row))
    return rows


def _routed(
    run: Run, routers: Mapping[str, SourceRouter], message: Message
) -> Iterator[dict[str, Any]]:
    place = (message.broker, message.protocol, message.channel)
    for name, places in bind(run.plan.sources, (place,), run.sources).items():
        if places and name in routers:
            for each in routers[name].route(message).deliveries:
                yield _row(name, message, each)


def _row(source: str, message: Message, delivery: Delivery) -> dict[str, Any]:
    return {
        "seq": message.seq,
        "received": message.received,
        "source": source,
        "router": delivery.router,
        "route": delivery.route,
        "target": delivery.target,
        "broker": delivery.broker,
        "channel": delivery.channel,
        "outcome": str(delivery.outcome),
        "reason": delivery.reason,
        "bytes": len(message.body or b""),
        "key": delivery.key,
        "headers": [{"name": name, "value": value} for name, value in delivery.headers],
        "body": delivery.body,
    }
