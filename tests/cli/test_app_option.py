"""Verbs that look at captures, with the handlers of a user's module."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.rows import frame_of
from gateway_lab.captures.write import write_batches
from gateway_lab.cli.main import app
from gateway_lab.messages.message import Message
from gateway_lab.rules.fill import EPOCH
from tests.offline.test_handled import CONFIG

MODULE = """
from pathlib import Path
import gateway_lab as gl

gateway = gl.Gateway(gl.read_config(Path(__file__).with_name("users.yaml")))

@gateway.handler("wishes")
async def create(event: dict) -> dict | None:
    return {"id": event["n"], "big": event["n"] > 10} if event["n"] else None
"""
APP = ("--app", "users_of_the_test:gateway")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "users.yaml").write_text(CONFIG)
    (tmp_path / "users_of_the_test.py").write_text(MODULE)
    messages = [
        Message(
            body=b'{"n":%d}' % n,
            received=EPOCH,
            broker="stream",
            protocol="kafka",
            channel="wishes",
        )
        for n in (0, 1, 20)
    ]
    write_batches([frame_of(messages, 0)], tmp_path / "a.parquet", metadata=CaptureMetadata())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "users_of_the_test", raising=False)
    return tmp_path


def ran(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("folder")
def test_a_replay_says_what_to_pass_and_with_it_runs_the_handlers() -> None:
    arguments = ("replay", "users.yaml", "a.parquet")
    assert "the handler of wishes did not run\n  hint: --app MODULE:GATEWAY" in ran(*arguments)
    told = json.loads(ran(*arguments, *APP, "--format", "json"))
    assert told["not_replayed"] == 0
    books = {each["router"]: each["messages"] for each in told["routers"]}
    assert books["by_size"] == 2
    handled = json.loads(ran(*arguments, *APP, "--by", "handled", "--format", "json"))["handled"]
    assert {each["fate"]: each["messages"] for each in handled} == {"returned": 2, "ended": 1}


def test_a_diff_compares_behind_handlers(folder: Path) -> None:
    draft = CONFIG.replace("when: big, to: [big]", "when: id > 0, to: [big]")
    (folder / "draft.yaml").write_text(draft)
    found = json.loads(
        ran("diff", "users.yaml", "draft.yaml", "a.parquet", *APP, "--format", "json")
    )
    assert [(each["old"], each["new"], each["messages"]) for each in found["flow"]] == [
        ("all", "big", 1)
    ]


@pytest.mark.usefixtures("folder")
def test_an_explanation_tells_what_the_handler_returned() -> None:
    text = ran("explain", "users.yaml", "a.parquet", "--seq", "2", *APP)
    assert 'handler create returned {"id":20,"big":true} as event type User' in text


@pytest.mark.usefixtures("folder")
def test_what_no_message_matches_is_found_behind_handlers() -> None:
    assert "never-matched" not in ran("check", "users.yaml", "--capture", "a.parquet")
    found = ran("check", "users.yaml", "--capture", "a.parquet", *APP)
    assert "no message of the capture matched route never" in found


@pytest.mark.usefixtures("folder")
def test_the_public_functions_take_the_same_gateway() -> None:
    config, capture = gl.read_config("users.yaml"), gl.scan_capture("a.parquet")
    with pytest.raises(gl.GatewayLabError, match="no handlers"):
        gl.replay(config, capture, handlers=capture)  # type: ignore[arg-type]
