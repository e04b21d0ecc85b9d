"""Draws one trace, of spans that real brokers made: `python -m tools.trace_picture`.

A message of Kafka goes through its handler to RabbitMQ and NATS, and from RabbitMQ on to Redis;
docs/pictures/trace.svg shows when each span began and ended.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

import gateway_lab as gl
from gateway_lab.brokers.contract import Outgoing
from gateway_lab.brokers.registry import connect
from gateway_lab.testing.servers import SERVERS

PICTURE: Final = Path(__file__).parents[1] / "docs" / "pictures" / "trace.svg"
CONFIG: Final = """
gateway_lab: 1
name: observable
brokers: {stream: kafka, work: rabbitmq, edge: nats, cache: redis}
events:
  Observable: {type: object, required: [event_type], properties: {event_type: {type: string}}}
sources:
  observable: {broker: stream, channel: observable-events, event: Observable,
               handler: {returns: Observable}}
  work: {broker: work, channel: events.work, event: Observable}
targets:
  work: {broker: work, channel: events.work}
  edge: {broker: edge, channel: "events.{event_type}"}
  archive: {broker: cache, channel: archive}
routers:
  by_event:
    source: observable
    match: all
    routes: [{name: work, to: [work]}, {name: edge, to: [edge]}]
    unmatched: drop
  kept: {source: work, match: all, routes: [{name: all, to: [archive]}], unmatched: drop}
dead_letter: {broker: stream, channel: dead-letter}
"""
WARM: Final = 5
"""Messages before the one that is drawn: the first meets cold caches."""

_WIDTH, _NAMES, _LINE = 960, 330, 30
_COLOURS: Final = {
    "kafka": "#3b6fb6",
    "rabbitmq": "#d97706",
    "nats": "#2f9e6e",
    "redis": "#c2413b",
    "": "#6b7280",
}


class Observable(BaseModel):
    """Something that happened."""

    event_type: str


async def traced(urls: dict[str, str]) -> list[ReadableSpan]:
    """Return the spans of the last of some messages."""
    spans, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    config = gl.parse_config(CONFIG)
    environ = {f"GATEWAY_BROKER_{a.upper()}_URL": urls[p] for a, p in config.brokers.items()}
    gateway = gl.Gateway(config, environ=environ, create_channels=True)
    gateway.telemetry = gl.Telemetry(tracer_provider=tracers)
    tracer = tracers.get_tracer("shop")

    @gateway.handler("observable")
    async def observe(event: Observable) -> Observable:
        with tracer.start_as_current_span("event_processing") as span:
            span.set_attribute("event.type", event.event_type)
            await asyncio.sleep(0.001)
            return event

    stream = connect("stream", "kafka", environ, gateway="picture")
    await stream.open()
    async with gateway:
        await _until(lambda: all(str(each.state) == "running" for each in gateway.stats().sources))
        for number in range(WARM + 1):
            body = b'{"event_type": "search"}'
            sent = Outgoing("observable-events", None, (), body, datetime.now(UTC), str(number))
            await stream.sink().send([sent])
            done = 2 * (number + 1)  # two sources read it
            await _until(lambda: sum(e.settled for e in gateway.stats().sources) >= done)  # noqa: B023
    await stream.close()
    found = list(spans.get_finished_spans())
    [*_, last] = [each for each in found if each.name == "process observable-events"]
    assert last.context  # noqa: S101 - it has ended
    return [
        each for each in found if each.context and each.context.trace_id == last.context.trace_id
    ]


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - the books ring no bell
            await asyncio.sleep(0.01)


def drawn(spans: Sequence[ReadableSpan]) -> str:
    """Draw spans, each below the one that it follows."""
    lines = list(_tree(spans, None, 0))
    first = min(each.start_time or 0 for each in spans)
    whole = max(each.end_time or 0 for each in spans) - first
    scale = (_WIDTH - _NAMES - 110) / whole
    height = _LINE * len(lines) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        ' font-family="system-ui, sans-serif" font-size="14" role="img">',
        "<title>One trace across four brokers, as its spans were recorded</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for row, (depth, span) in enumerate(lines):
        system = str((span.attributes or {}).get("messaging.system", ""))
        begun, ended = (span.start_time or 0) - first, (span.end_time or 0) - first
        x, width = _NAMES + begun * scale, max(2.0, (ended - begun) * scale)
        y = 20 + row * _LINE
        parts.append(
            f'<text x="{12 + depth * 18}" y="{y + 15}" fill="#111827">{escape(span.name)}</text>'
            f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="18" rx="3" '
            f'fill="{_COLOURS[system]}"/>'
            f'<text x="{x + width + 6:.1f}" y="{y + 16}" fill="#374151" font-size="12">'
            f"{(ended - begun) / 1e6:.1f} ms{f' · {system}' if system else ''}</text>"
        )
    return "\n".join([*parts, "</svg>\n"])


def _tree(
    spans: Sequence[ReadableSpan], parent: int | None, depth: int
) -> list[tuple[int, ReadableSpan]]:
    found = [each for each in spans if (each.parent.span_id if each.parent else None) == parent]
    lines: list[tuple[int, ReadableSpan]] = []
    for each in sorted(found, key=lambda span: span.start_time or 0):
        lines.append((depth, each))
        lines += _tree(spans, each.context.span_id if each.context else None, depth + 1)
    return lines


def main() -> None:
    """Start the servers, and draw."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {name: make(Path(folder) / name) for name, make in SERVERS.items()}
        for each in servers.values():
            stack.callback(each.stop)
            each.start()
        spans = asyncio.run(traced({name: each.url for name, each in servers.items()}))
    PICTURE.write_text(drawn(spans))
    print(PICTURE)


if __name__ == "__main__":
    main()
