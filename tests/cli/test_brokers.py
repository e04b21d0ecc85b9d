"""`gateway-lab brokers`: what it starts, says and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.broker

CONFIG = """\
gateway_lab: 1
name: shop
brokers: {edge: nats, cache: redis, second: redis, local: memory}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(CONFIG)
    return path


def brokers(*arguments: object, **environ: str) -> tuple[list[str], str]:
    code = "from gateway_lab.cli.main import app; app()"
    run = subprocess.run(
        [sys.executable, "-c", code, "brokers", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environ},
    )
    return run.stdout.splitlines(), run.stderr


def is_open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def test_up_prints_what_to_export_and_down_ends_it(config: Path, tmp_path: Path) -> None:
    folder = ("--folder", tmp_path / "servers")
    try:
        lines, said = brokers("up", config, *folder)
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert list(exports) == [
            f"GATEWAY_BROKER_{alias}_URL" for alias in ("EDGE", "CACHE", "SECOND", "LOCAL")
        ]
        edge, cache, second, local = exports.values()
        assert (cache, local) == (second, "memory://local")
        assert is_open(edge)
        assert is_open(cache)
        assert "nats: started" in said
        again, said = brokers("up", config, *folder)
        assert again == lines
        assert said.count("runs already") == 2
        assert [line.split(",")[0] for line in brokers("status", *folder)[0]] == [
            "nats: runs",
            "redis: runs",
        ]
    finally:
        said = brokers("down", *folder)[1]
    assert said == "nats: ended\nredis: ended\n"
    assert not is_open(edge)
    assert not is_open(cache)
    assert brokers("status", *folder)[0] == ["nothing was started"]
    assert list((tmp_path / "servers").iterdir()) == []


def test_down_says_when_there_is_nothing_to_end(tmp_path: Path) -> None:
    assert brokers("down", "--folder", tmp_path / "servers") == ([], "nothing was started\n")


def test_down_ends_only_what_up_started(tmp_path: Path) -> None:
    """A process that got the number of one that has ended is somebody else's."""
    row = {"protocol": "redis", "url": "redis://x", "started_from": "x", "started_at": 1}
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (tmp_path / "state.json").write_text(json.dumps([{**row, "pid": other.pid}]))
        assert brokers("down", "--folder", tmp_path)[1] == "redis: had ended by itself\n"
        assert other.poll() is None
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()


def test_memory_stands_in_for_what_is_not_installed(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text("{gateway_lab: 1, name: shop, brokers: {stream: kafka}}")
    lines, said = brokers("up", path, "--folder", tmp_path / "servers", PATH="/nowhere")
    assert lines == ["export GATEWAY_BROKER_STREAM_URL=memory://stream"]
    assert "kafka: not on this machine; run `make servers`" in said
    assert "memory stands in for it" in said
