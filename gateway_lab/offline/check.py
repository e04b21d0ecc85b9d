"""Check a config, and with a capture also against the traffic it will meet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import polars as pl

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.judge import Judge
from gateway_lab.config.check import check as check_document
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.report import Report
from gateway_lab.events.event_type import EventType, Schema
from gateway_lab.findings import Findings
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.rehearsal import GivenHandlers

LOOKED_AT = 20_000
"""Messages whose bodies are looked at for fields that are not declared; chosen by hash."""

_OF_TRAFFIC = ("handler-hangs", "max-channels", "source-not-captured")

NAMED = 8
"""Undeclared fields of an event type that a finding names."""


def check(
    config: GatewayConfig,
    capture: Capture | None = None,
    *,
    sources: Mapping[str, str | tuple[str, ...]] | None = None,
    handlers: GivenHandlers | None = None,
) -> Findings:
    """Check a config.

    Args:
        config: The config.
        capture: Traffic to compare it with: fields, types and values that are seen but not
            declared, routes that never matched, targets with too many channels.
        sources: Source name to `broker:channel`, for messages captured elsewhere.
        handlers: A gateway, whose handlers run on the capture; see `replay`.

    Returns:
        All findings; those about the capture come last, and only if the config has no errors.

    Raises:
        ReplayError: `sources` names what the config does not have, or handlers cannot run.
        ConfigError: A function is registered for a source that declares no handler.
    """
    findings = check_document(config)
    if capture is None or findings.errors:
        return findings
    result = replay(config, capture, sources=sources, handlers=handlers)
    report = Report(config.origin)
    _report_invalid(result, report)
    _report_fields(result, report)
    _report_unmatched(result, report)
    known = {(each.code, each.path) for each in findings}
    shown = [each for each in result.findings if (each.code, each.path) not in known]
    traffic = (each for each in shown if each.code in _OF_TRAFFIC)
    return Findings((*findings, *report.findings, *traffic))


# --- routes ---


def _report_unmatched(result: Replay, report: Report) -> None:
    seen = {row["router"]: row["messages"] for row in result.routers().rows(named=True)}
    numbers = {
        (name, route.name): number
        for name, router in result.config.routers.items()
        for number, route in enumerate(router.routes)
    }
    for row in result.routes().filter(pl.col("messages") == 0).rows(named=True):
        name, route = row["router"], row["route"]
        if seen[name]:
            path: DocumentPath = ("routers", name, "routes", numbers[name, route])
            text = f"no message of the capture matched route {route} ({seen[name]:,} came)"
            report.add("never-matched", path, text)


# --- bodies ---

_TYPE = re.compile(r"(?P<path>[^:]+): expected (?P<wanted>\w+), got (?P<got>\w+)")
_VALUE = re.compile(r"(?P<path>[^:]+): (?P<value>.+) is not one of ")


def _report_invalid(result: Replay, report: Report) -> None:
    """Turn the reasons of invalid bodies into what the event type should perhaps declare."""
    for source, reason, messages in result.invalid().rows():
        types = list(result.run.plan.sources[source].event_types.values())
        place = types[0] if len(types) == 1 else None
        if found := _TYPE.match(reason):
            text = (
                f"{found['path']} is {found['got']} in {messages:,} messages, not {found['wanted']}"
            )
            report.add("undeclared-type", _path(source, place, found["path"]), text)
        elif found := _VALUE.match(reason):
            text = (
                f"{found['path']} is {found['value']} in {messages:,} messages; the enum lacks it"
            )
            report.add("undeclared-value", _path(source, place, found["path"]), text)


def _path(source: str, event_type: EventType | None, path: str) -> DocumentPath:
    """Find the declaration of a field in the document, as near as it goes."""
    if event_type is None:
        return ("sources", source, "event")
    place: list[str | int] = ["events", event_type.name]
    schema: Schema | None = event_type.schema
    for name in path.split("."):
        if schema is None or name not in (schema.properties or {}):
            break
        place += ["properties", name]
        schema = (schema.properties or {})[name]
    return tuple(place)


def _report_fields(result: Replay, report: Report) -> None:
    """Look for fields in the bodies of some messages that the event type does not declare."""
    seen: dict[str, Counter[str]] = {}
    types: dict[str, EventType] = {}
    run = result.run
    judge = Judge(run.plan, run.sources, is_handled=run.is_handled)
    for batch in run.capture.sample(LOOKED_AT, seed=0).batches():
        for judged in judge.judge(batch):
            if judged.event_type is not None:
                name = judged.event_type.name
                types[name] = judged.event_type
                counts = seen.setdefault(name, Counter())
                for row in set(judged.rows) - set(judged.invalid):
                    event = msgspec.json.decode(batch["body"][row])
                    counts.update(set(_undeclared(judged.event_type.schema, event, "")))
    for name, counts in seen.items():
        if counts:
            report.add("undeclared-field", ("events", name), _named(counts))


def _named(counts: Counter[str]) -> str:
    """Name the fields that most messages have: real traffic may have hundreds."""
    if len(counts) == 1:
        ((field, count),) = counts.items()
        return f"{field} is in {count:,} of the messages looked at, and is not declared"
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    shown = ", ".join(f"{field} ({count:,})" for field, count in ranked[:NAMED])
    more = f" and {len(ranked) - NAMED:,} more" if len(ranked) > NAMED else ""
    return f"{len(ranked):,} fields are not declared; in so many messages looked at: {shown}{more}"


def _undeclared(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list) and schema.items is not None:
        for each in value:
            yield from _undeclared(schema.items, each, f"{path}[]")
    if not isinstance(value, dict) or schema.properties is None:
        return
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        if name in schema.properties:
            yield from _undeclared(schema.properties[name], inner, here)
        elif schema.additional is True:
            yield here
