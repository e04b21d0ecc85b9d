from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from rich.console import Console

from gateway_lab.cli.run_table import LiveTable, screen_of, table_of
from gateway_lab.gateway.counters import Counters, State, Stats, WayStats
from gateway_lab.gateway.log_lines import line_of, logging_to

LIMIT_S = 30
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


def until(log: Iterator[dict[str, Any]], message: str) -> dict[str, Any]:
    return next(line for line in log if line["message"].startswith(message))


# --- ends ---


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_stops_it_cleanly(routes: Path, end: signal.Signals) -> None:
    with running(routes, "--create-channels") as process:
        log = lines(process)
        assert next(log)["message"] == "source orders is waiting"
        digest = until(log, "source orders is running")["config"]
        process.send_signal(end)
        assert next(log)["message"].startswith("stopping: what is in flight is finished")
        assert next(log)["message"] == "source orders is stopped"
        assert next(log) | {"time": ""} == {
            "time": "",
            "level": "info",
            "message": "books of orders",
            "config": digest,
            "source": "orders",
            "state": "stopped",
            **dict.fromkeys(["read", "redelivered", "settled", "given_back"], 0),
            **dict.fromkeys(["in_flight", "retried", "lost"], 0),
            **dict.fromkeys(["delivered", "dropped", "dead_lettered", "pending"], 0),
        }
        assert process.wait(LIMIT_S) == 0


def test_a_source_that_cannot_run_is_an_exit_of_1_that_says_why(routes: Path) -> None:
    with running(routes) as process:
        [red] = [line for line in lines(process) if line["level"] == "error"]
        assert "there is no channel orders on here, copies on here, dead on here" in red["reason"]
        assert process.wait(LIMIT_S) == 1


def test_a_config_that_cannot_be_read_is_an_exit_of_2(routes: Path) -> None:
    routes.write_text(ROUTES.replace("to: [copy]", "to: [cpoy]"))
    with running(routes) as process:
        assert process.stderr is not None
        assert "did you mean 'copy'" in process.stderr.read()
        assert process.wait(LIMIT_S) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--workers", "0"], "--workers"),
        (["--workers", "2"], "memory is inside one process"),
        (["--workers", "2", "--shadow", "new.yaml"], "no --workers"),
        (["--watch", "--shadow", "new.yaml"], "no --watch"),
        (["--disagreements", "odd"], "no --shadow"),
        (["--workers", "2", "--record", "all.parquet"], "workers record to a folder"),
        (["--member", "a b"], "--member"),
        (["--member", "a" * 41], "--member"),
        (["--port", "70000"], "--port"),
    ],
)
def test_what_cannot_be_asked_for_is_an_exit_of_2(
    routes: Path, options: list[str], says: str
) -> None:
    with running(routes, *options) as process:
        assert process.stderr is not None
        assert says in " ".join(process.stderr.read().split())
        assert process.wait(LIMIT_S) == 2


# --- reload ---


def test_a_file_that_is_watched_is_taken_over_when_it_is_saved(routes: Path) -> None:
    with running(routes, "--create-channels", "--watch") as process:
        log = lines(process)
        old = until(log, "source orders is running")["config"]
        routes.write_text(ROUTES.replace("unmatched: drop", "unmatched: [copy]"))
        new = until(log, "the config is")
        assert new["message"] == f"the config is {new['config'][:12]} now"
        assert new["config"] != old
        process.terminate()
        assert process.wait(LIMIT_S) == 0


def test_a_hang_up_reloads_and_a_bad_config_changes_nothing(routes: Path) -> None:
    with running(routes, "--create-channels") as process:
        log = lines(process)
        old = until(log, "source orders is running")["config"]
        for text, says in (
            (ROUTES.replace("to: [copy]", "to: [cpoy]"), "did you mean 'copy'"),
            (ROUTES.replace("name: routes", "name: others"), "restart-needed"),
            ("{", "routes.yaml:1"),
        ):
            routes.write_text(text)
            process.send_signal(signal.SIGHUP)
            told = until(log, "the new config is refused")
            assert says in told["reason"]
            assert told["config"] == old
        process.terminate()
        assert process.wait(LIMIT_S) == 0


# --- beside the live way ---


def test_what_is_recorded_and_compared_is_told_at_the_end(routes: Path) -> None:
    new = routes.with_name("new.yaml")
    new.write_text(ROUTES.replace("unmatched: drop", "unmatched: [copy]"))
    folder = routes.with_name("all")
    with running(routes, "--create-channels", "--record", folder, "--shadow", new) as process:
        log = lines(process)
        until(log, "source orders is running")
        process.send_signal(signal.SIGHUP)
        assert "a shadow is compared" in until(log, "the new config is refused")["reason"]
        process.terminate()
        messages = [line["message"] for line in log]
        assert messages[-2:] == ["recorded 0", "the shadow disagrees with 0 of 0"]
        assert process.wait(LIMIT_S) == 0
    assert folder.is_dir()


def test_a_place_that_cannot_be_recorded_to_is_an_exit_of_2(routes: Path) -> None:
    with running(routes, "--create-channels", "--record", routes / "folder") as process:
        assert process.wait(LIMIT_S) == 2


# --- what is served ---


def test_health_is_served_on_a_port(routes: Path) -> None:
    with running(routes, "--create-channels", "--port", "0") as process:
        log = lines(process)
        address = until(log, "health is at")["message"].rpartition(" ")[2]
        until(log, "source orders is running")
        with urlopen(f"{address}/readyz", timeout=LIMIT_S) as answer:  # noqa: S310 - loopback
            assert answer.status == 200
        process.terminate()
        assert process.wait(LIMIT_S) == 0


# --- for people ---


def stats(read: int, delivered: int, state: State = State.RUNNING, **fields: Any) -> Stats:
    counters = Counters("orders", state=state, read=read, settled=read - 3, retried=4)
    for name, value in fields.items():
        setattr(counters, name, value)
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
    return Stats(sources=(counters.source_stats(),), routers=(), ways=(way,), digest="abcdef" * 9)


def shown(renderable: Any) -> str:
    console = Console(width=160, record=True, file=StringIO())
    console.print(renderable)
    return console.export_text()


def test_a_terminal_shows_rates_and_counts() -> None:
    table = table_of((10.0, stats(1_000, 500)), (12.0, stats(5_000, 1_500, lost=9)))
    rows = [line.split() for line in shown(table).splitlines()]
    assert ["orders", "running", "2,000", "4,997", "3", "4", "9"] in rows
    assert ["size/big", "copy", "500", "1,500", "2", "5"] in rows


def test_a_terminal_says_what_is_red_and_what_to_do() -> None:
    red = stats(1, 1, State.RED, reason="there is no channel x\nhint: create it")
    text = shown(screen_of(["routes"], (0.0, red), (1.0, red), ["12:00:00 a line of the log"]))
    assert "routes · config abcdefabcdef" in text
    assert "orders is red: there is no channel x\nhint: create it" in text
    assert "reload (SIGHUP) or restart" in text
    assert "12:00:00 a line of the log" in text


def test_a_terminal_says_what_it_waits_for() -> None:
    waiting = stats(3, 0, State.WAITING, reason="for broker here")
    assert "waiting for broker here" in shown(table_of((0.0, waiting), (1.0, waiting)))


def test_a_terminal_says_why_a_config_was_refused() -> None:
    books = stats(1, 1)
    refused = Stats(sources=books.sources, routers=(), ways=(), refused="line 3: no such target")
    text = shown(screen_of(["routes"], (0.0, refused), (1.0, refused), []))
    assert "the new config is refused, the old one goes on: line 3: no such target" in text


def test_the_last_lines_of_the_log_are_under_the_table() -> None:
    console = Console(width=160, file=StringIO(), force_terminal=True)
    table = LiveTable(console, lambda: ["routes"])
    with table.shown():
        for number in range(6):
            logging.getLogger("gateway_lab.test").info("line %s", number)
        logging.getLogger("aiormq").warning("amqp://user:secret@host is closed")
        table.show(stats(3, 0))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "line 5" in text
    assert "line 1" not in text
    assert "aiormq says WARNING" in text
    assert "secret" not in text


# --- what a log says ---


def told(do: Callable[[], object]) -> list[dict[str, str]]:
    records: list[logging.LogRecord] = []
    with logging_to(records.append):
        do()
    return [line_of(each) for each in records]


def test_what_other_libraries_say_is_not_told_but_who_and_where() -> None:
    def speak() -> None:
        log = logging.getLogger("nats.aio.client")
        log.info("connected to nats://user:secret@host")
        log.error("cannot reach %s", "secret", exc_info=ConnectionError("secret"))

    [line] = told(speak)
    assert line["message"].startswith("nats.aio.client says ERROR: ConnectionError (test_run.py:")
    assert "secret" not in json.dumps(line)


def test_what_is_ours_is_told_with_its_fields() -> None:
    log = logging.getLogger("gateway_lab.gateway")
    [line] = told(lambda: log.info("source %s is red", "orders", extra={"reason": "away"}))
    assert line.keys() == {"time", "level", "message", "reason"}
    assert (line["message"], line["reason"]) == ("source orders is red", "away")


def test_logging_is_as_before_when_it_has_ended() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("gateway_lab").level
    told(lambda: None)
    assert (root.handlers, root.level, logging.getLogger("gateway_lab").level) == before
