from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway_lab.cli.run import table_of
from gateway_lab.gateway.counters import SourceStats, State, Stats, WayStats

ROUTES = """
gateway_lab: 1
name: routes
brokers: {here: memory}
sources: {orders: {broker: here, channel: orders}}
targets: {copy: {broker: here, channel: copies}}
routers: {all: {source: orders, match: all, routes: [{name: all, to: [copy]}], unmatched: drop}}
dead_letter: {broker: here, channel: dead}
"""


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    return path


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    code = "from gateway_lab.cli.main import app; app()"
    command = [sys.executable, "-c", code, "run", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stderr is not None
    return map(json.loads, process.stderr)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_stops_it_cleanly(routes: Path, end: signal.Signals) -> None:
    with running(routes, "--create-channels") as process:
        log = lines(process)
        assert next(log)["message"] == "source orders is waiting"
        assert next(log)["message"] == "source orders is running"
        process.send_signal(end)
        assert next(log)["message"] == "source orders is stopped"
        assert next(log) | {"time": ""} == {
            "time": "",
            "level": "info",
            "message": "books of orders",
            "source": "orders",
            "state": "stopped",
            **dict.fromkeys(["read", "settled", "retried", "delivered", "dropped"], 0),
            **dict.fromkeys(["dead_lettered", "pending"], 0),
        }
        assert process.wait(20) == 0


def test_a_source_that_cannot_run_is_an_exit_of_1_that_says_why(routes: Path) -> None:
    with running(routes) as process:
        [red] = [line for line in lines(process) if line["level"] == "error"]
        assert "there is no channel orders on here, copies on here, dead on here" in red["reason"]
        assert process.wait(20) == 1


def test_a_config_that_cannot_be_read_is_an_exit_of_2(routes: Path) -> None:
    routes.write_text(ROUTES.replace("to: [copy]", "to: [cpoy]"))
    with running(routes) as process:
        assert process.stderr is not None
        assert "did you mean 'copy'" in process.stderr.read()
        assert process.wait(20) == 2


def stats(settled: int, delivered: int) -> Stats:
    source = SourceStats(
        source="orders",
        state=State.RUNNING,
        reason="",
        read=settled,
        redelivered=0,
        settled=settled,
        in_flight=3,
        retried=0,
        ambiguous=0,
    )
    way = WayStats(
        source="orders",
        router="size",
        route="big",
        target="copy",
        deliveries=delivered + 7,
        delivered=delivered,
        dropped=0,
        dead_lettered=5,
        pending=2,
    )
    return Stats(sources=(source,), routers=(), ways=(way,))


def test_a_terminal_shows_rates_and_counts() -> None:
    console = Console(width=120, record=True, file=StringIO())
    console.print(table_of((10.0, stats(1_000, 500)), (12.0, stats(5_000, 1_500))))
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["orders", "running", "2,000", "5,000", "3"] in shown
    assert ["size/big", "copy", "500", "1,500", "2", "5"] in shown
