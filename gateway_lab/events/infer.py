"""Guess an event type from traffic: the narrowest schema of the subset that all bodies meet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from gateway_lab.errors import EventTypeError
from gateway_lab.events.schema import is_field_name
from gateway_lab.events.timestamps import parse_date_time
from gateway_lab.events.validity import DEFAULT_LIMITS, INT64, find_admission_problem

ENUM_VALUES: Final = 10
SAMPLES_A_VALUE: Final = 20
"""A text is an enum where it has few different values, each seen this often on average."""

MAX_FIELDS: Final = 200
MAX_LEVELS: Final = 16
"""An object with more fields, or deeper down, is opaque: its names are data, not a design."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,39}")


def infer_schema(bodies: Iterable[bytes | None]) -> dict[str, Any]:
    """Infer a JSON Schema that `read_event_type` takes and under which all bodies are valid.

    Fields seen in every object are required; a field with few different words is an enum; texts
    that are all RFC 3339 are date-times; whole numbers within int64 are integers; fields of mixed
    types may be anything. What is not a JSON object is left out of the count.

    Raises:
        EventTypeError: No body is a JSON object.
    """
    seen = _Seen()
    for body in bodies:
        value = _read(body)
        if isinstance(value, _Object):
            seen.add(value)
    if not seen.kinds:
        problem = "cannot infer an event type: no body is a JSON object"
        raise EventTypeError(problem, hint="look at some bodies: are they compressed, or Avro?")
    return seen.schema(0)


class _Object(list[tuple[str, Any]]):
    """The pairs of a JSON object, repeated keys and all."""


def _read(body: bytes | None) -> Any:
    """Read a body as validity wants it; None where it is no JSON."""
    if body is None or find_admission_problem(body, DEFAULT_LIMITS):
        return None
    try:
        return _JSON.decode(body.decode())
    except ValueError:
        return None


def _integer(text: str) -> int | float:
    """Read an integer; one outside int64 can only be a number."""
    if len(text) <= 20 and INT64[0] <= int(text) <= INT64[1]:
        return int(text)
    return float(text)


def _refuse(word: str) -> None:
    raise ValueError(word)


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_integer, parse_constant=_refuse
)


@dataclass(slots=True)
class _Seen:
    """What was seen at one place of the bodies."""

    kinds: set[str] = field(default_factory=set)
    is_nullable: bool = False
    count: int = 0
    texts: set[str] = field(default_factory=set)
    all_times: bool = True
    fields: dict[str, _Seen] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    elements: _Seen | None = None

    def add(self, value: Any) -> None:
        """Take one value into account."""
        if value is None:
            self.is_nullable = True
            return
        self.count += 1
        self.kinds.add(_kind(value))
        if isinstance(value, _Object):
            self._add_object(value)
        elif isinstance(value, list):
            self.elements = self.elements or _Seen()
            for each in value:
                self.elements.add(each)
        elif isinstance(value, str):
            self._add_text(value)

    def _add_object(self, pairs: _Object) -> None:
        for name, value in pairs:
            if name in self.fields or len(self.fields) <= MAX_FIELDS:
                self.fields.setdefault(name, _Seen()).add(value)
        for name in {name for name, _ in pairs}:
            if name in self.fields:
                self.present[name] = self.present.get(name, 0) + 1

    def _add_text(self, value: str) -> None:
        if len(self.texts) <= ENUM_VALUES:
            self.texts.add(value)
        if self.all_times:
            self.all_times = _is_time(value)

    def schema(self, level: int) -> dict[str, Any]:
        """Write what was seen as a schema."""
        kinds = {"number"} if self.kinds == {"integer", "number"} else self.kinds
        if len(kinds) != 1 or kinds == {"any"}:
            return {}
        (kind,) = kinds
        typed: dict[str, Any] = {"type": [kind, "null"] if self.is_nullable else kind}
        if kind == "string":
            return typed | self._text_schema()
        if kind == "object":
            return typed | self._object_schema(level)
        if kind == "array" and self.elements is not None:
            items = self.elements.schema(level + 1)
            return typed | ({"items": items} if items else {})
        return typed

    def _text_schema(self) -> dict[str, Any]:
        if self.all_times:
            return {"format": "date-time"}
        few = len(self.texts) <= ENUM_VALUES and self.count >= SAMPLES_A_VALUE * len(self.texts)
        if not few or not all(map(_WORD.fullmatch, self.texts)):
            return {}
        return {"enum": [*sorted(self.texts), *([None] if self.is_nullable else [])]}

    def _object_schema(self, level: int) -> dict[str, Any]:
        if level >= MAX_LEVELS or not 0 < len(self.fields) <= MAX_FIELDS:
            return {}
        names = [name for name in self.fields if is_field_name(name)]
        required = [name for name in names if self.present[name] == self.count]
        properties = {name: self.fields[name].schema(level + 1) for name in names}
        return ({"required": required} if required else {}) | {"properties": properties}


def _kind(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "any"
    return _KINDS[type(value)]


_KINDS: Final[dict[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    _Object: "object",
}


def _is_time(text: str) -> bool:
    try:
        parse_date_time(text)
    except ValueError:
        return False
    return True
