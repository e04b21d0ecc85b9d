"""Bodies into values: the compiled decoder of an event type.

It says what `validity.py` says and is a hundred times faster: msgspec structs check and read the
body, and only what they refuse is looked at again for the reason.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import msgspec

from gateway_lab.errors import GatewayLabError
from gateway_lab.events.admission import admit, surely_shallow
from gateway_lab.events.event_type import EventType, Path, Schema
from gateway_lab.events.express import Express
from gateway_lab.events.extract import Value, compile_column, compile_row, is_under_null
from gateway_lab.events.structs import DEC_HOOK, build_struct
from gateway_lab.events.validity import (
    DEFAULT_LIMITS,
    Limits,
    find_admission_problem,
    find_problem,
)

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
        self._columns = [compile_column(event_type, self._struct, path) for path in paths]
        self._values_of = compile_row(self._columns)
        self._express = Express(event_type.schema, self._struct, _paths_of_texts(event_type, paths))
        top = replace(event_type.schema, properties=event_type.schema.properties or {})
        self._checks_again = _is_beyond_structs(top)  # the top is a struct in any case
        self._surely_shallow = surely_shallow(limits)

    def decode(self, body: bytes | None) -> tuple[Value, ...]:
        """Return the values of a body, one a path.

        Raises:
            InvalidBody: The body is not valid; None (a tombstone) never is.
        """
        if body is None or len(body) > self._surely_shallow or not body.isascii():
            self._refuse_unless_admitted(body)
        try:
            row = self._read(body)  # type: ignore[arg-type]  # what is None was refused
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
        admitted = admit(bodies, self._limits)
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


def _paths_of_texts(event_type: EventType, wanted: Sequence[Path]) -> list[Path]:
    """Return the texts that it pays to know: those wanted, and those with a pattern."""
    return [
        path
        for path, schema in event_type.paths()
        if schema.type == "string"
        and schema.enum is None
        and not schema.date_time
        and (path in wanted or schema.pattern is not None)
        and not is_under_null(event_type, path)
    ]


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
