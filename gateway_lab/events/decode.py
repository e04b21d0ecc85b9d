"""Bodies into values: the compiled decoder of an event type.

It says what `validity.py` says and is a hundred times faster: msgspec structs check and read the
body, and only what they refuse is looked at again for the reason.
"""

from __future__ import annotations

import gc
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeGuard, cast

import msgspec

from gateway_lab.errors import EventTypeError, GatewayLabError, did_you_mean
from gateway_lab.events.event_type import EventType, Kind, Path, Schema
from gateway_lab.events.express import Express
from gateway_lab.events.structs import DEC_HOOK, Struct, build_raw_reader, build_struct
from gateway_lab.events.validity import (
    DEFAULT_LIMITS,
    Limits,
    find_admission_problem,
    find_problem,
    is_deeper,
)

Value: TypeAlias = str | bool | int | float | bytes | list[Any] | None
"""A value as `Kind` says; None is absent or null."""

_STEP_BODIES: Final = 512
_STEP_BYTES: Final = 128 * 1024
"""What is decoded at once: the bodies and their values stay in the processor's cache."""


class InvalidBody(GatewayLabError, ValueError):  # noqa: N818 - a verdict on data, not a failure
    """A body is not valid under its event type.

    Attributes:
        reason: One short sentence; values marked private are not in it.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def compile_decoder(
    event_type: EventType, paths: Sequence[Path], limits: Limits = DEFAULT_LIMITS
) -> Decoder:
    """Compile the decoder of an event type for some of its fields.

    Args:
        event_type: What a valid body is.
        paths: The fields whose values are wanted, in the order of the values.
        limits: The largest size and the deepest nesting of a body.

    Raises:
        EventTypeError: A path is not declared in the event type.
    """
    return Decoder(event_type, paths, limits)


class Decoder:
    """Turns bodies into values, one by one or many at once; the verdicts are the same."""

    def __init__(self, event_type: EventType, paths: Sequence[Path], limits: Limits) -> None:
        self._schema, self._limits = event_type.schema, limits
        self._struct = build_struct(event_type.schema)
        self._read = msgspec.json.Decoder(self._struct.type, dec_hook=DEC_HOOK).decode
        self._columns = [_compile_column(event_type, self._struct, path) for path in paths]
        self._values_of = _compile_row(self._columns)
        self._express = Express(event_type.schema, self._struct, _paths_of_texts(event_type, paths))
        top = replace(event_type.schema, properties=event_type.schema.properties or {})
        self._checks_again = _is_beyond_structs(top)  # the top is a struct in any case
        self._surely_shallow = min(2 * limits.max_levels, limits.max_bytes)

    def decode(self, body: bytes | None) -> tuple[Value, ...]:
        """Return the values of a body, one a path.

        Raises:
            InvalidBody: The body is not valid; None (a tombstone) never is.
        """
        if body is None or len(body) > self._surely_shallow or not body.isascii():
            self._refuse_unless_admitted(body)
        try:
            row = self._read(cast("bytes", body))
        except ValueError:  # msgspec's errors are ValueErrors, and so are those of the checks
            raise InvalidBody(self._reason(body)) from None
        if self._checks_again and (problem := find_problem(self._schema, body, self._limits)):
            raise InvalidBody(problem)
        return self._values_of(row, body)

    def _refuse_unless_admitted(self, body: bytes | None) -> None:
        problem = "no body" if body is None else find_admission_problem(body, self._limits)
        if problem is not None:
            raise InvalidBody(problem)

    def decode_many(
        self, bodies: Sequence[bytes | None]
    ) -> tuple[list[list[Value]], dict[int, str]]:
        """Decode many bodies into columns.

        Returns:
            One list a path, a value a body, None where the body is invalid; and the reasons of
            the invalid bodies by their index.
        """
        columns: list[list[Value]] = [[] for _ in self._columns]
        invalid: dict[int, str] = {}
        with _gc_paused():
            size = _step_size(bodies)
            for start in range(0, len(bodies), size):
                step = bodies[start : start + size]
                rows, refused = self._read_step(step)
                invalid |= {start + at: self._reason(step[at]) for at in sorted(refused)}
                for values, column in zip(columns, self._columns, strict=True):
                    values.extend(column.read_many(rows, step, refused))
        return columns, invalid

    def _reason(self, body: bytes | None) -> str:
        return find_problem(self._schema, body, self._limits) or "not valid"

    def _read_step(self, bodies: Sequence[bytes | None]) -> tuple[list[Any], set[int]]:
        """Read bodies into structs; a refused one is the blank struct, and its index is told."""
        rows: list[Any] = []
        new: list[Any] = []
        refused: set[int] = set()
        admitted = self._admit(bodies)
        express = self._express.read
        reading = map(express or self._read, admitted)
        while True:
            try:
                rows.extend(reading)
            except ValueError:  # the rows before it stay, and the map goes on behind it
                row = self._read_again(admitted[len(rows)]) if express else None
                if row is None:
                    refused.add(len(rows))
                else:
                    new.append(row)
                rows.append(row or self._struct.blank)
            else:
                break
        self._express.learn(new if express else rows)
        if self._checks_again:
            self._check_again(bodies, rows, refused)
        return rows, refused

    def _read_again(self, body: bytes) -> Any:
        """Read a body that the express reader does not know; None where it is refused."""
        try:
            return self._read(body)
        except ValueError:
            return None

    def _check_again(
        self, bodies: Sequence[bytes | None], rows: list[Any], refused: set[int]
    ) -> None:
        for at, body in enumerate(bodies):
            if find_problem(self._schema, body, self._limits) is not None:
                refused.add(at)
                rows[at] = self._struct.blank

    def _admit(self, bodies: Sequence[bytes | None]) -> list[bytes]:
        """Put an empty body, which is refused, where size, encoding or depth are wrong."""
        known = [body or b"" for body in bodies]
        shallow = self._surely_shallow
        odd = [at for at, body in enumerate(known) if len(body) > shallow or not body.isascii()]
        if len(odd) > len(known) // 8 and _are_plain(known, self._limits):
            return known
        refused = [at for at in odd if find_admission_problem(known[at], self._limits)]
        for at in refused:
            known[at] = b""
        return known


def _paths_of_texts(event_type: EventType, wanted: Sequence[Path]) -> list[Path]:
    """Return the texts that it pays to know: those wanted, and those with a pattern."""
    return [
        path
        for path, schema in event_type.paths()
        if schema.type == "string"
        and schema.enum is None
        and not schema.date_time
        and (path in wanted or schema.pattern is not None)
        and not _is_under_null(event_type, path)
    ]


def _is_under_null(event_type: EventType, path: Path) -> bool:
    """Say whether an object on the way to a field may be null."""
    parents = [event_type.find(path[:length]) for length in range(1, len(path))]
    return any(parent is not None and parent.nullable for parent in parents)


def _are_plain(bodies: Sequence[bytes | None], limits: Limits) -> TypeGuard[Sequence[bytes]]:
    """Say whether bodies (not None) surely are small, shallow UTF-8, in a few passes of C."""
    known = cast("Sequence[bytes]", bodies)
    joined = b"\n".join(known)  # no character spans a line feed
    if not joined.isascii():
        try:
            joined.decode()
        except UnicodeDecodeError:
            return False
    longest = max(map(len, known), default=0)
    if longest <= min(2 * limits.max_levels, limits.max_bytes):  # a level takes two bytes: []
        return True
    if longest > limits.max_bytes:
        return False
    if longest <= 5 * limits.max_levels - 3 and b"[" not in joined:  # objects take five: {"":}
        return True
    levels = limits.max_levels
    return not any(is_deeper(body, levels) for body in known if len(body) > 2 * levels)


def _step_size(bodies: Sequence[bytes | None]) -> int:
    """Choose how many bodies to decode at once, by the size of the first."""
    sample = [len(body or b"") for body in bodies[:16]]
    average = sum(sample) // max(1, len(sample))
    return max(2, min(_STEP_BODIES, _STEP_BYTES // (average + 1)))


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Keep the garbage collector from walking thousands of new values again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _is_beyond_structs(schema: Schema) -> bool:
    """Say whether some struct has a schema for fields that are not declared, which msgspec lacks."""
    declared = schema.properties or {}
    if schema.properties is not None and isinstance(schema.additional, Schema):
        return True
    nested = [*declared.values(), schema.items, schema.additional]
    return any(_is_beyond_structs(each) for each in nested if isinstance(each, Schema))


@dataclass(frozen=True, slots=True)
class _FieldColumn:
    """The values of a field that the struct holds.

    `place` is where, such as `f3.f0`; None where an object on the way may be null.
    """

    value_of: Callable[[Any], Any]
    place: str | None

    def read(self, row: Any, _body: bytes) -> Value:
        value: Value = self.value_of(row)
        return value

    def read_many(
        self, rows: list[Any], _bodies: Sequence[bytes | None], _refused: set[int]
    ) -> Iterable[Value]:
        return map(self.value_of, rows)


@dataclass(frozen=True, slots=True)
class _RawColumn:
    """The JSON text at a path, read from the body once more."""

    text_of: Callable[[bytes], Value]

    def read(self, _row: Any, body: bytes) -> Value:
        return self.text_of(body)

    def read_many(
        self, _rows: list[Any], bodies: Sequence[bytes | None], refused: set[int]
    ) -> Iterable[Value]:
        return [
            None if body is None or at in refused else self.text_of(body)
            for at, body in enumerate(bodies)
        ]


_Column: TypeAlias = _FieldColumn | _RawColumn


def _compile_row(columns: Sequence[_Column]) -> Callable[[Any, Any], tuple[Value, ...]]:
    """Return a function from a struct and its body to the values of all columns."""
    places = [each.place for each in columns if isinstance(each, _FieldColumn) and each.place]
    if len(places) == len(columns) > 1:
        all_of = operator.attrgetter(*places)  # of two or more: a tuple, made in C
        return lambda row, _body: cast("tuple[Value, ...]", all_of(row))
    return lambda row, body: tuple([column.read(row, body) for column in columns])


def _compile_column(event_type: EventType, struct: Struct, path: Path) -> _Column:
    schema = event_type.find(path)
    if schema is None or not path:
        known = [".".join(each) for each, _ in event_type.paths()]
        name = ".".join(path)
        raise EventTypeError(
            f"there is no field {name}", where=event_type.name, hint=did_you_mean(name, known)
        )
    kind = schema.value_type
    if kind.kind is Kind.OBJECT or kind.item is Kind.OBJECT:
        return _RawColumn(build_raw_reader(path, is_list=kind.kind is Kind.LIST))
    place = struct.attribute(path)
    if _is_under_null(event_type, path):
        return _FieldColumn(_none_under_null(place), None)
    return _FieldColumn(operator.attrgetter(place), place)


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
