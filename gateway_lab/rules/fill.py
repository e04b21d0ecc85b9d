"""Fill templates with the values of one message: text for channels, keys and headers, or JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from gateway_lab.events.event_type import Kind
from gateway_lab.rules.template import BodyTemplate, Template, boolean_text
from gateway_lab.rules.to_python import compile_value
from gateway_lab.rules.tree import Literal, Node, Reference, Value

Values: TypeAlias = tuple[Value, ...]
"""The values of the inputs, in their order."""

Fill: TypeAlias = Callable[[Values], str | None]


def compile_text(template: Template, inputs: Sequence[Reference], *, name: str) -> Fill:
    """Compile a template that gives text; one NULL makes the whole NULL.

    Args:
        template: One that `check_text` accepts.
        inputs: The references whose values the function gets; all of the template among them.
        name: What the template is, for tracebacks: `target critical key`.
    """
    if not template.nodes:
        text = "".join(part for part in template.parts if isinstance(part, str))
        return lambda _: text
    pieces = compile_pieces(template, inputs, name=name)
    if len(template.parts) == 1:
        return pieces[0]

    def fill(values: Values) -> str | None:
        filled = [piece(values) for piece in pieces]
        return join(template, filled)

    return fill


def compile_pieces(
    template: Template, inputs: Sequence[Reference], *, name: str
) -> tuple[Fill, ...]:
    """Compile each expression of a template by itself, in order."""
    return tuple(_spell(node, compile_node(node, inputs, name=name)) for node in template.nodes)


def join(template: Template, filled: Sequence[str | None]) -> str | None:
    """Put the texts of the expressions between the fixed ones; NULL where one of them is."""
    if None in filled:
        return None
    texts = iter(filled)
    return "".join(part if isinstance(part, str) else next(texts) or "" for part in template.parts)


def compile_alone(
    template: Template, inputs: Sequence[Reference], *, name: str
) -> Callable[[Values], Value]:
    """Compile a template that keeps its type: a number stays one where it stands alone."""
    if len(template.parts) == 1 and template.nodes:
        return compile_node(template.nodes[0], inputs, name=name)
    return compile_text(template, inputs, name=name)


def compile_node(
    node: Node, inputs: Sequence[Reference], *, name: str
) -> Callable[[Values], Value]:
    """Compile one tree to a function of all values; a bare reference costs one look-up."""
    if isinstance(node, Literal):
        constant = node.value
        return lambda _: constant
    if node in inputs:
        return itemgetter(inputs.index(node))
    function = compile_value(node, inputs, name=name)
    return lambda values: function(*values)


def _spell(node: Node, get: Callable[[Values], Any]) -> Fill:
    """Write an integer or boolean as text; NULL stays NULL."""
    if node.type.kind is Kind.TEXT:
        return get
    write = boolean_text if node.type.kind is Kind.BOOLEAN else str

    def spell(values: Values) -> str | None:
        value = get(values)
        return None if value is None else write(value)

    return spell


# --- JSON: the fixed bytes between the values are made once ---

_encode = msgspec.json.Encoder().encode


def compile_json(
    body: BodyTemplate, inputs: Sequence[Reference], *, name: str
) -> Callable[[Values], bytes]:
    """Compile a body template; names stand in the order written, objects pass on as they came.

    Returns:
        A function of the values that gives compact JSON. A timestamp is RFC 3339 text in UTC.
    """
    fixed: list[bytes] = [b""]
    writers: list[Callable[[Values], bytes]] = []
    for piece in _flatten(body):
        if isinstance(piece, bytes):
            fixed[-1] += piece
        else:
            writers.append(_compile_writer(piece, inputs, name))
            fixed.append(b"")
    last = fixed.pop()
    pairs = tuple(zip(fixed, writers, strict=True))

    def write(values: Values) -> bytes:
        return b"".join([text + writer(values) for text, writer in pairs]) + last

    return write


def _flatten(body: BodyTemplate) -> Iterator[bytes | Template]:
    """Yield the JSON text of a body in order: fixed bytes, and templates that need values."""
    if isinstance(body, Template):
        yield body if body.nodes else _encode("".join(map(str, body.parts)))
    elif isinstance(body, Mapping):
        for index, (key, value) in enumerate(body.items()):
            yield (b"," if index else b"{") + _encode(key) + b":"
            yield from _flatten(value)
        yield b"}" if body else b"{}"
    elif isinstance(body, tuple):
        for index, value in enumerate(body):
            yield b"," if index else b"["
            yield from _flatten(value)
        yield b"]" if body else b"[]"
    else:
        yield _encode(body)


def _compile_writer(
    template: Template, inputs: Sequence[Reference], name: str
) -> Callable[[Values], bytes]:
    get = compile_alone(template, inputs, name=name)
    encode = _encoder(template)
    return lambda values: encode(get(values))


def _encoder(template: Template) -> Callable[[Any], bytes]:
    """Choose how a value of the template's type is written."""
    if template.type.item is Kind.OBJECT:
        return _encode_objects
    if Kind.TIMESTAMP in {template.type.kind, template.type.item}:
        return _encode_times
    return _encode_object if template.type.kind is Kind.OBJECT else _encode


def _encode_object(value: bytes | None) -> bytes:
    return b"null" if value is None else value


def _encode_objects(value: list[bytes | None] | None) -> bytes:
    if value is None:
        return b"null"
    return b"[" + b",".join(map(_encode_object, value)) + b"]"


def _encode_times(value: int | list[int | None] | None) -> bytes:
    if isinstance(value, list):
        return _encode([time_of(each) for each in value])
    return _encode(time_of(value))


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(value: int | None) -> datetime | None:
    """Make a time of µs since 1970; NULL outside the years 1 to 9999."""
    try:
        return None if value is None else EPOCH + timedelta(microseconds=value)
    except OverflowError:
        return None
