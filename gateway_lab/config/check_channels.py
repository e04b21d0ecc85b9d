"""What protocols allow: channels, patterns, headers, options, and what a target cannot carry."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from gateway_lab.config.document import Document
from gateway_lab.config.model import Address, Target
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import Plan, TargetPlan
from gateway_lab.config.refusals import refusals
from gateway_lab.config.report import Report
from gateway_lab.config.uses import address_places
from gateway_lab.events.event_type import EventType
from gateway_lab.findings import Severity
from gateway_lab.messages.headers import is_control
from gateway_lab.protocols.protocol import Options, Protocol
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.rules.template import Template
from gateway_lab.rules.tree import Field, column_name, references

_BRACES = re.compile(r"\{[^{}]*\}")

NAMES_HINT = "letters, digits, `-`, `_` and single dots within are safe everywhere"

SAMPLE = "x"
"""Stands for the value of an expression; every protocol allows it anywhere in a name."""


def check_sources(config: Document, report: Report) -> None:
    """Check the channels, patterns and options of all sources."""
    for name, source in config.sources.items():
        for path, address in address_places(name, source):
            protocol = PROTOCOLS.get(config.brokers.get(address.broker, ""))
            if protocol is not None:
                _check_channel(path, address, protocol, report)
                _check_pattern(path, address, protocol, report)
                _check_options(path, address.options, protocol.source_options, report)


def _check_channel(
    path: DocumentPath, address: Address, protocol: Protocol, report: Report
) -> None:
    channel, path = address.channel, (*path, "channel")
    is_binding_key = "exchange" in address.options
    if channel is None or is_binding_key:
        return
    if _BRACES.search(channel):
        text, hint = "a source reads a fixed channel", "write the name out, or use `pattern`"
        report.add("source-is-template", path, text, hint)
    elif reason := protocol.check_channel(channel):
        text = f"{protocol.name} refuses {channel!r}: {reason}"
        report.add("channel-refused", path, text, NAMES_HINT)


def _check_pattern(
    path: DocumentPath, address: Address, protocol: Protocol, report: Report
) -> None:
    if address.pattern is None:
        return
    path = (*path, "pattern")
    if protocol.check_pattern is None:
        text, hint = f"{protocol.name} has no patterns", "list the channels under `from`"
        report.add("pattern-refused", path, text, hint)
    elif reason := protocol.check_pattern(address.pattern):
        report.add("pattern-refused", path, f"{protocol.name} refuses it: {reason}")


def _check_options(
    path: DocumentPath, options: Mapping[str, Any], model: type[Options], report: Report
) -> None:
    try:
        model.model_validate(dict(options))
    except ValidationError as error:
        for each in refusals(error, dict(options), model):
            place = (*path, "options", *each.path)
            report.add("option-refused", place, each.text, each.hint, is_key=each.is_key)


def check_targets(config: Document, plan: Plan, report: Report) -> None:
    """Check the channels, headers and options of all targets, and what they cannot carry."""
    for name, target in config.targets.items():
        protocol = PROTOCOLS.get(config.brokers.get(target.broker, ""))
        if protocol is None:
            continue
        path: DocumentPath = ("targets", name)
        _check_options(path, target.options, protocol.target_options, report)
        _check_headers(path, target, protocol, report)
        sources = [source for source, known in plan.targets if known == name]
        plans = [plan.targets[source, name] for source in sources]
        plans += [each.targets[name] for each in plan.batches.values() if name in each.targets]
        _check_names(path, plans, protocol, report)
        _note_bound(path, target, _open_values(plan, name), report)
        _note_carried(path, _protocols(plan, sources), protocol, report)


def sample_channel(template: Template) -> str:
    """Render a channel with a value that is allowed everywhere."""
    return "".join(part if isinstance(part, str) else SAMPLE for part in template.parts)


def _check_names(
    path: DocumentPath, plans: Iterable[TargetPlan], protocol: Protocol, report: Report
) -> None:
    for plan in plans:
        if reason := protocol.check_channel(sample_channel(plan.channel)):
            text = f"{protocol.name} refuses every channel of this template: {reason}"
            report.add("channel-refused", (*path, "channel"), text, NAMES_HINT)


def _check_headers(path: DocumentPath, target: Target, protocol: Protocol, report: Report) -> None:
    for header in target.headers:
        reason = protocol.check_header(header)
        if reason is None and protocol.is_control(header.lower()):
            reason = "it belongs to the gateway or the broker"
        if reason:
            text = f"{protocol.name} refuses the header {header!r}: {reason}"
            hint = "choose another name, such as x-origin"
            report.add("header-refused", (*path, "headers", header), text, hint, is_key=True)
    passing = () if isinstance(target.pass_headers, str) else target.pass_headers
    for index, header in enumerate(passing):
        if protocol.is_control(header.lower()) or is_control(header.lower()):
            place, text = (*path, "pass_headers", index), f"{header!r} never passes"
            hint = "it belongs to the gateway or to a broker"
            report.add("header-refused", place, text, hint, severity=Severity.WARNING)


def _note_bound(path: DocumentPath, target: Target, values: set[str], report: Report) -> None:
    if values and "max_channels" not in target.model_fields_set:
        named = " and ".join(sorted(values))
        text = f"{named} may have any number of values: {target.max_channels} channels may be live"
        hint = "say how many you mean to have: `max_channels`"
        report.add("unbounded-channels", (*path, "channel"), text, hint)


def _open_values(plan: Plan, target: str) -> set[str]:
    """Name what a target's channel is built from and no enum lists."""
    found = set()
    for (source, name), planned in plan.targets.items():
        types = plan.sources[source].routed_types.values() if source in plan.sources else ()
        for node in planned.channel.nodes if name == target else ():
            for reference in references(node):
                if not (isinstance(reference, Field) and _is_listed(reference, types)):
                    found.add(column_name(reference).removeprefix("event."))
    return found


def _is_listed(field: Field, types: Collection[EventType]) -> bool:
    schemas = [schema for each in types if (schema := each.find(field.path)) is not None]
    return all(schema.enum is not None or schema.type == "boolean" for schema in schemas)


def _protocols(plan: Plan, sources: Iterable[str]) -> list[Protocol]:
    names = {each.protocol for source in sources for each in plan.sources[source].addresses}
    return [PROTOCOLS[name] for name in sorted(names)]


def _note_carried(
    path: DocumentPath, sources: Iterable[Protocol], protocol: Protocol, report: Report
) -> None:
    """Say what changes on the way from any of the sources to this protocol."""
    to = protocol.carries
    changes = {}
    for source in sources:
        here = source.carries
        if here.key == "native" != to.key:
            changes["key"] = f"the key in the header {to.key}"
        if here.timestamp == "native" != to.timestamp:
            changes["time"] = f"the time in the header {to.timestamp}"
        if here.repeated and not to.repeated:
            changes["repeated"] = "of repeated headers the last"
        if here.binary and not to.binary:
            changes["binary"] = "keys and headers as text only"
        if here.tombstone and not to.tombstone:
            changes["tombstone"] = "an empty body for none"
    if changes:
        text = f"{protocol.name} takes " + ", ".join(changes.values())
        report.add("not-carried", (*path, "broker"), text)
