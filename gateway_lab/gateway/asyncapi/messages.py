"""Messages and schemas of an AsyncAPI document, from event types and the templates of targets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import TargetPlan
from gateway_lab.events.event_type import EventType, Kind, ValueType
from gateway_lab.gateway.dead_letter import PREFIX
from gateway_lab.messages.headers import ID_HEADER
from gateway_lab.rules.template import BodyTemplate, Template
from gateway_lab.rules.tree import Literal

_SCHEMAS: Final[Mapping[Kind, Mapping[str, Any]]] = {
    Kind.TEXT: {"type": "string"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.OBJECT: {},
}
_DEFINITIONS: Final = "#/$defs/"
_ONE: Final = frozenset({"items", "additionalProperties"})
_TABLES: Final = frozenset({"properties", "patternProperties"})
_OWN: Final = frozenset({"$defs", "$schema", "$id"})
"""What a schema says of itself as a document, which it is no more."""

_TEXT: Final[Mapping[str, str]] = {"type": "string"}


class Messages:
    """Collects messages and schemas; each call returns the names of messages."""

    def __init__(self, config: GatewayConfig) -> None:
        """Begin with all event types of a config."""
        self._messages: dict[str, dict[str, Any]] = {}
        self._schemas: dict[str, Any] = {}
        for name, document in config.events.items():
            self._add_schema(name, document)

    def event(self, event_type: EventType) -> str:
        """Add what has an event type as its body."""
        name = event_type.name
        self._add_schema(name, event_type.document)
        self._messages[name] = {"name": name, "payload": _reference(name)}
        return name

    def anything(self) -> str:
        """Add what has any body."""
        self._messages["anything"] = {
            "name": "anything",
            "description": "Bytes as they come; they are not decoded.",
            "contentType": "application/octet-stream",
            "payload": {},
        }
        return "anything"

    def letter(self) -> str:
        """Add the dead letter of a message, with its original body."""
        told = ("source", "router", "route", "target", "class", "reason", "position", "config")
        names = [ID_HEADER, *(f"{PREFIX}{name}" for name in told)]
        self._messages["dead_letter"] = {
            "name": "dead_letter",
            "description": "A message that could not be handled or delivered, as it came.",
            "contentType": "application/octet-stream",
            "headers": {"type": "object", "properties": {name: dict(_TEXT) for name in names}},
            "payload": {},
        }
        return "dead_letter"

    def sent(self, target: TargetPlan, event_types: Sequence[EventType]) -> Iterator[str]:
        """Add what a target sends of messages of some event types; none: of any."""
        own = _headers(target) | _key(target)
        if target.body is not None:
            yield self._add(target.name, {**own, "payload": _body(target.body)})
        elif not event_types and not own:
            yield self.anything()
        elif not event_types:
            yield self._add(target.name, {**own, "payload": {}})
        for event_type in event_types if target.body is None else ():
            name = self.event(event_type)
            if own:
                message = {**own, "payload": _reference(name)}
                name = self._add(f"{target.name}.{name}", message)
            yield name

    def components(self) -> dict[str, Any]:
        """Return all that was added."""
        return {"messages": self._messages, "schemas": self._schemas}

    def _add(self, name: str, message: dict[str, Any]) -> str:
        """Add a message; one that differs from what has its name has a number behind it."""
        unique, number = name, 1
        while self._messages.get(unique, {"name": unique, **message}) != {
            "name": unique,
            **message,
        }:
            number += 1
            unique = f"{name}.{number}"
        self._messages[unique] = {"name": unique, **message}
        return unique

    def _add_schema(self, name: str, document: Mapping[str, Any]) -> None:
        """Add a schema, and what it defines for itself."""
        if name not in self._schemas:
            self._schemas[name] = _lifted(document, name)
            for inner, each in document.get("$defs", {}).items():
                self._schemas[_inner(name, inner)] = _lifted(each, name)


# --- schemas ---


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _inner(name: str, inner: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{name}.{inner}")


def _lifted(schema: Any, name: str) -> Any:
    """Return a schema whose references lead to where its definitions are now."""
    if not isinstance(schema, Mapping):
        return schema
    if isinstance(to := schema.get("$ref"), str):
        return _reference(_inner(name, to.removeprefix(_DEFINITIONS)))
    return {key: _part(key, each, name) for key, each in schema.items() if key not in _OWN}


def _part(key: str, value: Any, name: str) -> Any:
    """Lift what is a schema, and leave values as they are."""
    if key in _ONE:
        return _lifted(value, name)
    if key == "anyOf":
        return [_lifted(each, name) for each in value]
    if key in _TABLES:
        return {inner: _lifted(each, name) for inner, each in value.items()}
    return value


# --- what targets write ---


def _headers(target: TargetPlan) -> dict[str, Any]:
    properties = {name: dict(_TEXT) for name in sorted(target.headers)}
    return {"headers": {"type": "object", "properties": properties}} if properties else {}


def _key(target: TargetPlan) -> dict[str, Any]:
    if target.key is None or target.protocol != "kafka":
        return {}
    return {"bindings": {"kafka": {"key": dict(_TEXT), "bindingVersion": "0.5.0"}}}


def _body(body: BodyTemplate) -> dict[str, Any]:
    """Return the schema of what a template writes; whatever it reads may be absent, so null."""
    if isinstance(body, Template):
        return _written(body)
    if isinstance(body, Mapping):
        properties = {name: _body(each) for name, each in body.items()}
        return {"type": "object", "required": list(properties), "properties": properties}
    if isinstance(body, tuple):
        count = len(body)
        return {"type": "array", "minItems": count, "maxItems": count}
    return {"const": body}


def _written(template: Template) -> dict[str, Any]:
    if not template.nodes:
        return {"const": "".join(part for part in template.parts if isinstance(part, str))}
    if all(isinstance(node, Literal) for node in template.nodes):
        return _of_type(template.type)
    return _nullable(_of_type(template.type))


def _of_type(value_type: ValueType) -> dict[str, Any]:
    if value_type.kind is Kind.LIST:
        return {"type": "array", "items": dict(_SCHEMAS[value_type.item or Kind.OBJECT])}
    return dict(_SCHEMAS[value_type.kind])


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]} if schema else schema
