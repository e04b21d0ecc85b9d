"""Secrets of addresses are in nothing that is shown, logged, measured, recorded or written.

Every secret here begins with CANARY; whatever comes out is searched for it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import redis

import gateway_lab as gl
from gateway_lab.brokers.addresses import GRAMMARS
from gateway_lab.brokers.registry import connect
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.health.metrics import expose
from gateway_lab.testing.postgres import PostgresServer
from gateway_lab.testing.servers import NatsServer, RabbitmqServer, RedisServer, free_port
from tests.gateway.meters import Meters, metrics
from tools import notebooks

ROOT = Path(__file__).parents[2]
LIMIT_S = 50
USER, PASSWORD = "CANARY-user", "CANARY-password"
PROTOCOLS = sorted(GRAMMARS)
EXTRA = {"kafka": "?sasl=PLAIN"}

CONFIG = """
gateway_lab: 1
name: canary
brokers: {edge: PROTOCOL}
events: {Order: {type: object, required: [n], properties: {n: {type: integer}}}}
sources: {orders: {broker: edge, channel: canary-in, event: Order}}
targets: {all: {broker: edge, channel: canary-out}}
routers: {one: {source: orders, match: all, routes: [], unmatched: [all]}}
dead_letter: {broker: edge, channel: canary-dead}
"""


def url_at(protocol: str, port: int, place: str = "") -> str:
    scheme = GRAMMARS[protocol].schemes[0]
    return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}{place}{EXTRA.get(protocol, '')}"


def config_for(protocol: str) -> gl.GatewayConfig:
    return gl.parse_config(CONFIG.replace("PROTOCOL", protocol))


def assert_clean(*told: object) -> None:
    for each in told:
        text = each if isinstance(each, str) else repr(each)
        found = re.search("(?i)canary-(user|password|host|vhost)|127\\.0\\.0\\.1:\\d+", text)
        assert not found, text[max(0, found.start() - 300) : found.end() + 100]


# --- a run that goes well, with a secret in use ---


@pytest.fixture
def edge(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Give a server a user, and clean up behind the test."""
    client = redis.Redis(port=redis_server.port)
    client.acl_setuser(
        USER, enabled=True, passwords=[f"+{PASSWORD}"], keys="*", channels="*", commands=["+@all"]
    )
    yield client
    client.acl_deluser(USER)
    client.delete("canary-in", "canary-out", "canary-dead")
    client.close()


@contextmanager
def running(config: Path, *options: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    code = "from gateway_lab.cli.main import app; app()"
    command = [sys.executable, "-c", code, "run", str(config), *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for something to be true while a gateway runs."""
    limit = time.monotonic() + LIMIT_S
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)


def page(port: int, name: str) -> str:
    """Return what is shown, also by a process that is not ready yet."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
            text: bytes = answer.read()
    except HTTPError as error:
        text = error.read()
    return text.decode()


@pytest.mark.broker
@pytest.mark.parametrize("look", ["logs", "table", "workers"])
def test_a_run_shows_no_secret(
    look: str, edge: redis.Redis, redis_server: RedisServer, tmp_path: Path
) -> None:
    config, port = tmp_path / "routes.yaml", free_port()
    config.write_text(CONFIG.replace("PROTOCOL", "redis"))
    for body in (b'{"n": 1}', b"no JSON"):
        edge.xadd("canary-in", {"body": body})
    environ = {"GATEWAY_BROKER_EDGE_URL": url_at("redis", redis_server.port, "/0")}
    if look == "table":
        environ |= {"FORCE_COLOR": "1", "COLUMNS": "200"}
    options = ["--create-channels", "--port", str(port), "--record", str(tmp_path / "record")]
    if look == "workers":
        options += ["--workers", "2"]
    with running(config, *options, **environ) as process:
        until(lambda: edge.xlen("canary-out") == edge.xlen("canary-dead") == 1, process)
        shown = [page(port, each) for each in ("metrics", "readyz", "livez")]
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
    text = out.decode().replace(f"127.0.0.1:{port}", "")
    assert "orders" in text
    assert_clean(text, *shown)
    streams = [edge.xrange(each) for each in ("canary-out", "canary-dead")]
    assert_clean(streams)
    files = [each for each in tmp_path.rglob("*") if each.is_file() and each != config]
    assert files
    for each in files:
        data = each.read_bytes()
        assert b"CANARY" not in data, each
    assert_clean(gl.scan_capture(tmp_path / "record"))


# --- runs that go wrong ---


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Hear everything that anybody logs."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.broker
@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["nats", "rabbitmq", "redis"])
async def test_a_wrong_password_is_told_without_it(
    protocol: str,
    request: pytest.FixtureRequest,
    told: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Kafka's is in test_tls.py, where there is a server that asks for one."""
    with guarded(protocol, request, tmp_path) as port:
        environ = {"GATEWAY_BROKER_EDGE_URL": url_at(protocol, port)}
        async with gl.Gateway(config_for(protocol), environ=environ) as gateway:
            async with asyncio.timeout(LIMIT_S):
                await gateway.wait()
            (source,) = gateway.stats().sources
            assert source.state is State.RED
            assert "refuses" in source.reason
            assert_clean(gateway, gateway.stats(), vars(gateway))
    assert_clean(told.text, *map(str, told.records), *capfd.readouterr())


@contextmanager
def guarded(protocol: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[int]:
    """Start, or find, a server that knows no such user."""
    if protocol == "nats":
        users = [{"user": "ann", "password": "other"}]
        settings = {"authorization": json.dumps({"users": users})}
        with NatsServer(folder / "nats", settings=settings) as server:
            yield server.port
    else:
        found: RabbitmqServer | RedisServer = request.getfixturevalue(f"{protocol}_server")
        yield found.port


@pytest.mark.broker
@pytest.mark.anyio
async def test_a_database_that_refuses_us_is_told_without_its_address(
    postgres_server: PostgresServer,
    told: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    place = f"127.0.0.1:{postgres_server.port}/CANARY-host"
    meters = Meters(f"postgresql://{USER}:{PASSWORD}@{place}")
    meters.publish(metrics(3))
    async with meters.gateway(create_channels=True) as gateway:
        async with asyncio.timeout(LIMIT_S):
            await gateway.wait()
        (source,) = gateway.stats().sources
        assert source.state is State.RED
        assert "GATEWAY_DATABASE_METRICS_URL" in source.reason
        assert_clean(gateway, gateway.stats(), expose(gateway.stats(), "meters").decode())
    assert_clean(meters.letters(), told.text, *map(str, told.records), *capfd.readouterr())


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_broker_that_hangs_up_is_waited_for_without_naming_it(
    protocol: str, told: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = asyncio.Semaphore(0)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        calls.release()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        environ = {"GATEWAY_BROKER_EDGE_URL": url_at(protocol, port)}
        async with gl.Gateway(config_for(protocol), environ=environ) as gateway:
            async with asyncio.timeout(LIMIT_S):
                for _ in range(3):
                    await calls.acquire()
            (source,) = gateway.stats().sources
            assert source.state is State.WAITING
            assert_clean(gateway, gateway.stats(), vars(gateway))
    assert_clean(told.text, *capfd.readouterr())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "address",
    [
        "SCHEME://CANARY-user:CANARY-password@CANARY-host.example",
        "SCHEME://CANARY-user:CANARY-password@127.0.0.1:port",
        "SCHEME://CANARY-user:CANARY/password@127.0.0.1",
        "SCHEME://CANARY-user:CANARY-password@127.0.0.1?x=CANARY-password",
        "CANARY-password",
        "http://CANARY-user:CANARY-password@localhost",
    ],
)
def test_an_address_that_cannot_be_used_is_not_shown(
    protocol: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = address.replace("SCHEME", GRAMMARS[protocol].schemes[0])
    monkeypatch.setenv("GATEWAY_BROKER_EDGE_URL", url)

    async def start() -> None:
        async with gl.Gateway(config_for(protocol)):
            pass

    with pytest.raises(gl.GatewayLabError) as caught:
        asyncio.run(start())
    assert_clean(str(caught.value), repr(caught.value), repr(vars(caught.value)))
    assert_clean(*_chain(caught.value))


def _chain(error: BaseException) -> Iterator[str]:
    """Tell what a traceback would: every error behind this one."""
    known: BaseException | None = error
    while known is not None:
        yield f"{known!r} {known}"
        known = known.__cause__ or known.__context__


@pytest.mark.slow
def test_the_command_line_prints_no_address(tmp_path: Path) -> None:
    config = tmp_path / "routes.yaml"
    config.write_text(CONFIG.replace("PROTOCOL", "kafka"))
    url = "kafka://CANARY-user:CANARY-password@CANARY-host"
    with running(config, GATEWAY_BROKER_EDGE_URL=url) as process:
        out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert b"GATEWAY_BROKER_EDGE_URL" in out
    assert_clean(out.decode())


# --- objects ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_object_of_ours_shows_an_address(protocol: str) -> None:
    """Whatever hangs on a broker: what a debugger, a log line or a traceback would show of it."""
    broker = connect("edge", protocol, {"GATEWAY_BROKER_EDGE_URL": url_at(protocol, 1)})
    broker.sink()
    ours = [each for each in _reachable(broker) if type(each).__module__.startswith("gateway_lab")]
    assert broker in ours
    for each in ours:
        assert_clean(repr(each), str(each))


def _reachable(start: object) -> list[object]:
    found: dict[int, object] = {}
    stack = [start]
    while stack:
        each = stack.pop()
        if id(each) in found or isinstance(each, type) or type(each).__name__ == "module":
            continue
        found[id(each)] = each
        if type(each).__module__.startswith("gateway_lab") or isinstance(each, dict | list | tuple):
            stack += gc.get_referents(each)
    return list(found.values())


@pytest.mark.anyio
async def test_a_defect_is_told_by_its_place_alone(
    told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("CANARY-password")

    monkeypatch.setattr("gateway_lab.brokers.redis.broker.RedisBroker.open", broken)
    environ = {"GATEWAY_BROKER_EDGE_URL": url_at("redis", 1)}
    async with gl.Gateway(config_for("redis"), environ=environ) as gateway:
        await gateway.wait()
        (source,) = gateway.stats().sources
    assert source.state is State.RED
    assert "RuntimeError" in source.reason
    assert_clean(source.reason, told.text)


# --- what the lab writes ---


def test_an_export_knows_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_BROKER_EDGE_URL", url_at("kafka", 1))
    config = config_for("kafka")
    gl.export(config, tmp_path / "exported.yaml")
    assert_clean((tmp_path / "exported.yaml").read_text(), config, gl.json_schema())


def test_a_config_cannot_name_an_address_or_a_secret() -> None:
    for line in (
        "brokers: {edge: 'kafka://u:CANARY@h'}",
        "brokers: {edge: {protocol: kafka, url: CANARY}}",
        "brokers: {edge: {protocol: kafka, password: '${AWS_SECRET_ACCESS_KEY}'}}",
    ):
        with pytest.raises(gl.GatewayLabError):
            gl.parse_config(CONFIG.replace("brokers: {edge: PROTOCOL}", line))


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
_CREDENTIALS = re.compile(r"\b[a-z]+://[^/\s\"'@]*:[^/\s\"'@]+@")


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *(ROOT / "data").glob("*.y*ml")], ids=lambda p: p.name
)
def test_what_is_committed_holds_no_credentials(path: Path) -> None:
    assert not _CREDENTIALS.search(path.read_text())


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("path", [each for each in NOTEBOOKS if each.stem.startswith("04")])
def test_a_notebook_shows_no_address(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for protocol, alias in (("kafka", "STREAM"), ("rabbitmq", "WORK"), ("redis", "CACHE")):
        monkeypatch.setenv(f"GATEWAY_BROKER_{alias}_URL", url_at(protocol, 1))
    assert_clean(notebooks.text(notebooks.run(path)))
