"""Metrics: rows into a database and aggregates to a topic, in batches; the same offline.

`GATEWAY_DATABASE_METRICS_URL` may name a PostgreSQL; left out, it is SQLite in a file.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.stage import Stage
from gateway_lab.examples.tables import delivered, letters

gateway = gl.Gateway(gl.read_config(Path(__file__).with_suffix(".yaml")))

ADDRESS = "GATEWAY_DATABASE_METRICS_URL"
LOOKS = {"stream": ["aggregated-metrics", "dead-letter.metrics"], "edge": ["metric-alerts"]}
ROW = {"timestamp": pl.String, "value": pl.Float64, "tags": pl.String}
GROUP = ["host", "count", "avg", "max", "min"]

N = 3_000
"""Measurements: more than one batch of 500 for each of four partitions."""


def measurements() -> list[gl.Message]:
    """Invent measurements of now, a few of them broken."""
    invented = gl.generate_traffic("metrics", n=N, seed=7).messages()
    return [message(each.body or b"", key=(each.key or b"").decode()) for each in invented]


async def run(stage: Stage) -> dict[str, pl.DataFrame]:
    """Publish measurements, and compare what arrives with a replay of what was read."""
    url = stage.environ.get(ADDRESS) or f"sqlite:///{stage.folder}/metrics.db"
    stage = replace(stage, environ={**stage.environ, ADDRESS: url})
    with gl.Tap(gateway.config, stage.folder / "tapped") as tap:
        async with LiveRun(gateway, stage, LOOKS, wrap=tap.wrap) as live:
            await live.publish("stream", "metrics", measurements())
            messages = await live.arrived()
    offline = gl.replay(gateway.config, gl.scan_capture(stage.folder / "tapped")).batches("load")
    groups, rows = aggregates(messages), stored(url)
    books = {
        "rows in the table": [rows.height],
        "in groups": [groups["count"].sum()],
        "groups": [groups.height],
        "groups offline": [offline.height],
        "same": [groups.equals(offline.select(GROUP).sort(GROUP))],
    }
    return {
        "books": pl.DataFrame(books),
        "rows": rows,
        "aggregated-metrics": groups,
        "alerts": delivered(each for each in messages if each.channel == "metric-alerts"),
        "dead letters": letters(messages),
    }


def aggregates(messages: list[gl.Message]) -> pl.DataFrame:
    """Return one row a group of a batch: `host, count, avg, max, min`."""
    bodies = [each.body or b"" for each in messages if each.channel == "aggregated-metrics"]
    types = {"host": pl.String, "count": pl.Int64}
    schema = {name: types.get(name, pl.Float64) for name in GROUP}
    return pl.DataFrame(map(msgspec.json.decode, bodies), schema=schema).sort(GROUP)


def stored(url: str) -> pl.DataFrame:
    """Return what the database has, by time: `timestamp, value, tags`, times and tags as text."""
    select = 'SELECT "timestamp", value, tags FROM metrics ORDER BY "timestamp", value'
    with closing(connect(url)) as database:
        rows = [(str(ts), value, text(tags)) for ts, value, tags in database.execute(select)]
    return pl.DataFrame(rows, schema=ROW, orient="row")


def text(tags: object) -> str:
    """Return JSON as text, as SQLite has it."""
    return tags if isinstance(tags, str) else msgspec.json.encode(tags).decode()


def connect(url: str) -> Any:
    """Open a database as any other program would."""
    if url.startswith("sqlite:"):
        return sqlite3.connect(url.removeprefix("sqlite:///"))
    import psycopg  # noqa: PLC0415 - only where it is PostgreSQL

    return psycopg.connect(url)
