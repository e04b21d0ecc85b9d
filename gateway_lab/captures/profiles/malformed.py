"""Bodies that are broken, in the ways that real producers break them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]

_NOT_JSON = (b"<html><body>502 Bad Gateway</body></html>", b"OK", b"event_type=order&id=1", b"   ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """Where the events of a profile can be broken; all are fields at the top.

    Attributes:
        required: A required field.
        scalar: A required text or number.
        choice: A field with an enum, None where there is none.
        number: A number, as a path.
    """

    required: str
    scalar: str
    choice: str | None
    number: tuple[str, ...]


def broken(body: bytes, weakness: Weakness, draw: int) -> bytes:
    """Break a valid body; the draw chooses how. No result is valid."""
    way = WAYS[draw % len(WAYS)]
    return way(body, weakness, draw // len(WAYS))


def _truncated(body: bytes, _: Weakness, draw: int) -> bytes:
    return body[: 1 + draw % (len(body) - 2)]


def _not_json(_: bytes, __: Weakness, draw: int) -> bytes:
    return _NOT_JSON[draw % len(_NOT_JSON)]


def _empty(_: bytes, __: Weakness, ___: int) -> bytes:
    return b""


def _not_utf8(body: bytes, _: Weakness, __: int) -> bytes:
    return body[:-1] + ',"note":"Größe"}'.encode("latin-1")


def _byte_order_mark(body: bytes, _: Weakness, __: int) -> bytes:
    return b"\xef\xbb\xbf" + body


def _two_values(body: bytes, _: Weakness, __: int) -> bytes:
    return body + body


def _in_a_list(body: bytes, _: Weakness, __: int) -> bytes:
    return b"[" + body + b"]"


def _too_deep(body: bytes, _: Weakness, draw: int) -> bytes:
    depth = 200 + draw % 100
    return body[:-1] + b',"deep":' + b"[" * depth + b"]" * depth + b"}"


def _repeated_key(body: bytes, weakness: Weakness, _: int) -> bytes:
    """Put a wrong value before the right one: every occurrence counts."""
    return b'{"' + weakness.required.encode() + b'":[1],' + body[1:].lstrip()


def _missing(body: bytes, weakness: Weakness, _: int) -> bytes:
    return _changed(body, lambda event: event.pop(weakness.required))


def _null(body: bytes, weakness: Weakness, _: int) -> bytes:
    return _changed(body, lambda event: event.update({weakness.required: None}))


def _wrong_type(body: bytes, weakness: Weakness, draw: int) -> bytes:
    value: Any = ({}, [], True, ["a", 1])[draw % 4]
    return _changed(body, lambda event: event.update({weakness.scalar: value}))


def _unknown_choice(body: bytes, weakness: Weakness, draw: int) -> bytes:
    choice, value = weakness.choice, ("urgent", "HIGH", "", "unknown")[draw % 4]
    if choice is None:
        return _wrong_type(body, weakness, draw)
    return _changed(body, lambda event: event.update({choice: value}))


def _not_a_number(body: bytes, weakness: Weakness, draw: int) -> bytes:
    """Write a number in a way that JSON or float64 does not know."""
    token = ("NaN", "-Infinity", "1e999", '"12.50"', "1,5", "0x1F", "+1", "01")[draw % 8]
    return _changed(body, lambda event: _set(event, weakness.number, "@number@")).replace(
        b'"@number@"', token.encode()
    )


WAYS: tuple[Callable[[bytes, Weakness, int], bytes], ...] = (
    _truncated,
    _not_json,
    _empty,
    _not_utf8,
    _byte_order_mark,
    _two_values,
    _in_a_list,
    _too_deep,
    _repeated_key,
    _missing,
    _null,
    _wrong_type,
    _unknown_choice,
    _not_a_number,
)


def _changed(body: bytes, change: Callable[[Event], object]) -> bytes:
    event = json.loads(body)
    change(event)
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def _set(event: Event, path: tuple[str, ...], value: str) -> None:
    for name in path[:-1]:
        event = event[name]
    event[path[-1]] = value
