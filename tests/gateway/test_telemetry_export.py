"""What OpenTelemetry's variables ask for; `tests/cli/test_run_telemetry.py` has the rest."""

from __future__ import annotations

import logging
import sys

import pytest

from gateway_lab.gateway.telemetry.export import Exports, _exporters, _Troubles
from gateway_lab.gateway.telemetry.telemetry import global_meters, global_tracers

pytestmark = pytest.mark.anyio

HTTP, GRPC = ("otlp_proto_http",), ("otlp_proto_grpc",)


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({}, (), ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, HTTP, HTTP),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, HTTP, ()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, HTTP, ()),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ("console", *HTTP), ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_METRICS_EXPORTER": "none"}, HTTP, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "TRUE"}, (), ()),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, GRPC, ()),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            },
            GRPC,
            HTTP,
        ),
    ],
)
def test_a_signal_goes_where_a_variable_says(
    environ: dict[str, str], traces: tuple[str, ...], metrics: tuple[str, ...]
) -> None:
    assert _exporters("traces", environ) == traces
    assert _exporters("metrics", environ) == metrics


async def test_without_a_variable_nothing_is_set() -> None:
    async with Exports("shop", environ={}):
        assert global_tracers() is None
        assert global_meters() is None


async def test_a_package_that_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with caplog.at_level(logging.WARNING, "gateway_lab.telemetry"):
        async with Exports("shop", environ={"OTEL_TRACES_EXPORTER": "otlp"}):
            pass
    assert "gateway-lab[telemetry]" in caplog.text


def test_the_config_names_the_service_unless_a_variable_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    own = Exports("shop", "blue-0", environ={})._resource().attributes
    assert (own["service.name"], own["service.instance.id"]) == ("shop", "blue-0")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=i,team=data")
    given = Exports("shop", "blue-0", environ={})._resource().attributes
    assert given["service.name"] == "named"
    assert (given["service.instance.id"], given["team"]) == ("i", "data")


def test_each_part_of_the_sdk_is_told_of_once_and_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    troubles = _Troubles()
    with caplog.at_level(logging.WARNING, "gateway_lab.telemetry"):
        for name in ("exporter.otlp.traces", "exporter.otlp.metrics", "sdk.trace", "sdk.trace"):
            args = (f"opentelemetry.{name}", logging.ERROR, "f.py", 1, "http://secret", (), None)
            troubles.emit(logging.LogRecord(*args))
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text
