from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway_lab.cli import lab
from gateway_lab.cli.main import app

NOTEBOOK = Path("notebooks/00_tour.ipynb")


@pytest.fixture
def started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[tuple[list[str], dict[str, str]]]:
    calls: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execve", lambda _, arguments, env: calls.append((arguments, env)))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / NOTEBOOK).touch()
    return calls


def test_the_address_printed_opens_the_tour_with_the_token_that_the_server_has(
    started: list[tuple[list[str], dict[str, str]]],
) -> None:
    result = CliRunner().invoke(app, ["lab"])
    [(arguments, environment)] = started
    found = re.search(
        r"localhost:(\d+)/lab/tree/notebooks/00_tour.ipynb\?token=(\w+)", result.stderr
    )
    assert found is not None
    assert f"--ServerApp.port={found[1]}" in arguments
    assert environment["JUPYTER_TOKEN"] == found[2]
    assert found[2] not in " ".join(arguments)


@pytest.mark.parametrize("notebook", ["../other/a.ipynb", "/elsewhere/a.ipynb"])
def test_a_notebook_that_jupyterlab_could_not_show_is_refused(
    started: list[tuple[list[str], dict[str, str]]], notebook: str
) -> None:
    result = CliRunner().invoke(app, ["lab", notebook])
    assert result.exit_code == 2
    assert "is not below" in result.stderr
    assert started == []


def test_a_lab_without_its_notebook_says_where_to_start_it(
    started: list[tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    (tmp_path / NOTEBOOK).unlink()
    result = CliRunner().invoke(app, ["lab"], env={"COLUMNS": "500"})
    assert result.exit_code == 2
    assert "start it in the folder of the project, or name a notebook" in result.stderr
    assert started == []


def test_the_lab_neither_asks_for_news_nor_forgets_the_users_own_settings(
    started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/home/me/jupyter")
    CliRunner().invoke(app, ["lab"])
    ours, theirs = started[0][1]["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert theirs == "/home/me/jupyter"
    defaults = json.loads((Path(ours) / "labconfig/default_setting_overrides.json").read_text())
    assert defaults["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_without_a_display_no_browser_is_opened(
    started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    CliRunner().invoke(app, ["lab"])
    monkeypatch.setenv("DISPLAY", ":0")
    CliRunner().invoke(app, ["lab"])
    assert [("--no-browser" in arguments) for arguments, _ in started] == [True, False]


def test_only_root_is_told_that_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, allowed in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        arguments = lab.command(NOTEBOOK, port=1, browser=True)
        assert ("--allow-root" in arguments) is allowed


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(lab, "PORTS", [port, 0])
        assert lab.free_port() == 0


def test_a_missing_notebook_is_named(
    started: list[tuple[list[str], dict[str, str]]],
) -> None:
    result = CliRunner().invoke(app, ["lab", "notebooks/99.ipynb"])
    assert result.exit_code == 2
    assert "notebooks/99.ipynb" in result.stderr
    assert started == []


def test_without_jupyterlab_the_extra_is_named(
    started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["lab"])
    assert result.exit_code == 2
    assert "gateway-lab[lab]" in result.stderr
    assert started == []
