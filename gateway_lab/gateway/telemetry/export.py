"""Sends spans and metrics where OpenTelemetry's own variables say; for processes that are all ours.

Whatever becomes of them, the gateway goes on: they are sent by threads of their own from queues
that drop what is too much, and a receiver that is away is told of once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points, version
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from gateway_lab.gateway.telemetry.telemetry import global_meters, global_tracers

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

FLUSH_S: Final = 5.0
"""How long the end of a gateway waits for what is still to be sent."""

_PROTOCOLS: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_LOG: Final = logging.getLogger("gateway_lab.telemetry")
_OTHERS: Final = logging.getLogger("opentelemetry")


class Exports:
    """Sends spans and metrics while its block runs, if a variable asks for it.

        async with Exports(config.name):
            async with Gateway(config) as gateway:
                await gateway.wait()

    Providers that are set already stay: then whoever set them sends.
    """

    def __init__(
        self, name: str, instance: str = "", environ: Mapping[str, str] = os.environ
    ) -> None:
        """Read the variables; what cannot be done is told in the log, and nothing is raised.

        Args:
            name: Of the config; it is the name of the service, where no variable gives another.
            instance: Tells this process from others of the service; empty: any name.
            environ: Where the variables are that say whether; the SDK reads all others.
        """
        self._name, self._instance = name, instance or str(uuid4())
        self._exporters = {each: _exporters(each, environ) for each in ("traces", "metrics")}
        self._ends: list[Callable[[], object]] = []
        self._troubles = _Troubles()

    async def __aenter__(self) -> Self:
        """Begin."""
        if any(self._exporters.values()):
            try:
                self._begin()
            except ModuleNotFoundError:
                _LOG.warning("no telemetry: `pip install gateway-lab[telemetry]` is missing")
            except Exception as error:  # noqa: BLE001 - a variable that the SDK cannot read
                _LOG.warning("no telemetry: an OTEL_ variable is wrong: %s", type(error).__name__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send what is left, within a limit."""
        await asyncio.to_thread(self._end)
        _OTHERS.removeHandler(self._troubles)
        _OTHERS.propagate = True

    def _begin(self) -> None:
        from opentelemetry import metrics, trace  # noqa: PLC0415

        _OTHERS.addHandler(self._troubles)
        _OTHERS.propagate = False
        resource = self._resource()
        if not global_tracers() and (found := self._load("traces")):
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

            tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            for make in found:
                tracers.add_span_processor(BatchSpanProcessor(make()))
            trace.set_tracer_provider(tracers)
            self._ends.append(tracers.shutdown)
        if not global_meters() and (found := self._load("metrics")):
            from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
            from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
                PeriodicExportingMetricReader,
            )

            readers = [PeriodicExportingMetricReader(make()) for make in found]
            meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
            metrics.set_meter_provider(meters)
            self._ends.append(meters.shutdown)

    def _resource(self) -> Resource:
        """Say who this is; the variables have the last word."""
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

        own = {
            "service.name": self._name,
            "service.instance.id": self._instance,
            "service.version": version("gateway-lab"),
        }
        given = OTELResourceDetector().detect().attributes
        return Resource.create({name: own[name] for name in own if name not in given})

    def _load(self, signal: str) -> list[Callable[[], Any]]:
        """Return what makes the exporters of a signal."""
        found: list[Callable[[], Any]] = []
        for name in self._exporters[signal]:
            points = entry_points(group=f"opentelemetry_{signal}_exporter", name=name)
            if not points:
                _LOG.warning("no %s: there is no exporter %s, install its package", signal, name)
            found += [each.load() for each in points]
        if found:
            _LOG.info("%s go out by %s", signal, ", ".join(self._exporters[signal]))
        return found

    def _end(self) -> None:
        """Let the threads send what is left; they end with the process, whatever they wait for."""
        ending = [Thread(target=end, daemon=True) for end in self._ends]
        for each in ending:
            each.start()
        until = monotonic() + FLUSH_S
        for each in ending:
            each.join(max(0.0, until - monotonic()))


def _exporters(signal: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the exporters that are asked for, as their packages register them."""
    upper = signal.upper()
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ()
    asked = environ.get(f"OTEL_{upper}_EXPORTER", "")
    ends = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{upper}_ENDPOINT")
    if not asked and any(environ.get(each) for each in ends):
        asked = "otlp"
    names = (each.strip() for each in asked.split(","))
    return tuple(_registered(each, upper, environ) for each in names if each not in {"", "none"})


def _registered(name: str, upper: str, environ: Mapping[str, str]) -> str:
    if name != "otlp":
        return name
    variables = (f"OTEL_EXPORTER_OTLP_{upper}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    asked = next(filter(None, map(environ.get, variables)), "http/protobuf")
    return _PROTOCOLS.get(asked, f"{name} by {asked}")


class _Troubles(logging.Handler):
    """Tells once that some part of OpenTelemetry has trouble; its texts may hold addresses."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it, and never again of the same part: one that sends, or one that counts."""
        part = ".".join(record.name.split(".")[:2])
        if part not in self._told:
            self._told.add(part)
            _LOG.warning(
                "telemetry is dropped, the gateway goes on: %s says %s (%s:%d)",
                record.name,
                record.levelname,
                record.filename,
                record.lineno,
            )
