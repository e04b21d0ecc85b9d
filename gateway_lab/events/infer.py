"""Guess an event type from traffic: the narrowest schema that all but a few bodies meet.

Real traffic holds broken bodies. Were they all to be valid, one text in a million numbers would
make a field that rules cannot use; so what is rarer than the tolerance is taken for broken.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from gateway_lab.errors import EventTypeError
from gateway_lab.events.schema import is_field_name
from gateway_lab.events.timestamps import parse_date_time
from gateway_lab.events.validity import DEFAULT_LIMITS, INT64, find_admission_problem

TOLERANCE: Final = 0.01
"""The share of bodies that may be broken."""

ENUM_VALUES: Final = 10
SAMPLES_A_VALUE: Final = 20
"""A text is an enum where it has few different values, each seen this often on average."""

MAX_TEXTS: Final = 1_000
"""So many different texts at one place are no enum, whatever is broken among them."""

TRIED_TIMES: Final = 100
"""Where none of so many texts is a time, further ones are not looked at."""

MAX_FIELDS: Final = 200
MAX_LEVELS: Final = 16
"""An object with more fields, or deeper down, is opaque: its names are data, not a design."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,39}")


def infer_schema(bodies: Iterable[bytes | None], *, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Infer a JSON Schema that `read_event_type` takes.

    Fields seen in every object are required; a field with few different words is an enum; texts
    that are all RFC 3339 are date-times; whole numbers within int64 are integers; fields of mixed
    types may be anything. What is not a JSON object is left out of the count.

    Args:
        bodies: Bodies of one event type.
        tolerance: At each place, what is seen in no more than this share of the bodies is taken
            for broken; with 0 all bodies that are JSON objects are valid.

    Raises:
        EventTypeError: No body is a JSON object.
    """
    seen = _Seen(tolerance)
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
    """What was seen at one place of the bodies.

    Attributes:
        kinds: How often each kind of value was seen; "null" is one.
        present: In how many objects each field was.
    """

    tolerance: float
    kinds: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    times: int = 0
    fields: dict[str, _Seen] = field(default_factory=dict)
    present: Counter[str] = field(default_factory=Counter)
    elements: _Seen | None = None

    def add(self, value: Any) -> None:
        """Take one value into account."""
        self.kinds[_kind(value)] += 1
        if isinstance(value, _Object):
            self._add_object(value)
        elif isinstance(value, list):
            self.elements = self.elements or _Seen(self.tolerance)
            for each in value:
                self.elements.add(each)
        elif isinstance(value, str):
            self._add_text(value)

    def _add_object(self, pairs: _Object) -> None:
        for name, value in pairs:
            if name in self.fields or len(self.fields) <= MAX_FIELDS:
                self.fields.setdefault(name, _Seen(self.tolerance)).add(value)
        self.present.update({name for name, _ in pairs if name in self.fields})

    def _add_text(self, value: str) -> None:
        if value in self.texts or len(self.texts) <= MAX_TEXTS:
            self.texts[value] += 1
        if self.times or self.kinds["string"] <= TRIED_TIMES:
            self.times += _is_time(value)

    def _is_rare(self, count: int, of: int) -> bool:
        return count <= self.tolerance * of

    def schema(self, level: int) -> dict[str, Any]:
        """Write what was seen as a schema."""
        total = self.kinds.total()
        kinds = {kind for kind, count in self.kinds.items() if not self._is_rare(count, total)}
        nullable = "null" in kinds
        kinds -= {"null"}
        kinds = {"number"} if kinds == {"integer", "number"} else kinds
        if len(kinds) != 1 or kinds == {"any"}:
            return {}
        (kind,) = kinds
        typed: dict[str, Any] = {"type": [kind, "null"] if nullable else kind}
        if kind == "string":
            return typed | self._text_schema(nullable=nullable)
        if kind == "object":
            return typed | self._object_schema(level)
        if kind == "array" and self.elements is not None:
            items = self.elements.schema(level + 1)
            return typed | ({"items": items} if items else {})
        return typed

    def _text_schema(self, *, nullable: bool) -> dict[str, Any]:
        count = self.kinds["string"]
        if self._is_rare(count - self.times, count):
            return {"format": "date-time"}
        words = self._words(count)
        if not words or len(words) > ENUM_VALUES or count < SAMPLES_A_VALUE * len(words):
            return {}
        return {"enum": [*words, *([None] if nullable else [])]}

    def _words(self, count: int) -> list[str]:
        """Return the words among the texts; none where more is left out than may be broken.

        A single word may be left out only if it is much rarer than the tolerance: a rare word
        is more often rare than broken.
        """
        kept = {
            text: seen
            for text, seen in self.texts.items()
            if _WORD.fullmatch(text) and not self._is_rare(seen, count // 10)
        }
        left_out = count - sum(kept.values())
        return sorted(kept) if self._is_rare(left_out, count) else []

    def _object_schema(self, level: int) -> dict[str, Any]:
        count = self.kinds["object"]
        if level >= MAX_LEVELS or not 0 < len(self.fields) <= MAX_FIELDS:
            return {}
        names = [
            name
            for name in self.fields
            if is_field_name(name) and not self._is_rare(self.present[name], count)
        ]
        required = [name for name in names if self._is_rare(count - self.present[name], count)]
        properties = {name: self.fields[name].schema(level + 1) for name in names}
        return ({"required": required} if required else {}) | {"properties": properties}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
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
