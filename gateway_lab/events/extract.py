"""Values out of the structs that the decoder reads: a column, or a row, for some paths."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from gateway_lab.errors import EventTypeError, did_you_mean
from gateway_lab.events.event_type import EventType, Kind, Path
from gateway_lab.events.structs import Struct, build_raw_reader

Value: TypeAlias = str | bool | int | float | bytes | list[Any] | None
"""A value as `Kind` says; None is absent or null."""


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """The values of a field that the struct holds.

    `place` is where, such as `f3.f0`; None where an object on the way may be null.
    """

    value_of: Callable[[Any], Any]
    values_of: Callable[[Iterable[Any]], list[Value]]
    place: str | None

    def read(self, row: Any, _body: bytes) -> Value:
        """Return the value of one row."""
        value: Value = self.value_of(row)
        return value

    def read_many(
        self, rows: list[Any], _bodies: Sequence[bytes | None], _refused: set[int]
    ) -> list[Value]:
        """Return a value a row; those of the blank row of a refused body are None."""
        return self.values_of(rows)


@dataclass(frozen=True, slots=True)
class RawColumn:
    """The JSON text at a path, read from the body once more."""

    text_of: Callable[[bytes], Value]

    def read(self, _row: Any, body: bytes) -> Value:
        """Return the value of one row."""
        return self.text_of(body)

    def read_many(
        self, _rows: list[Any], bodies: Sequence[bytes | None], refused: set[int]
    ) -> list[Value]:
        """Return a value a row; None for a refused body."""
        return [
            None if body is None or at in refused else self.text_of(body)
            for at, body in enumerate(bodies)
        ]


Column: TypeAlias = FieldColumn | RawColumn


_Row: TypeAlias = Callable[[Any, Any], tuple[Value, ...]]


def compile_row(columns: Sequence[Column]) -> _Row:
    """Return a function from a struct and its body to the values of all columns."""
    places = [each.place for each in columns if isinstance(each, FieldColumn) and each.place]
    if len(places) == len(columns):
        values = "".join([f"row.{_checked(place)}, " for place in places])
        return cast("_Row", _compile(f"lambda row, _body: ({values})"))
    return lambda row, body: tuple([column.read(row, body) for column in columns])


def compile_column(event_type: EventType, struct: Struct, path: Path) -> Column:
    """Return what reads the values of a path.

    Raises:
        EventTypeError: The path is not declared.
    """
    schema = event_type.find(path)
    if schema is None or not path:
        known = [".".join(each) for each, _ in event_type.paths()]
        name = ".".join(path)
        raise EventTypeError(
            f"there is no field {name}", where=event_type.name, hint=did_you_mean(name, known)
        )
    kind = schema.value_type
    if kind.kind is Kind.OBJECT or kind.item is Kind.OBJECT:
        return RawColumn(build_raw_reader(path, is_list=kind.kind is Kind.LIST))
    place = struct.attribute(path)
    if is_under_null(event_type, path):
        value_of = _none_under_null(place)
        return FieldColumn(value_of, lambda rows: list(map(value_of, rows)), None)
    return FieldColumn(operator.attrgetter(place), _compile_getter(place), place)


def is_under_null(event_type: EventType, path: Path) -> bool:
    """Say whether an object on the way to a field may be null."""
    parents = [event_type.find(path[:length]) for length in range(1, len(path))]
    return any(parent is not None and parent.nullable for parent in parents)


def _compile_getter(place: str) -> Callable[[Iterable[Any]], list[Value]]:
    """Return a function from rows to the values at a place, such as `f3.f0`."""
    getter = _compile(f"lambda rows: [row.{_checked(place)} for row in rows]")
    return cast("Callable[[Iterable[Any]], list[Value]]", getter)


def _checked(place: str) -> str:
    if not all(name.isidentifier() for name in place.split(".")):
        raise AssertionError(place)  # names are the struct's, never the event's
    return place


def _compile(source: str) -> Callable[..., object]:
    """Compile a function with the names of fields written out: half the time of an `attrgetter`.

    The interpreter remembers where the slot of a struct is.
    """
    function: Callable[..., object] = eval(source, {"__builtins__": {}})  # noqa: S307 - of checked places
    return function


def _none_under_null(place: str) -> Callable[[Any], Any]:
    """Return a getter that is None where an object on the way is null."""
    steps = [operator.attrgetter(step) for step in place.split(".")]

    def value_of(row: Any) -> Any:
        for step in steps:
            if row is None:
                return None
            row = step(row)
        return row

    return value_of
