"""Observability: one trace from a message of Kafka, through its handler, to NATS, Redis and Kafka.

Where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, the spans also go there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id
from pydantic import BaseModel

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.stage import Stage
from gateway_lab.examples.tables import delivered
from gateway_lab.gateway.handlers.middlewares import RequestId


class ObservableEvent(BaseModel):
    """Something that happened, and how long it took."""

    event_type: str
    status: Literal["ok", "error"] = "ok"
    duration_ms: int = 0
    payload: dict[str, Any]


RESOURCE = Resource.create({"service.name": "example-observability"})
TRACES = TracerProvider(resource=RESOURCE)
TRACER = TRACES.get_tracer("gateway_lab.examples")

gateway = gl.Gateway(gl.read_config(Path(__file__).with_suffix(".yaml")), middlewares=[RequestId])


@gateway.handler("observable")
async def process(event: ObservableEvent) -> ObservableEvent:
    """Tell what was processed in a span of our own, below that of the message."""
    with TRACER.start_as_current_span("event_processing") as span:
        span.set_attribute("event.type", event.event_type)
        span.set_attribute("event.size", len(event.model_dump_json()))
        span.set_attribute("processing.result", event.status)
        return event


SHOWN = (
    *("event.type", "event.size", "processing.result"),
    *("messaging.system", "gateway_lab.route", "gateway_lab.try"),
)
"""Attributes of spans that are shown; there are more."""

LOOKS = {
    "stream": ["slow-events", "dead-letter.observable"],
    "edge": ["on-call"],
    "cache": ["archive"],
}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENTS = [
    ObservableEvent(event_type="checkout", status="error", duration_ms=12, payload={}),
    ObservableEvent(event_type="search", duration_ms=1_500, payload={"hits": 0}),
]


async def run(stage: Stage) -> dict[str, pl.DataFrame]:
    """Publish two events, one of them in a trace that began elsewhere, and show all spans."""
    spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
    TRACES.add_span_processor(SimpleSpanProcessor(spans))
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        TRACES.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider(metric_readers=[metrics], resource=RESOURCE)
    gateway.telemetry = gl.Telemetry(tracer_provider=TRACES, meter_provider=meters)
    async with LiveRun(gateway, stage, LOOKS) as live:
        failed, slow = EVENTS
        first = message(failed, x_request_id="r-1", traceparent=PARENT)
        await live.publish("stream", "observable-events", [first, message(slow)])
        messages = await live.arrived()
    TRACES.force_flush()
    return {
        "arrived": delivered(messages),
        "spans": tree(spans.get_finished_spans()),
        "metrics": counts(metrics),
    }


def tree(spans: Sequence[ReadableSpan]) -> pl.DataFrame:
    """Show spans: `trace, span, parent, attributes`, each trace in the order that it began in."""
    names = {each.context.span_id: each.name for each in spans}
    rows = [
        {
            "trace": format_trace_id(each.context.trace_id),
            "span": each.name,
            "parent": each.parent and names.get(each.parent.span_id, "elsewhere"),
            "attributes": told(each.attributes or {}),
        }
        for each in sorted(spans, key=lambda one: (one.context.trace_id, one.start_time or 0))
    ]
    return pl.DataFrame(rows)


def told(attributes: Mapping[str, object]) -> str:
    """Write down the telling ones."""
    return ", ".join(f"{name}={value}" for name, value in attributes.items() if name in SHOWN)


def counts(reader: InMemoryMetricReader) -> pl.DataFrame:
    """Show `metric, unit, points, total`: the count of what was measured, or the sum of what was counted."""
    data = reader.get_metrics_data()
    metrics = [
        metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    rows = [
        {
            "metric": each.name,
            "unit": each.unit,
            "points": len(each.data.data_points),
            "total": sum(
                point.value if isinstance(point, NumberDataPoint) else point.count
                for point in each.data.data_points
            ),
        }
        for each in metrics
    ]
    return pl.DataFrame(rows, schema_overrides={"total": pl.Float64})
