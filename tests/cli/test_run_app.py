"""`gateway-lab run FILE --app module:gateway`, and the document of a config."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic

import pytest
import redis
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.cli.main import app
from gateway_lab.testing.servers import RedisServer

LIMIT_S = 50
CONFIG = """
gateway_lab: 1
name: run-app
brokers: {here: memory}
events: {Order: {type: object, required: [n], properties: {n: {type: integer}}}}
sources: {orders: {broker: here, channel: orders, event: Order, handler: {returns: Order}}}
targets: {copy: {broker: here, channel: copies}}
routers: {all: {source: orders, match: all, routes: [{name: all, to: [copy]}], unmatched: drop}}
dead_letter: {broker: here, channel: dead}
"""
MODULE = """
import os
from pathlib import Path
import gateway_lab as gl

gateway = gl.Gateway(gl.read_config(Path(__file__).with_name("run.yaml")))

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

@gateway.handler("orders")
async def handle(n: int) -> dict:
    tell("handled", n, "by", os.getpid())
    return {"n": n}

@gateway.app.on_startup
async def begin(worker_id: int | None = None) -> None:
    tell("begin", worker_id)

@gateway.app.after_shutdown
async def ended() -> None:
    tell("ended")
"""
FEEDING = """
from gateway_lab.brokers.memory.server import server_at
from gateway_lab.messages.message import Message
from gateway_lab.rules.fill import EPOCH

@gateway.app.after_startup
async def feed() -> None:
    server = server_at("memory://here")
    server.create(["orders", "copies", "dead"])
    server.publish("orders", [Message(body=b'{"n":7}', received=EPOCH)])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "run_module.py").write_text(MODULE)
    return tmp_path


@contextmanager
def running(folder: Path, *options: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    code = "from gateway_lab.cli.main import app; app()"
    arguments = ["run", "run.yaml", "--app", "run_module:gateway", *options]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str], begin: str) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if line.startswith(begin))


def errors_of(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=LIMIT_S)[1]


@pytest.mark.slow
def test_the_functions_and_hooks_of_a_module_run_with_a_config(folder: Path) -> None:
    with (folder / "run_module.py").open("a") as module:
        module.write(FEEDING)
    with running(folder, "--create-channels") as process:
        assert line_of(process, "begin") == "begin None\n"
        assert line_of(process, "handled").startswith("handled 7")
        process.send_signal(signal.SIGTERM)
        assert line_of(process, "ended")
        assert '"settled": 1' in errors_of(process)
        assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_config_that_declares_no_such_handler_is_refused(folder: Path, workers: str) -> None:
    text = CONFIG.replace(", handler: {returns: Order}", "")
    (folder / "run.yaml").write_text(text)
    with (folder / "run_module.py").open("a") as module:
        module.write("gateway = gl.Gateway(gl.read_config('other.yaml'), middlewares=[])\n")
        module.write("gateway.handler('orders')(handle)\n")
    (folder / "other.yaml").write_text(CONFIG)
    module_text = (folder / "run_module.py").read_text()
    first = 'gl.read_config(Path(__file__).with_name("run.yaml"))'
    (folder / "run_module.py").write_text(
        module_text.replace(first, "gl.read_config('other.yaml')")
    )
    with running(folder, "--workers", workers) as process:
        told = errors_of(process)
        assert "a function is registered for orders, which declares no handler" in told
        assert process.returncode == 2


@pytest.mark.slow
def test_a_module_that_cannot_be_imported_is_named_with_the_reason(folder: Path) -> None:
    (folder / "run_module.py").write_text("import nothing_of_this_name\n")
    with running(folder) as process:
        assert errors_of(process) == (
            "error: --app: the module run_module cannot be imported: there is no module "
            "nothing_of_this_name\nhint: install it\n"
        )
        assert process.returncode == 2


@pytest.mark.slow
def test_a_hook_that_fails_ends_the_run_with_its_reason(folder: Path) -> None:
    with (folder / "run_module.py").open("a") as module:
        module.write(
            "@gateway.app.after_startup\nasync def fail():\n    raise LookupError('none')\n"
        )
    with running(folder, "--create-channels") as process:
        told = errors_of(process)
        assert "a hook of the app failed: LookupError: none" in told
        assert "Traceback" not in told
        assert process.returncode == 2


@pytest.mark.broker
def test_each_worker_imports_the_module(folder: Path, redis_server: RedisServer) -> None:
    name = f"run-app-{os.getpid()}"
    text = CONFIG.replace("here: memory", "here: redis").replace("run-app", name)
    for channel in ("orders", "copies", "dead"):
        text = text.replace(f"channel: {channel}", f"channel: {name}-{channel}")
    (folder / "run.yaml").write_text(text)
    environ = {"GATEWAY_BROKER_HERE_URL": redis_server.url}
    client = redis.Redis(port=redis_server.port)
    with running(folder, "--workers", "2", "--create-channels", **environ) as process:
        numbers = {line_of(process, "begin").split()[1] for _ in range(2)}
        assert numbers == {"0", "1"}
        handled, pids, end = set(), set(), monotonic() + LIMIT_S
        for n in count():
            assert monotonic() < end, "only one of them handles messages"
            client.xadd(f"{name}-orders", {"body": f'{{"n":{n}}}'})
            _, number, _, pid = line_of(process, "handled").split()
            handled.add(int(number))
            pids.add(pid)
            if len(pids) == 2:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    assert handled == set(range(n + 1))


def test_the_document_of_a_config_is_printed(folder: Path) -> None:
    result = CliRunner().invoke(app, ["schema", "--asyncapi", str(folder / "run.yaml")])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == gl.asyncapi(gl.parse_config(CONFIG))
