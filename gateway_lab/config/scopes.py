"""What the names in the rules of a config mean: settings, event types, and scopes made of both.

Rules and event types are cached by what they mean, so that one edit in a config of thousands of
routes reads one rule again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gateway_lab.config.canonical import canonical_value
from gateway_lab.config.document import Document
from gateway_lab.config.model import EventChoice, Setting, Source
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import INVALID
from gateway_lab.config.report import Report
from gateway_lab.errors import EventTypeError, RuleError
from gateway_lab.events.event_type import EventType, Kind
from gateway_lab.events.schema import read_event_type
from gateway_lab.rules.template import Template, check_text, parse_template
from gateway_lab.rules.tree import BOOLEAN, INTEGER, NUMBER, TEXT, Literal, Node, Span
from gateway_lab.rules.types import Scope, resolve

_TYPES = {"string": TEXT, "number": NUMBER, "integer": INTEGER, "boolean": BOOLEAN}
_STAND_INS = {"string": "x", "number": 1.0, "integer": 1, "boolean": True}
_SETTING_HINTS = {
    "string": "quote it",
    "number": "write a number up to 1.7e308, an integer within 64 bits, without quotes",
    "integer": "write a whole number within 64 bits, without quotes; or say `type: number`",
    "boolean": "write true or false, without quotes",
}
_KINDS = {"string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,)}


@dataclass(frozen=True, slots=True)
class KeyedScope:
    """A scope that compares and hashes by a key of what it means."""

    key: bytes
    scope: Scope = field(compare=False)


class Scopes:
    """The settings and event types of one config, and the scopes of its sources.

    Attributes:
        settings: Name to constant; a wrong value is replaced by one of the setting's type.
        events: Those that could be read.
    """

    def __init__(self, config: Document, report: Report) -> None:
        self._config = config
        self.settings = _settings(config.settings, report)
        self.events = _event_types(config.events, report)
        self._settings_key = canonical_value(
            {name: [str(each.type), each.value] for name, each in self.settings.items()}
        )
        self._made: dict[tuple[object, ...], KeyedScope] = {}

    def event_types(self, source: Source) -> dict[str, EventType] | None:
        """Return what a source's bodies are; None if any of it is not known."""
        return self._known(declared_events(source))

    def routed_types(self, source: Source) -> dict[str, EventType] | None:
        """Return what rules see: what the handler returns, where there is one."""
        return self._known(routed_events(source))

    def _known(self, names: Collection[str]) -> dict[str, EventType] | None:
        if not all(name in self.events for name in names):
            return None
        return {name: self.events[name] for name in names}

    def scope(
        self, events: Mapping[str, EventType], *, message: bool = True, aggregates: bool = False
    ) -> KeyedScope:
        """Make the scope of rules that see these event types; once, since their texts are long."""
        asked = (*((name, id(each)) for name, each in events.items()), message, aggregates)
        if asked not in self._made:
            schemas = {name: dict(each.document) for name, each in events.items()}
            key = canonical_value([schemas, message, aggregates]) + self._settings_key
            scope = Scope(events, self.settings, message=message, aggregates=aggregates)
            self._made[asked] = KeyedScope(key, scope)  # and keeps the event types, so their ids
        return self._made[asked]


def declared_events(source: Source) -> tuple[str, ...]:
    """Name the event types of a source's bodies, each once, in the order written."""
    if isinstance(source.event, EventChoice):
        names = [*source.event.types.values(), source.event.otherwise]
        return tuple(dict.fromkeys(name for name in names if name != INVALID))
    return () if source.event is None else (source.event,)


def routed_events(source: Source) -> tuple[str, ...]:
    """Name the event types that the rules on a source see."""
    return (source.handler.returns,) if source.handler else declared_events(source)


def _settings(settings: Mapping[str, Setting], report: Report) -> dict[str, Literal]:
    literals = {}
    for name, setting in settings.items():
        value: Any = setting.value
        if not fits(setting.type, value):
            text = f"{value!r} is not of type {setting.type}"
            hint = _SETTING_HINTS[setting.type]
            report.add("setting-type", ("settings", name, "value"), text, hint)
            value = _STAND_INS[setting.type]  # the rules that use it are judged all the same
        value = float(value) if setting.type == "number" else value
        literals[name] = Literal(value, _TYPES[setting.type], Span(0, 0))
    return literals


def fits(type_: str, value: object) -> bool:
    """Say whether a value is of a setting's type."""
    if not isinstance(value, _KINDS[type_]):
        return False
    if isinstance(value, bool):
        return type_ == "boolean"
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not isinstance(value, float) or math.isfinite(value)


def _event_types(events: Mapping[str, Mapping[str, Any]], report: Report) -> dict[str, EventType]:
    read = {}
    for name, document in events.items():
        try:
            read[name] = _cached_event_type(name, _Document(canonical_value(document), document))
        except EventTypeError as error:
            path = schema_place(name, document, error.where)
            report.add("event-type", path, f"{error.where}: {error.problem}", error.hint)
    return read


def schema_place(name: str, document: Any, where: str) -> DocumentPath:
    """Turn a place in a schema, `Order.properties.a.b`, into a path of the config.

    A property's own name may hold dots, so each step takes the longest key that fits.
    """
    path: list[str | int] = ["events", name]
    rest = where.removeprefix(name).removeprefix(".")
    while rest and isinstance(document, Mapping):
        fitting = [key for key in document if rest == key or rest.startswith(f"{key}.")]
        if not fitting:
            break
        key = max(fitting, key=len)
        path.append(key)
        document, rest = document[key], rest[len(key) + 1 :]
    return tuple(path)


@dataclass(frozen=True, slots=True)
class _Document:
    """A schema that compares and hashes by its canonical text."""

    key: bytes
    value: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=1024)
def _cached_event_type(name: str, document: _Document) -> EventType:
    return read_event_type(name, document.value)


# --- reading texts, with what is wrong reported ---


def read_rule(
    text: str, scope: KeyedScope, expect: Kind | None, path: DocumentPath, report: Report
) -> Node | None:
    """Type a rule; None if it is wrong, and then it is in the report."""
    try:
        return _cached_rule(text, scope, expect)
    except RuleError as error:
        report.add_rule_error(path, error)
        return None


def read_template(
    text: str, scope: KeyedScope, path: DocumentPath, report: Report
) -> Template | None:
    """Type a template; None if it is wrong, and then it is in the report."""
    try:
        return _cached_template(text, scope)
    except RuleError as error:
        report.add_rule_error(path, error)
        return None


def read_text_template(
    text: str | None,
    scope: KeyedScope,
    path: DocumentPath,
    report: Report,
    *,
    check: Callable[[Template], None] = check_text,
) -> Template | None:
    """Type a template that gives text, such as a key; None if there is none, or it is wrong."""
    template = None if text is None else read_template(text, scope, path, report)
    if template is None:
        return None
    try:
        check(template)
    except RuleError as error:
        report.add_rule_error(path, error)
        return None
    return template


@lru_cache(maxsize=32_768)
def _cached_rule(text: str, keyed: KeyedScope, expect: Kind | None) -> Node:
    return resolve(text, keyed.scope, expect=expect)


@lru_cache(maxsize=8_192)
def _cached_template(text: str, keyed: KeyedScope) -> Template:
    return parse_template(text, keyed.scope)
