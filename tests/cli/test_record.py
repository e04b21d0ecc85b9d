"""`gateway-lab record`, on a memory broker inside this process."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway_lab.brokers.memory.server import server_at
from gateway_lab.captures.read import scan_capture
from gateway_lab.cli.main import app
from gateway_lab.messages.mask import show_private
from tests.gateway.shop import SHOP, order

URL = "memory://cli-record"
RUNNER = CliRunner()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_BROKER_HERE_URL", URL)
    server_at(URL).create(["orders"])
    server_at(URL).delete("orders")
    server_at(URL).create(["orders"])
    server_at(URL).publish("orders", [order(n, tenant="acme") for n in range(20)])
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP, encoding="utf-8")
    return path


def test_it_says_how_many_messages_it_recorded_and_where(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    done = RUNNER.invoke(app, ["record", str(config), str(path), "--until-caught-up"])
    assert done.exit_code == 0
    assert f"{path}: 20 messages" in done.stderr
    assert scan_capture(path).count == 20


def test_bounds_are_taken(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "c"
    asked = ["--limit", "7", "--for", "1h", "--source", "orders"]
    done = RUNNER.invoke(app, ["record", str(config), str(path), *asked])
    assert done.exit_code == 0
    assert scan_capture(path).count == 7


def test_private_values_are_masked_unless_told_otherwise(config: Path, tmp_path: Path) -> None:
    private = SHOP.replace("tenant: {type: string}", "tenant: {type: string, x-private: true}")
    config.write_text(private, encoding="utf-8")
    try:
        for name, flags in (("masked", []), ("plain", ["--show-private"])):
            asked = ["record", str(config), str(tmp_path / name), "--until-caught-up", *flags]
            assert RUNNER.invoke(app, asked).exit_code == 0
            bodies = scan_capture(tmp_path / name).frame.collect()["body"].to_list()
            assert all((b"acme" in body) == bool(flags) for body in bodies)
    finally:
        show_private(show=False)


def test_a_time_that_is_none_is_refused(config: Path, tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["record", str(config), str(tmp_path / "c"), "--for", "soon"])
    assert done.exit_code == 2
    assert "'soon' is not written like" in done.stderr


def test_a_signal_ends_it_cleanly(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "c"

    def interrupt() -> None:
        while not any(path.glob("part-*")):
            stopped.wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    stopped = threading.Event()
    threading.Thread(target=interrupt, daemon=True).start()
    done = RUNNER.invoke(app, ["record", str(config), str(path)])
    assert done.exit_code == 0
    assert scan_capture(path).count == 20
    assert f"{path}: 20 messages" in done.stderr
