"""`gateway-lab example`: what it lists, runs, starts and ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.cli.example import ABOUT, FOLDER
from gateway_lab.cli.main import app
from gateway_lab.examples import conversion
from gateway_lab.examples.stage import staged
from gateway_lab.findings import Severity
from gateway_lab.testing.servers import SERVERS, KafkaServer, RabbitmqServer
from tests.example.stages import on


def example(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    code = "from gateway_lab.cli.main import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, "example", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


def test_every_example_is_listed() -> None:
    configs = {path.stem for path in FOLDER.glob("*.yaml")}
    assert configs == ABOUT.keys()
    assert all((FOLDER / f"{name}.py").exists() for name in configs)


@pytest.mark.parametrize("name", ABOUT)
def test_its_config_has_no_error(name: str) -> None:
    findings = gl.check(gl.read_config(FOLDER / f"{name}.yaml"))
    assert [each for each in findings if each.severity is Severity.ERROR] == []


@pytest.mark.slow
def test_without_a_name_it_lists_them_and_an_unknown_name_is_refused() -> None:
    listed = example("--format", "json")
    assert [row["example"] for row in json.loads(listed.stdout)["examples"]] == list(ABOUT)
    refused = example("user")
    assert refused.returncode == 2
    assert "users" in refused.stderr


def test_an_example_whose_package_is_not_installed_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "faststream", None)
    monkeypatch.delitem(sys.modules, "gateway_lab.examples.payments", raising=False)
    run = CliRunner().invoke(app, ["example", "payments"])
    assert run.exit_code == 2
    assert "gateway-lab[faststream]" in run.stderr


@pytest.mark.anyio
@pytest.mark.broker
async def test_it_runs_on_brokers_of_the_environment_and_tells_programs_what_arrived(
    kafka_server: KafkaServer, rabbitmq_server: RabbitmqServer
) -> None:
    config, looks = conversion.gateway.config, conversion.LOOKS
    async with on(config, looks, kafka_server, rabbitmq_server) as stage:
        done = await asyncio.to_thread(example, "conversion", "--format=json", **stage.environ)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {each["channel"] for each in told["arrived"]} == {"user.ada", "user.bob"}
    assert len(told["dead letters"]) == 2
    assert told["program"].endswith("examples/conversion.py")
    assert kafka_server.pid is not None
    assert "starting" not in done.stderr


@pytest.mark.broker
def test_servers_that_no_address_names_are_started_and_end_with_it() -> None:
    config = gl.parse_config("gateway_lab: 1\nname: x\nbrokers: {cache: redis, other: redis}\n")
    told: list[str] = []
    with staged(config, {}, told.append) as stage:
        cache, other = stage.environ.values()
        with socket.create_connection(_place(cache), timeout=10):
            assert cache == other
        folder = stage.folder
    assert told == ["starting redis …"]
    assert not folder.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(_place(cache)) != 0


def test_a_server_that_is_not_installed_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SERVERS["redis"], "installed", lambda _: None)
    config = gl.parse_config("gateway_lab: 1\nname: x\nbrokers: {cache: redis}\n")
    refused = pytest.raises(gl.GatewayLabError, match="no redis server on this machine")
    with refused, staged(config, {}):
        pass


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)
