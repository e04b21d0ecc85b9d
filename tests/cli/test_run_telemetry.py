"""`gateway-lab run` and OpenTelemetry's own variables."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import NatsServer
from tests.cli.otlp import receiving
from tests.cli.test_run import lines
from tests.gateway.spans import SAMPLED, TRACE
from tests.live.clients import Fresh

pytestmark = [pytest.mark.anyio, pytest.mark.broker]

NAME = f"otlp-{os.getpid()}"
CONFIG = f"""
gateway_lab: 1
name: otlp-shop
brokers: {{edge: nats}}
events:
  Order: {{type: object, required: [n], properties: {{n: {{type: integer}}}}}}
sources: {{orders: {{broker: edge, channel: "{NAME}-in", event: Order}}}}
targets: {{copy: {{broker: edge, channel: "{NAME}-out"}}}}
routers: {{all: {{source: orders, match: all, routes: [{{name: all, to: [copy]}}], unmatched: drop}}}}
dead_letter: {{broker: edge, channel: "{NAME}-dead"}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "otlp.yaml"
    path.write_text(CONFIG)
    return path


@contextmanager
def running(
    config: Path, environ: Mapping[str, str], *options: str
) -> Iterator[subprocess.Popen[str]]:
    code = "from gateway_lab.cli.main import app; app()"
    command = [sys.executable, "-c", code, "run", str(config), "--create-channels", *options]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**clean, **environ}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], log: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stop it, and return what it said after that."""
    process.send_signal(signal.SIGTERM)
    rest = list(log)
    assert process.wait(60) == 0
    return rest


async def one_message_through(
    server: NatsServer, log: Iterator[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Publish one message when the gateway runs, wait until it arrived; return what was said."""
    said: list[dict[str, Any]] = []
    for line in log:
        said.append(line)
        if line["message"] == "source orders is running":
            break
    client = Fresh("nats", server.url)
    message = Message(body=b'{"n": 1}', headers=(SAMPLED,), received=datetime.now(UTC))
    await client.publish(f"{NAME}-in", [message])
    arrived: list[Message] = []
    while not arrived:
        arrived = (await client.fetch([f"{NAME}-out"]))[f"{NAME}-out"]
    return said


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one", "workers"])
async def test_spans_and_metrics_go_to_a_receiver(
    nats_server: NatsServer, config: Path, options: tuple[str, ...]
) -> None:
    with receiving() as receiver:
        environ = {
            "GATEWAY_BROKER_EDGE_URL": nats_server.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        with running(config, environ, *options) as process:
            log = lines(process)
            await one_message_through(nats_server, log)
            ended(process, log)
        of_trace = [each for each in receiver.spans if each.trace_id.hex() == TRACE]
        assert {each.name for each in of_trace} >= {f"process {NAME}-in", f"send {NAME}-out"}
        assert receiver.services == {"otlp-shop"}
        names = {each.name for each in receiver.metrics}
        assert {"gateway_lab.messages_read", "messaging.client.sent.messages"} <= names


@pytest.mark.parametrize("hangs", [False, True], ids=["away", "hangs"])
async def test_a_receiver_that_does_not_answer_stops_nothing_and_is_told_of_once(
    nats_server: NatsServer, config: Path, hangs: bool
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if hangs:
            taken.listen()  # and never accepts
        environ = {
            "GATEWAY_BROKER_EDGE_URL": nats_server.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
        }
        with running(config, environ) as process:
            log = lines(process)
            said = await one_message_through(nats_server, log)
            said += ended(process, log)
    dropped = [each for each in said if each["message"].startswith("telemetry is dropped")]
    assert len(dropped) <= 1 if hangs else len(dropped) == 1
    assert not [each for each in dropped if "127.0.0.1" in each["message"]]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("OTEL_TRACES_EXPORTER", "nowhere", "no traces: there is no exporter nowhere"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "no traces: there is no exporter otlp by"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "no telemetry: an OTEL_ variable is wrong"),
    ],
)
async def test_a_variable_that_is_wrong_is_told_and_the_gateway_runs(
    nats_server: NatsServer, config: Path, variable: str, value: str, told: str
) -> None:
    environ = {
        "GATEWAY_BROKER_EDGE_URL": nats_server.url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        variable: value,
    }
    with running(config, environ) as process:
        log = lines(process)
        said = await one_message_through(nats_server, log)
        ended(process, log)
    assert [each for each in said if each["message"].startswith(told)]
