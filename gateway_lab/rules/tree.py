"""The typed tree of a rule: what both engines, the judge, proof and explain read.

A tree is made by `types.resolve` and holds no names that are not known, no settings (they are
folded into literals) and no implicit casts. Nodes compare and hash by meaning: places do not
count, so a tree is a cache key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway_lab.events.event_type import Kind, Path, ValueType

BOOLEAN = ValueType(Kind.BOOLEAN)
INTEGER = ValueType(Kind.INTEGER)
NUMBER = ValueType(Kind.NUMBER)
TEXT = ValueType(Kind.TEXT)
TIMESTAMP = ValueType(Kind.TIMESTAMP)

Value: TypeAlias = "str | bool | int | float | bytes | list[object] | None"
"""A value as the Python engine holds it, see `Kind`."""


@dataclass(frozen=True, slots=True)
class Span:
    """The place of a node in the rule's text: 0-based, the end is behind the last character."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; a timestamp is µs since 1970 UTC. NULL is `value=None`."""

    value: str | bool | int | float | None
    type: ValueType
    span: Span = field(compare=False)

    def __hash__(self) -> int:
        return hash((self.value, self.type, type(self.value)))


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the event; NULL when absent or JSON null."""

    path: Path
    type: ValueType
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Meta:
    """A part of the message: key, timestamp, received, source or channel.

    `message.key` is text, NULL when there is no key or it is not UTF-8.
    """

    name: str
    type: ValueType
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Header:
    """A header's last value as text; the name in lower case; NULL when absent or not UTF-8."""

    name: str
    span: Span = field(compare=False)
    type: ValueType = TEXT


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function of `functions.py` on its arguments; `and` and `or` are n-ary."""

    function: str
    args: tuple[Node, ...]
    type: ValueType
    span: Span = field(compare=False)


Reference: TypeAlias = Field | Meta | Header
"""A leaf whose value comes from the message."""

Node: TypeAlias = Literal | Field | Meta | Header | Call


def references(*nodes: Node | None) -> tuple[Reference, ...]:
    """Collect the distinct references of some trees, in the order first met."""
    return tuple(dict.fromkeys(leaf for node in nodes if node for leaf in _leaves(node)))


def _leaves(node: Node) -> Iterator[Reference]:
    if isinstance(node, Call):
        for arg in node.args:
            yield from _leaves(arg)
    elif not isinstance(node, Literal):
        yield node


def column_name(reference: Reference) -> str:
    """Name the Polars column of a reference; distinct references have distinct names.

    Examples: `event.payload.amount`, `message.key`, `message.headers['x-type']`. A dot or
    quote inside a segment is written in double quotes: `event."a.b"`.
    """
    match reference:
        case Field(path=path):
            return ".".join(["event", *(_segment(name) for name in path)])
        case Meta(name=name):
            return f"message.{name}"
        case Header(name=name):
            escaped = name.replace("'", "''")
            return f"message.headers['{escaped}']"


def _segment(name: str) -> str:
    if name.isidentifier():
        return name
    return '"' + name.replace('"', '""') + '"'
