"""What telemetry costs a message, Kafka to Kafka: `python -m benchmarks.telemetry`.

The same gateway three times: without telemetry, with one trace in a hundred and with every one, the
latter two with metrics. Spans are written in OTLP's bytes, as they would be sent, and go nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from benchmarks.pairs import Rates
from benchmarks.stage import Done, Stage, addresses, business_messages
from benchmarks.table import ROUNDS, Figure, show
from gateway_lab.messages.message import Message

MESSAGES = 100_000
RATES: Final = {"traced-1": 0.01, "traced-100": 1.0}
DEMANDED = 0.10
"""The part of the throughput that one trace in a hundred may cost."""


class _Written(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def trace_at(who: str) -> None:
    """Set the providers of this process."""
    tracers = TracerProvider(sampler=ParentBasedTraceIdRatio(RATES[who]), shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(_Written(), max_queue_size=100_000))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider(shutdown_on_exit=False))


def measure(rounds: int = ROUNDS, count: int = MESSAGES) -> list[Figure]:
    """Start a server and measure all three in turns."""
    messages = [_untraced(each) for each in business_messages(count)]
    runs: dict[str, list[Done]] = {who: [] for who in ("gateway", *RATES)}
    with addresses("kafka") as urls:
        stage = Stage("kafka", "kafka", urls, messages)
        for _ in range(rounds):
            for who, each in runs.items():
                each.append(stage.run(who))
    off = Rates(runs["gateway"], count)
    return [
        _figure("1 % of the messages traced", Rates(runs["traced-1"], count), off, DEMANDED),
        _figure("every message traced", Rates(runs["traced-100"], count), off, 1),
    ]


def _untraced(message: Message) -> Message:
    """Leave out the traces that some messages belong to: those would all be followed."""
    headers = tuple(each for each in message.headers if each[0] != "traceparent")
    return msgspec.structs.replace(message, headers=headers)


def _figure(what: str, traced: Rates, off: Rates, demanded: float) -> Figure:
    lost = 1 - traced.a_second / off.a_second
    return Figure(
        what=f"kafka to kafka, {what}, and metrics",
        value=str(traced),
        against=f"without telemetry: {off}",
        ratio=f"{lost:+.1%} throughput, {traced.cpu_us - off.cpu_us:+.1f} µs",
        demanded=f"<= {demanded:.0%} of the throughput" if demanded < 1 else "-",
        is_met=lost <= demanded,
    )


if __name__ == "__main__":
    show(measure())
