"""Event types as msgspec structs: what msgspec checks and reads at the speed of C.

A struct has the fields `f0`, `f1`, … renamed to the event's names. What msgspec does not check
itself (patterns, date-times, enums of numbers) is a type of our own whose hook sees every
occurrence of a value, so that repeated keys need no care; its answers are cached by value.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

import msgspec

from gateway_lab.events.event_type import Path, Schema
from gateway_lab.events.timestamps import parse_date_time
from gateway_lab.events.validity import INT64, meets, possible_values

DEC_HOOK: Final[Callable[[Any, Any], Any]] = operator.getitem
"""msgspec's `dec_hook`: asks the type of our own, see `_checked_type`."""

EMPTY: Final[Mapping[Path, tuple[str, ...]]] = MappingProxyType({})

_CACHED_VALUES: Final = 50_000
_CACHED_LENGTH: Final = 200

_Check: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct type, where its fields are, and an instance in which all fields are None."""

    type: type[msgspec.Struct]
    places: Mapping[str, str]
    children: Mapping[str, Struct]
    blank: msgspec.Struct

    def attribute(self, path: Path) -> str:
        """Return where the value of a path is, such as `f3.f0`."""
        place = self.places[path[0]]
        if len(path) == 1:
            return place
        return f"{place}.{self.children[path[0]].attribute(path[1:])}"


def build_struct(
    schema: Schema, known: Mapping[Path, tuple[str, ...]] = EMPTY, path: Path = ()
) -> Struct:
    """Build the struct that checks an object; it holds every field that has a type.

    Args:
        schema: The object.
        known: Texts that meet the schema at their path; where given, no others are taken.
        path: Where the object is.
    """
    declared = schema.properties or {}
    names = [name for name, child in declared.items() if _needs_field(schema, name, child)]
    places = {name: f"f{at}" for at, name in enumerate(names)}
    children = {
        name: build_struct(declared[name], known, (*path, name))
        for name in names
        if declared[name].properties is not None
    }
    fields = []
    for name, place in places.items():
        child, struct = declared[name], children.get(name)
        kind = struct.type if struct else _closed_or_open(child, known.get((*path, name)))
        required = name in schema.required
        fields.append(_field(place, name, _or_none(child, kind), struct, required=required))
    strict = schema.additional is False
    # gc=False: values of JSON make no cycles, and the collector need not track them
    event = msgspec.defstruct("Event", fields, kw_only=True, forbid_unknown_fields=strict, gc=False)
    blanks = {places[name]: child.blank for name, child in children.items()}
    blank = event(**dict.fromkeys(places.values()) | blanks)
    return Struct(event, places, children, blank)


def _needs_field(schema: Schema, name: str, child: Schema) -> bool:
    """Say whether msgspec must see a field; one that may be anything is skipped."""
    return child.type is not None or name in schema.required or schema.additional is False


def _closed_or_open(schema: Schema, known: tuple[str, ...] | None) -> Any:
    return Literal[known] if known else value_type(schema)


def _field(
    place: str, name: str, kind: Any, struct: Struct | None, *, required: bool
) -> tuple[str, Any, Any]:
    """Describe a field to msgspec; an absent object is one whose fields are all None."""
    if required:
        return place, kind, msgspec.field(name=name)
    if struct is not None:
        return place, kind, msgspec.field(name=name, default_factory=lambda: struct.blank)
    return place, kind, msgspec.field(name=name, default=None)


def _or_none(schema: Schema, kind: Any) -> Any:
    return kind | None if schema.nullable and kind is not msgspec.Raw else kind


def value_type(schema: Schema) -> Any:
    """Return the msgspec type that checks a value which is not null."""
    if schema.type is None:
        return msgspec.Raw
    return _TYPES[schema.type](schema)


def _object_type(schema: Schema) -> Any:
    if schema.properties is None and isinstance(schema.additional, Schema):
        return dict.__class_getitem__(
            (str, _or_none(schema.additional, value_type(schema.additional)))
        )
    return build_struct(schema).type


def _array_type(schema: Schema) -> Any:
    items = schema.items or Schema(nullable=True)
    item = _or_none(items, value_type(items))
    return _with_bounds(
        list[item],  # type: ignore[valid-type]
        min_length=schema.min_items,
        max_length=schema.max_items,
    )


def _with_bounds(kind: Any, **bounds: float | None) -> Any:
    given = {name: value for name, value in bounds.items() if value is not None}
    return Annotated[kind, msgspec.Meta(**cast("Any", given))] if given else kind


def _text_type(schema: Schema) -> Any:
    if schema.date_time:
        return _checked_type(_check_date_time(schema))
    if schema.enum is not None:
        return Literal[possible_values(schema)]
    if schema.pattern is not None:
        return _checked_type(_TextCache(schema).__getitem__)
    return _with_bounds(str, min_length=schema.min_length, max_length=schema.max_length)


def _integer_type(schema: Schema) -> Any:
    if schema.enum is not None:
        return Literal[possible_values(schema)]
    low = [INT64[0], _or(schema.minimum, math.ceil), _or(schema.exclusive_minimum, _above)]
    high = [INT64[1], _or(schema.maximum, math.floor), _or(schema.exclusive_maximum, _below)]
    lowest = max(bound for bound in low if bound is not None)
    highest = min(bound for bound in high if bound is not None)
    return Annotated[int, msgspec.Meta(ge=lowest, le=highest)]


def _or(bound: float | None, rounded: Callable[[float], int]) -> int | None:
    return None if bound is None else rounded(bound)


def _above(bound: float) -> int:
    return math.floor(bound) + 1


def _below(bound: float) -> int:
    return math.ceil(bound) - 1


def _number_type(schema: Schema) -> Any:
    if schema.enum is not None or _has_two_bounds(schema):
        return _checked_type(_check_number(schema))
    return _with_bounds(
        float,
        ge=schema.minimum,
        le=schema.maximum,
        gt=schema.exclusive_minimum,
        lt=schema.exclusive_maximum,
    )


def _has_two_bounds(schema: Schema) -> bool:
    """Say whether two lower or two upper bounds are given, which msgspec refuses."""
    return (schema.minimum is not None and schema.exclusive_minimum is not None) or (
        schema.maximum is not None and schema.exclusive_maximum is not None
    )


class _AlwaysInstance(type):
    """msgspec asks whether what the hook returned is an instance; `type(it)` is true of anything."""

    __instancecheck__ = type  # type: ignore[assignment]


def _checked_type(check: _Check) -> Any:
    """Make a type whose values msgspec hands to `check`, as they are or as it returns them.

    `operator.getitem(type, value)` calls `__class_getitem__`: where that is the look-up of a
    dictionary, no Python code runs for a value seen before.
    """
    return _AlwaysInstance("Checked", (), {"__class_getitem__": staticmethod(check)})


class _TextCache(dict[str, str]):
    """Texts that meet a schema, checked when first seen; bounded."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self._schema = schema

    def __missing__(self, value: Any) -> str:
        if not isinstance(value, str) or not meets(self._schema, value):
            raise ValueError
        if len(value) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_VALUES:
                self.clear()
            self[value] = value
        return value


def _check_date_time(schema: Schema) -> _Check:
    plain = not (schema.enum or schema.pattern or schema.min_length or schema.max_length)

    def check(value: Any) -> int:
        if not isinstance(value, str) or not (plain or meets(schema, value)):
            raise ValueError
        return parse_date_time(value)

    return check


def _check_number(schema: Schema) -> _Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        try:
            number = float(value)
        except OverflowError:
            raise ValueError from None
        if not math.isfinite(number) or not meets(schema, number):
            raise ValueError
        return number

    return check


def _boolean_type(schema: Schema) -> Any:
    return bool if schema.enum is None else _checked_type(_check_boolean(schema))


def _check_boolean(schema: Schema) -> _Check:
    def check(value: Any) -> bool:
        if not isinstance(value, bool) or not meets(schema, value):
            raise ValueError
        return value

    return check


_TYPES: Final[Mapping[str, Callable[[Schema], Any]]] = {
    "string": _text_type,
    "boolean": _boolean_type,
    "integer": _integer_type,
    "number": _number_type,
    "array": _array_type,
    "object": _object_type,
}


def build_raw_reader(path: Path, *, is_list: bool) -> _Check:
    """Build a function from a body that is known to be valid to the JSON text at a path.

    Returns:
        The text as bytes, the elements' texts for a list; None where it is absent or null.
    """
    kind: Any = list[msgspec.Raw] | None if is_list else msgspec.Raw
    for name in reversed(path):
        field = ("f0", kind, msgspec.field(name=name, default=None))
        kind = msgspec.defstruct("Raw", [field]) | None
    decode = msgspec.json.Decoder(kind).decode
    value_of = operator.attrgetter("f0")

    def read(body: bytes) -> bytes | list[bytes | None] | None:
        value = decode(body)
        for _ in path:
            if value is None:
                return None
            value = value_of(value)
        return _texts(value) if is_list else _text(value)

    return read


def _texts(raws: list[msgspec.Raw] | None) -> list[bytes | None] | None:
    return None if raws is None else [_text(raw) for raw in raws]


def _text(raw: msgspec.Raw | None) -> bytes | None:
    """Copy a JSON text out of its body; null is None."""
    text = None if raw is None else bytes(raw)
    return None if text == b"null" else text
