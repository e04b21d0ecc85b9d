from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.cli.main import app
from gateway_lab.lab import page

DATA = Path(__file__).parents[2] / "data"
CONFIG, CAPTURE = DATA / "business.yaml", DATA / "business.parquet"


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[gl.Designer]:
    """Let Ctrl+C come once there is an address, after an edit."""
    shown: list[gl.Designer] = []

    async def serve(designer: gl.Designer, port: int, token: str, ready: Any) -> None:
        shown.append(designer)
        ready(f"http://127.0.0.1:{port}/?token={token}")
        designer.config = designer.config.edit_route("by_priority", "high", enabled=False)
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "serve", serve)
    return shown


def test_a_draft_that_was_not_written_is_told_as_code(
    stopped: list[gl.Designer], tmp_path: Path
) -> None:
    file = shutil.copy(CONFIG, tmp_path / "routes.yaml")
    result = CliRunner().invoke(app, ["design", str(file), str(CAPTURE), "--no-browser"])
    assert result.exit_code == 0
    assert "http://127.0.0.1:0/?token=" in result.stderr
    assert "was not written" in result.stderr
    code = result.stderr.partition("again:\n\n")[2]
    made: dict[str, gl.GatewayConfig] = {}
    exec(code, {"gl": gl}, made)  # noqa: S102
    assert made["config"] == stopped[0].config


def test_counts_are_compared_with_the_base_that_was_given(
    stopped: list[gl.Designer], tmp_path: Path
) -> None:
    base = tmp_path / "base.yaml"
    gl.read_config(CONFIG).remove_route("by_priority", "high").write(base)
    given = ["design", str(CONFIG), str(CAPTURE), "--base", str(base), "--no-browser"]
    assert CliRunner().invoke(app, given).exit_code == 0
    assert stopped[0].base == gl.read_config(base)


def test_a_capture_that_no_source_reads_is_told_before_its_counts_of_nothing(
    stopped: list[gl.Designer], tmp_path: Path
) -> None:
    file = tmp_path / "routes.yaml"
    for channel in ("business-events", "elsewhere"):
        file.write_text(
            CONFIG.read_text().replace("channel: business-events", f"channel: {channel}")
        )
        result = CliRunner().invoke(app, ["design", str(file), str(CAPTURE), "--no-browser"])
        told = "no source of the config reads any of these messages" in result.stderr
        assert told == (channel == "elsewhere")
    assert stopped


@pytest.mark.parametrize("browser", [True, False])
def test_a_browser_is_opened_when_asked(
    stopped: list[gl.Designer], monkeypatch: pytest.MonkeyPatch, *, browser: bool
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    option = "--browser" if browser else "--no-browser"
    CliRunner().invoke(app, ["design", str(CONFIG), str(CAPTURE), option])
    assert len(opened) == browser
    assert stopped


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["design", str(CONFIG), str(CAPTURE), "--port", port])
    assert result.exit_code == 2
    assert "in use" in result.stderr


def test_a_config_with_errors_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(CONFIG.read_text().replace("priority = 'high'", "priorty = 'high'"))
    result = CliRunner().invoke(app, ["design", str(file), str(CAPTURE)])
    assert result.exit_code == 2
    assert "priorty" in result.stderr


def test_the_server_ends_with_its_task() -> None:
    async def run() -> str:
        designer = gl.design(gl.read_config(CONFIG), gl.scan_capture(CAPTURE).head(10))
        ready = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(page.serve(designer, 0, "token", ready.set_result))
        address = await asyncio.wait_for(ready, 60)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return str(address)

    address = asyncio.run(run())
    host, port = address.removeprefix("http://").partition("/")[0].split(":")
    with socket.socket() as tried:
        assert tried.connect_ex((host, int(port))) != 0
