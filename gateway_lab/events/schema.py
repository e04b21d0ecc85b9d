"""Read a JSON Schema into an event type; what is not in the list of keywords is refused by name.

The keywords: `type`, `properties`, `required`, `additionalProperties`, `enum`, `const`, `pattern`,
`minLength`, `maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `items`,
`minItems`, `maxItems`, `format: date-time`, `$ref` into `$defs`, and `anyOf` of a schema and null.
Annotations (`title`, `description`, …, `x-…`) are kept in the document and have no meaning here,
except `x-private`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn, cast

from gateway_lab.errors import EventTypeError, did_you_mean
from gateway_lab.events.event_type import EventType, Scalar, Schema
from gateway_lab.events.regex import RegexError, compile_search
from gateway_lab.events.validity import INT64, possible_values

MAX_NODES: Final = 5_000
MAX_LEVELS: Final = 32

ANYTHING: Final = Schema(nullable=True)

ANNOTATIONS: Final = frozenset(
    [
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "$schema",
        "$id",
    ]
)
"""Keywords that say nothing about what is valid."""

_GENERAL: Final = frozenset(["type", "enum", "const", "$ref", "anyOf"])
_BOUNDS: Final = frozenset(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset(["pattern", "minLength", "maxLength", "format"]),
    "boolean": frozenset(),
    "integer": _BOUNDS,
    "number": _BOUNDS,
    "array": frozenset(["items", "minItems", "maxItems"]),
    "object": frozenset(["properties", "required", "additionalProperties"]),
}
_ALL: Final = _GENERAL | frozenset().union(*_KEYWORDS.values())
_SILENT: Final = ANNOTATIONS | {"$defs"}
_HINTS: Final = {
    "nullable": 'write type: [string, "null"]',
    "oneOf": "leave the schema out where several types may stand: {} takes any JSON",
    "allOf": "write the keywords into one schema",
    "not": "say what may stand, with enum or pattern",
    "multipleOf": "leave it out and test `amount % 5 = 0` in a rule",
    "uniqueItems": "leave it out",
    "prefixItems": "leave items out: the elements are then any JSON",
    "patternProperties": "use additionalProperties for fields whose names are not known",
    "definitions": "rename it to $defs",
    "if": "declare two event types and choose with `by`",
}


def read_event_type(name: str, document: Mapping[str, Any]) -> EventType:
    """Read an event type from a JSON Schema of the subset.

    Args:
        name: The event type's name, for messages.
        document: The schema, as JSON values; its top must be an object that is never null.

    Raises:
        EventTypeError: Something is outside the subset; `where` is the place in the schema, such
            as `BusinessEvent.properties.payload.minimum`.
    """
    reader = _Reader(document)
    schema = reader.read(document, (name,))
    if schema.type != "object" or schema.nullable:
        _refuse("an event is a JSON object", (name,), hint="begin with type: object")
    return EventType(name=name, schema=schema, document=document)


def _refuse(problem: str, where: tuple[str, ...], *, hint: str = "") -> NoReturn:
    raise EventTypeError(problem, where=".".join(where), hint=hint)


@dataclass(slots=True)
class _Reader:
    """Reads one document; counts nodes, since nested `$ref`s can multiply."""

    document: Mapping[str, Any]
    nodes: int = 0
    open_refs: list[str] = field(default_factory=list)

    def read(self, raw: Any, where: tuple[str, ...]) -> Schema:
        """Read one node; where it has a `$ref`, keywords beside it come on top."""
        self.nodes += 1
        if self.nodes > MAX_NODES or len(where) > MAX_LEVELS * 2:
            limits = f"{MAX_NODES} fields or {MAX_LEVELS} levels"
            _refuse(f"the schema has more than {limits}", where, hint="declare what rules need")
        if raw is True:
            return ANYTHING
        if not isinstance(raw, Mapping):
            _refuse(f"a schema is a mapping, got {_shown(raw)}", where)
        self._check_keywords(raw, where)
        if "$ref" in raw:
            return self._follow(raw, where)
        if "anyOf" in raw:
            return self._read_any_of(raw, where)
        return self._read_plain(raw, where)

    def _check_keywords(self, raw: Mapping[str, Any], where: tuple[str, ...]) -> None:
        for word in raw:
            if not isinstance(word, str):
                _refuse(f"a keyword is text, got {_shown(word)}", where)
            if word in _ALL or word in _SILENT or word.startswith("x-"):
                continue
            hint = _HINTS.get(word) or did_you_mean(word, _ALL)
            _refuse(f"the keyword {word} is not supported", (*where, word), hint=hint)
        if not isinstance(raw.get("x-private", False), bool):
            _refuse("x-private is true or false", (*where, "x-private"))

    def _follow(self, raw: Mapping[str, Any], where: tuple[str, ...]) -> Schema:
        reference, place = raw["$ref"], (*where, "$ref")
        definitions = self.document.get("$defs", {})
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            _refuse("$ref points into $defs of the same schema", place, hint="write #/$defs/Name")
        name = reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
        if not isinstance(definitions, Mapping) or name not in definitions:
            hint = did_you_mean(name, definitions if isinstance(definitions, Mapping) else ())
            _refuse(f"there is no {name} in $defs", place, hint=hint)
        if name in self.open_refs:
            hint = "write {type: object} without properties where it begins again"
            _refuse(f"{name} contains itself, an event type cannot", place, hint=hint)
        if beside := sorted(set(raw) & _ALL - {"$ref"}):
            hint = f"move it into $defs.{name}"
            _refuse(f"{beside[0]} cannot stand beside $ref", (*where, beside[0]), hint=hint)
        self.open_refs.append(name)
        schema = self.read(definitions[name], where)
        self.open_refs.pop()
        return schema.as_private() if raw.get("x-private") else schema

    def _read_any_of(self, raw: Mapping[str, Any], where: tuple[str, ...]) -> Schema:
        """Read `anyOf: [X, {type: null}]`, how pydantic writes `X | None`."""
        place = (*where, "anyOf")
        choices = raw["anyOf"]
        rest = (
            [choice for choice in choices if choice != {"type": "null"}]
            if isinstance(choices, list)
            else []
        )
        if len(rest) != 1 or len(choices) != 2:
            hint = "leave the schema out where several types may stand: {} takes any JSON"
            _refuse("anyOf is one schema and {type: null}", place, hint=hint)
        if beside := sorted(set(raw) & _ALL - {"anyOf"}):
            hint = "move it into the schema inside anyOf"
            _refuse(f"{beside[0]} cannot stand beside anyOf", (*where, beside[0]), hint=hint)
        schema = self.read(rest[0], place)
        schema = replace(schema, nullable=True)
        return schema.as_private() if raw.get("x-private") else schema

    def _read_plain(self, raw: Mapping[str, Any], where: tuple[str, ...]) -> Schema:
        values, null_listed = _read_enum(raw, where)
        kind, nullable = _read_type(raw, where)
        if "type" not in raw and values is not None:
            kind, nullable = _type_of_values(values, where), null_listed
        elif values is not None:
            values, nullable = _fit(values, kind, where), nullable and null_listed
        _check_applies(raw, kind, where)
        schema = Schema(
            type=kind,
            nullable=nullable,
            enum=values,
            **_read_text_keywords(raw, where),
            **_read_bounds(raw, kind, where),
            **_read_counts(raw, where),
            **self._read_nested(raw, where),
        )
        _check_possible(schema, where)
        return schema.as_private() if raw.get("x-private") else schema

    def _read_nested(self, raw: Mapping[str, Any], where: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if "items" in raw:
            items = self.read(raw["items"], (*where, "items"))
            found["items"] = None if items == ANYTHING else items
        if "properties" in raw:
            found["properties"] = self._read_properties(raw["properties"], (*where, "properties"))
        if "required" in raw:
            known = found.get("properties", {})
            found["required"] = _read_required(raw["required"], known, (*where, "required"))
        if "additionalProperties" in raw:
            extra = raw["additionalProperties"]
            place = (*where, "additionalProperties")
            found["additional"] = extra if isinstance(extra, bool) else self.read(extra, place)
        return found

    def _read_properties(self, raw: Any, where: tuple[str, ...]) -> dict[str, Schema]:
        if not isinstance(raw, Mapping):
            _refuse(f"properties is a mapping, got {_shown(raw)}", where)
        for name in raw:
            if not isinstance(name, str) or not is_field_name(name):
                hint = "leave the field out; a rule could not name it"
                _refuse(f"a field cannot be named {_shown(name)}", where, hint=hint)
        return {name: self.read(child, (*where, name)) for name, child in raw.items()}


def is_field_name(name: str) -> bool:
    """Say whether a field of this name can be declared: no quote, backslash or control."""
    return bool(name) and not any(
        char in '"\\' or ord(char) < 0x20 or 0xD800 <= ord(char) <= 0xDFFF for char in name
    )


def _read_required(raw: Any, known: Mapping[str, Schema], where: tuple[str, ...]) -> frozenset[str]:
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        _refuse("required is a list of names", where)
    for name in raw:
        if name not in known:
            hint = did_you_mean(name, known) or f"declare it: {name}: {{}} takes any JSON"
            _refuse(f"{name} is required but not in properties", where, hint=hint)
    return frozenset(raw)


def _read_type(raw: Mapping[str, Any], where: tuple[str, ...]) -> tuple[str | None, bool]:
    """Return JSON's word, None for any, and whether null is in the list of types."""
    if "type" not in raw:
        return None, True
    written = raw["type"]
    words = written if isinstance(written, list) else [written]
    kinds = [word for word in words if word != "null"]
    place = (*where, "type")
    for word in kinds:
        if not isinstance(word, str) or word not in _KEYWORDS:
            hint = did_you_mean(str(word), _KEYWORDS)
            _refuse(f"there is no type {_shown(word)}", place, hint=hint)
    if len(kinds) != 1:
        hint = "leave type out where several types may stand: any JSON is then taken"
        _refuse("type is one type, or one type and null", place, hint=hint)
    return str(kinds[0]), "null" in words


def _read_enum(
    raw: Mapping[str, Any], where: tuple[str, ...]
) -> tuple[tuple[Scalar, ...] | None, bool]:
    """Return the values listed by enum or const, and whether null is one of them."""
    if "enum" in raw and "const" in raw:
        _refuse("enum and const cannot stand together", (*where, "const"), hint="keep one")
    word = "enum" if "enum" in raw else "const"
    if word not in raw:
        return None, True
    written = raw[word] if word == "enum" else [raw[word]]
    if not isinstance(written, list) or not written:
        _refuse("enum is a list of values", (*where, word))
    values = tuple(dict.fromkeys((type(each), each) for each in written if _scalar(each)))
    listed = tuple(value for _, value in values if value is not None)
    if not all(map(_scalar, written)) or not listed:
        hint = "declare lists and objects with items and properties"
        _refuse(f"{word} lists texts, numbers or booleans", (*where, word), hint=hint)
    return listed, len(listed) < len(values)


def _scalar(value: Any) -> bool:
    return value is None or (
        isinstance(value, str | bool | int | float)
        and (not isinstance(value, float) or math.isfinite(value))
    )


def _type_of_values(values: tuple[Scalar, ...], where: tuple[str, ...]) -> str:
    kinds = {_JSON_WORDS[type(value)] for value in values}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    if len(kinds) > 1:
        hint = "list values of one type"
        _refuse(f"enum mixes {' and '.join(sorted(kinds))}", (*where, "enum"), hint=hint)
    (kind,) = kinds
    _fit(values, kind, where)
    return kind


def _fit(
    values: tuple[Scalar, ...], kind: str | None, where: tuple[str, ...]
) -> tuple[Scalar, ...]:
    """Check that the listed values are of the declared type; numbers become floats."""
    for value in values:
        word = _JSON_WORDS[type(value)]
        if word != kind and (word, kind) != ("integer", "number"):
            _refuse(f"{_shown(value)} is no {kind}", (*where, "enum"), hint=f"the type is {kind}")
        if kind == "integer" and not INT64[0] <= cast("int", value) <= INT64[1]:
            _refuse(f"{_shown(value)} is outside int64", (*where, "enum"))
    return tuple(float(value) for value in values) if kind == "number" else values


_JSON_WORDS: Final[Mapping[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
}


def _check_applies(raw: Mapping[str, Any], kind: str | None, where: tuple[str, ...]) -> None:
    """Refuse `minLength` of an integer and the like, which JSON Schema silently ignores."""
    for word in raw:
        if word in _GENERAL or word not in _ALL or word in _KEYWORDS.get(kind or "", ()):
            continue
        owners = " or ".join(owner for owner, words in _KEYWORDS.items() if word in words)
        problem = f"{word} has no meaning for {kind}" if kind else f"{word} needs a type"
        _refuse(problem, (*where, word), hint=f"it belongs to type: {owners}")


def _read_text_keywords(raw: Mapping[str, Any], where: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "pattern" in raw:
        place, pattern = (*where, "pattern"), raw["pattern"]
        if not isinstance(pattern, str):
            _refuse(f"pattern is text, got {_shown(pattern)}", place)
        try:
            compile_search(pattern)
        except RegexError as error:
            _refuse(f"{error.problem} (character {error.start + 1})", place, hint=error.hint)
        found["pattern"] = pattern
    if "format" in raw:
        if raw["format"] != "date-time":
            hint = "date-time is; write the others as a pattern"
            _refuse(
                f"the format {_shown(raw['format'])} is not checked", (*where, "format"), hint=hint
            )
        found["date_time"] = True
    return found


def _read_bounds(
    raw: Mapping[str, Any], kind: str | None, where: tuple[str, ...]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in sorted(_BOUNDS & raw.keys()):
        value, place = raw[word], (*where, word)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _scalar(value):
            _refuse(f"{word} is a number, got {_shown(value)}", place)
        if kind == "integer" and not INT64[0] <= value <= INT64[1]:
            _refuse(f"{word} {_shown(value)} is outside int64", place, hint="leave it out")
        if kind == "number" and not (abs(value) < 2**1023 and float(value) == value):
            hint = "numbers are float64: write a value that float64 can hold"
            _refuse(f"{word} {_shown(value)} is no float64", place, hint=hint)
        found[_BOUND_FIELDS[word]] = float(value) if kind == "number" else value
    return found


_BOUND_FIELDS: Final = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
}
_COUNT_FIELDS: Final = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
}


def _read_counts(raw: Mapping[str, Any], where: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word, name in _COUNT_FIELDS.items():
        if word not in raw:
            continue
        value = raw[word]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            _refuse(f"{word} is a count, got {_shown(value)}", (*where, word))
        found[name] = value
    return found


def _check_possible(schema: Schema, where: tuple[str, ...]) -> None:
    """Refuse a field that no value could meet: surely a slip."""
    for low, high, word in (
        (schema.min_length, schema.max_length, "maxLength"),
        (schema.min_items, schema.max_items, "maxItems"),
        (schema.minimum, schema.maximum, "maximum"),
    ):
        if low is not None and high is not None and low > high:
            _refuse(f"{word} is below the minimum", (*where, word))
    if schema.enum is not None and not possible_values(schema):
        hint = "drop the values or the keywords"
        _refuse("no value of enum meets the other keywords", (*where, "enum"), hint=hint)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
