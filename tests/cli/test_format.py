from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.cli.main import app

UNTIDY = """\
# What for.
gateway_lab:   1
name:  shop   # hi
brokers: {stream:    kafka}
targets:
    big: {broker: stream,   channel: "big-orders"}
sources: {orders: {broker: stream, channel: orders}}
routers:
  all: {source: orders, match: all, routes: [{name: big, to: [big]}], unmatched: drop}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(UNTIDY)
    return path


def test_formatting_keeps_comments_quotes_and_meaning_and_settles_at_once(config: Path) -> None:
    digest = gl.read_config(config).digest
    result = CliRunner().invoke(app, ["format", str(config)])
    assert result.exit_code == 0, result.output
    text = config.read_text()
    assert re.match(
        r"# What for.\ngateway_lab: 1\nname: shop +# hi\nbrokers: {stream: kafka}\n", text
    )
    assert '  big: {broker: stream, channel: "big-orders"}' in text
    assert gl.read_config(config).digest == digest
    again = CliRunner().invoke(app, ["format", "--check", str(config)])
    assert (again.exit_code, again.output) == (0, "")


def test_check_changes_nothing_and_tells_by_its_exit_code(config: Path) -> None:
    result = CliRunner().invoke(app, ["format", "--check", str(config)])
    assert result.exit_code == 1
    assert "would change" in result.stderr
    assert config.read_text() == UNTIDY


def test_json_stays_json(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    path.write_text('{"gateway_lab": 1, "name": "shop"}')
    CliRunner().invoke(app, ["format", str(path)])
    assert path.read_text() == '{\n  "gateway_lab": 1,\n  "name": "shop"\n}\n'
