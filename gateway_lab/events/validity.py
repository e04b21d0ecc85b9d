"""What makes a body valid, written plainly: the slow definition that `decode.py` is fast at.

It finds the first problem of a body, in the order of its text, and says it in one short sentence.
`decode.py` asks it only about bodies that it refuses, and about event types that it cannot carry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway_lab.events.event_type import Scalar, Schema
from gateway_lab.events.regex import compile_search
from gateway_lab.events.timestamps import OutsideYearsError, parse_date_time

INT64: Final = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a body may be at most, whatever its event type says."""

    max_bytes: int = 1024 * 1024
    max_levels: int = 128


DEFAULT_LIMITS: Final = Limits()


class _Object(list[tuple[str, Any]]):
    """The pairs of a JSON object, repeated keys and all."""


class _Integer(str):
    """The text of a number without fraction and exponent."""

    __slots__ = ()


class _Decimal(str):
    """The text of a number with a fraction or an exponent."""

    __slots__ = ()


_JSON: Final = json.JSONDecoder(object_pairs_hook=_Object, parse_int=_Integer, parse_float=_Decimal)
_SYNTAX: Final = msgspec.json.Decoder(msgspec.Raw)


def find_problem(schema: Schema, body: bytes | None, limits: Limits = DEFAULT_LIMITS) -> str | None:
    """Say why a body is not valid, None where it is; values marked private are never shown.

    Args:
        schema: The top of an event type.
        body: The bytes; None is a tombstone, which is never valid.
        limits: The largest size and the deepest nesting.
    """
    if body is None:
        return "no body"
    problem = find_admission_problem(body, limits)
    if problem is not None:
        return problem
    try:
        _SYNTAX.decode(body)
    except msgspec.DecodeError as error:
        return f"not JSON: {_syntax_problem(body.decode(), error)}"
    return next(_problems(schema, _JSON.decode(body.decode()), ()), None)


def _syntax_problem(text: str, error: msgspec.DecodeError) -> str:
    """Say what msgspec refuses; of half a surrogate pair it says that the text is truncated."""
    try:
        json.dumps(_JSON.decode(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    except ValueError:
        pass
    problem = str(error).removeprefix("JSON is malformed: ").replace(" (byte", " at byte")
    return problem.rstrip(")").lower()


def find_admission_problem(body: bytes, limits: Limits) -> str | None:
    """Say what is wrong with the bytes themselves: the size, the encoding, the depth."""
    if len(body) > limits.max_bytes:
        return f"larger than {limits.max_bytes:,} bytes: {len(body):,}"
    if not body:
        return "empty body"
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            return f"not UTF-8: byte {error.start}"
    if is_deeper(body, limits.max_levels):
        return f"nested deeper than {limits.max_levels} levels"
    return None


def is_deeper(body: bytes, levels: int) -> bool:
    """Say whether arrays and objects are nested deeper; brackets inside strings do not count.

    Of a body that is no JSON it may say anything, but not False where a reader would have to go
    deeper than twice the levels.
    """
    if len(body) <= 2 * levels or _count(body, b"{") + _count(body, b"[") <= levels:
        return False
    if b"\\" in body:
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = body.translate(_ALL_CURLY, _NOT_MARKS).replace(b'""', b"")
    if b'"' in marks:  # a string with brackets in it
        marks = b"".join(marks.split(b'"')[::2])
    if b"{" * (levels + 1) in marks:
        return True
    for _ in range(levels):
        shorter = marks.replace(b"{}", b"")  # takes the innermost level away
        if len(shorter) == len(marks):
            break
        marks = shorter
    return b"{}" in marks or marks.count(b"{") > levels


def _count(body: bytes, bracket: bytes) -> int:
    return len(body) - len(body.replace(bracket, b""))  # four times as fast as `count`


_ALL_CURLY: Final = bytes.maketrans(b"[]", b"{}")
_NOT_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))


def _problems(schema: Schema, value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the problems of a value, in the order of the text."""
    word = _word(value)
    if schema.type is None:
        return
    if value is None:
        if not schema.nullable:
            yield _say(path, f"expected {schema.type}, got null")
    elif word != schema.type and (schema.type, word) != ("number", "integer"):
        yield _say(path, f"expected {schema.type}, got {word}")
    elif schema.type == "object":
        yield from _object_problems(schema, value, path)
    elif schema.type == "array":
        yield from _array_problems(schema, value, path)
    else:
        yield from _scalar_problems(schema, value, path)


def _say(path: tuple[str, ...], problem: str) -> str:
    return f"{'.'.join(path)}: {problem}" if path else problem


def _word(value: Any) -> str:
    """Name the JSON type of a value."""
    if value is None:
        return "null"
    return _WORDS[type(value)]


_WORDS: Final[dict[type, str]] = {
    str: "string",
    bool: "boolean",
    _Integer: "integer",
    _Decimal: "number",
    list: "array",
    _Object: "object",
}


def _object_problems(schema: Schema, pairs: _Object, path: tuple[str, ...]) -> Iterator[str]:
    declared = schema.properties or {}
    for name, value in pairs:
        shown = "…" if schema.private else _quote(name)
        if name in declared:
            yield from _problems(declared[name], value, (*path, name))
        elif schema.additional is False:
            yield _say(path, f"the field {shown} is not declared")
        elif schema.additional is not True:
            yield from _problems(schema.additional, value, (*path, shown))
    present = {name for name, _ in pairs}
    for name in declared:
        if name in schema.required and name not in present:
            yield _say((*path, name), "required but missing")


def _array_problems(schema: Schema, values: list[Any], path: tuple[str, ...]) -> Iterator[str]:
    if schema.min_items is not None and len(values) < schema.min_items:
        yield _say(path, f"fewer than {schema.min_items} elements")
    if schema.max_items is not None and len(values) > schema.max_items:
        yield _say(path, f"more than {schema.max_items} elements")
    if schema.items is not None:
        for at, value in enumerate(values):
            yield from _problems(schema.items, value, (*path[:-1], f"{path[-1]}[{at}]"))


def _scalar_problems(schema: Schema, value: Any, path: tuple[str, ...]) -> Iterator[str]:
    scalar: Scalar = value
    if schema.type == "integer":
        if len(value) > 20 or not INT64[0] <= int(value) <= INT64[1]:
            yield _say(path, "integer outside int64")
            return
        scalar = int(value)
    elif schema.type == "number":
        scalar = float(value)
        if scalar in {float("inf"), float("-inf")}:
            yield _say(path, "number outside float64")
            return
    for problem in _unmet(schema, scalar):
        shown = "" if schema.private else f"{_quote(scalar)} "
        yield _say(path, f"{shown}{problem}")


def possible_values(schema: Schema) -> tuple[Scalar, ...]:
    """Return the values of an enum that meet the schema's other keywords."""
    return tuple(value for value in schema.enum or () if meets(schema, value))


def meets(schema: Schema, value: Scalar) -> bool:
    """Say whether a scalar of the declared type meets every keyword."""
    return next(_unmet(schema, value), None) is None


def _unmet(schema: Schema, value: Scalar) -> Iterator[str]:
    """Yield what a scalar of the declared type does not meet."""
    if schema.enum is not None and value not in schema.enum:
        yield f"is not one of {_listed(schema)}"
    if isinstance(value, str):
        yield from _unmet_by_text(schema, value)
    elif not isinstance(value, bool):
        yield from _unmet_by_number(schema, value)


def _unmet_by_text(schema: Schema, value: str) -> Iterator[str]:
    if schema.min_length is not None and len(value) < schema.min_length:
        yield f"is shorter than {schema.min_length} characters"
    if schema.max_length is not None and len(value) > schema.max_length:
        yield f"is longer than {schema.max_length} characters"
    if schema.pattern is not None and not compile_search(schema.pattern)(value):
        yield f"does not match {schema.pattern}"
    if schema.date_time:
        try:
            parse_date_time(value)
        except OutsideYearsError:
            yield "is outside the years 1 to 9999 in UTC"
        except ValueError:
            yield "is no RFC 3339 date-time with seconds and offset"


def _unmet_by_number(schema: Schema, value: float) -> Iterator[str]:
    if schema.minimum is not None and value < schema.minimum:
        yield f"is below {schema.minimum}"
    if schema.maximum is not None and value > schema.maximum:
        yield f"is above {schema.maximum}"
    if schema.exclusive_minimum is not None and value <= schema.exclusive_minimum:
        yield f"is not above {schema.exclusive_minimum}"
    if schema.exclusive_maximum is not None and value >= schema.exclusive_maximum:
        yield f"is not below {schema.exclusive_maximum}"


def _listed(schema: Schema) -> str:
    values = [str(value) for value in schema.enum or ()]
    return ", ".join(values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")


def _quote(value: Scalar) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…'"
