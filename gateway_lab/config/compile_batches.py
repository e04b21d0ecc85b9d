"""Types a batch: its groups, rows and aggregates, and the messages that it makes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_lab.config.compile_targets import compile_target
from gateway_lab.config.document import Document
from gateway_lab.config.durations import duration_us
from gateway_lab.config.plan import BatchPlan
from gateway_lab.config.report import Report
from gateway_lab.config.scopes import KeyedScope, Scopes, read_rule, read_template
from gateway_lab.events.event_type import EventType, Kind, ValueType
from gateway_lab.events.schema import read_event_type
from gateway_lab.rules.template import Template
from gateway_lab.rules.tree import Node

_SCHEMAS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.OBJECT: {},
}


def compile_batch(
    config: Document,
    name: str,
    types: Mapping[str, EventType],
    scopes: Scopes,
    report: Report,
) -> BatchPlan | None:
    """Type a batch for the events of its source; None if it is wrong, and then it is reported."""
    batch = config.batches[name]
    scope = scopes.scope(types)
    group_by = _templates(batch.group_by, scope, name, "group_by", report)
    rows = _templates(batch.rows, scope, name, "rows", report)
    aggregates = _aggregates(batch.aggregates, scopes.scope(types, aggregates=True), name, report)
    if group_by is None or rows is None or aggregates is None:
        return None
    output = _output(name, group_by, aggregates)
    made = scopes.scope({name: output}, message=False)
    targets = {
        target: plan
        for target in batch.to
        if target in config.targets and (plan := compile_target(config, target, made, report))
    }
    return BatchPlan(
        name=name,
        source=batch.source,
        size=batch.size,
        every_us=duration_us(batch.every),
        group_by=group_by,
        rows=rows,
        aggregates=aggregates,
        output=output,
        targets=targets,
        model=batch,
    )


def _templates(
    texts: Mapping[str, str], scope: KeyedScope, name: str, part: str, report: Report
) -> dict[str, Template] | None:
    read = {
        key: read_template(text, scope, ("batches", name, part, key), report)
        for key, text in sorted(texts.items())
    }
    kept = {key: template for key, template in read.items() if template is not None}
    return kept if len(kept) == len(read) else None


def _aggregates(
    texts: Mapping[str, str], scope: KeyedScope, name: str, report: Report
) -> dict[str, Node] | None:
    read = {
        key: read_rule(text, scope, None, ("batches", name, "aggregates", key), report)
        for key, text in sorted(texts.items())
    }
    kept = {key: node for key, node in read.items() if node is not None}
    return kept if len(kept) == len(read) else None


def _output(
    name: str, group_by: Mapping[str, Template], aggregates: Mapping[str, Node]
) -> EventType:
    """Describe a batch's own messages: one field each for the group and the aggregates."""
    parts = {**group_by, **aggregates}
    properties = {key: _schema(part.type) for key, part in parts.items()}
    document = {"type": "object", "required": list(properties), "properties": properties}
    return read_event_type(name, document)


def _schema(value_type: ValueType) -> dict[str, Any]:
    if value_type.kind is Kind.LIST:
        return {"type": ["array", "null"], "items": _SCHEMAS[value_type.item or Kind.OBJECT]}
    schema = _SCHEMAS[value_type.kind]
    return {**schema, "type": [schema["type"], "null"]} if schema else schema
