"""Witnesses: real messages that show a claim, each judged by the decoder and the Python engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from gateway_lab.events.decode import InvalidBody, compile_decoder
from gateway_lab.events.event_type import EventType, Kind, Path, Schema
from gateway_lab.proof.boxes import Box, Budget
from gateway_lab.proof.domain import ONLY_NULL
from gateway_lab.proof.example import choices, example
from gateway_lab.proof.space import Space
from gateway_lab.rules.to_python import compile_router
from gateway_lab.rules.tree import Call, Field, Header, Literal, Meta, Node, Reference, references

_TRIES = 24
"""Messages tried for one box; the first nearly always does where nothing in it is opaque."""
_MOST_CHOICES = 8
_TYPES = {Kind.TEXT: str, Kind.INTEGER: int, Kind.NUMBER: float, Kind.TIMESTAMP: int}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A message that shows a claim.

    Attributes:
        event_type: The name of its event type, None where the source has none.
        event: Its body as JSON data, None where the source has no event type.
        message: What else of it matters (`key`, `timestamp`, `channel`, `headers`, …), written
            as in a config's `tests`.
    """

    event_type: str | None
    event: Mapping[str, Any] | None
    message: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as the `message` of a config's test."""
        return {**self.message} if self.event is None else {**self.message, "event": self.event}


class Answer(NamedTuple):
    """What the Python engine says of a witness: the conditions that are TRUE and NULL for it."""

    witness: Witness
    true: frozenset[int]
    null: frozenset[int]


class Witnesses:
    """Finds messages of one space and has all conditions answer them.

    Args:
        space: What the messages of one event type may be.
        conditions: The routes' conditions; None is always TRUE.
        guard: What must be TRUE of a message for it to be of this event type.
        budget: The work to spend, in conditions decided.
    """

    def __init__(
        self,
        space: Space,
        conditions: Sequence[Node | None],
        guard: Node | None,
        budget: Budget,
    ) -> None:
        self._space, self.budget = space, budget
        self._inputs = references(*conditions, guard)
        self._guard = len(conditions)
        self._ask = compile_router((*conditions, guard), self._inputs, match="all", name="proof")
        event_type = space.event_type
        self._paths = tuple(
            each.path
            for each in self._inputs
            if isinstance(each, Field) and event_type is not None and event_type.find(each.path)
        )
        self._decoder = compile_decoder(event_type, self._paths) if event_type else None
        self._known: dict[frozenset[tuple[int, Any]], tuple[Answer, ...]] = {}

    def of(self, box: Box) -> tuple[Answer, ...]:
        """Return answers for some messages, most likely of this box; none is invented.

        Raises:
            TooComplexError: Too many messages were tried for this router.
        """
        key = frozenset(box.items())
        if key not in self._known:
            messages = self._messages({**self._space.restricted, **box})
            tried = (self._judge(values) for values in messages)
            self._known[key] = tuple(answer for answer in tried if answer is not None)
        return self._known[key]

    def _messages(self, box: Box) -> Iterator[Mapping[Reference, Any]]:
        """Choose values for the references that a box speaks of, in several ways."""
        nodes = [self._space.nodes[number] for number in box]
        outside = [each for each in self._inputs if not isinstance(each, Field)]
        hints = self._hints(box)
        options = [
            (each, self._options(each, box, hints))
            for each in dict.fromkeys((*references(*nodes), *outside))
        ]
        for turn in range(_TRIES if hints else 2):
            yield {
                reference: found[turn * (1 + at) % len(found)]
                for at, (reference, found) in enumerate(options)
                if found
            }

    def _hints(self, box: Box) -> list[Any]:
        """Return constants that are likely to matter to the expressions proof does not look into."""
        found: list[Any] = []
        for number, domain in box.items():
            node = self._space.nodes[number]
            if isinstance(node, Call):
                found += islice(choices(domain.cuts, node.type.kind), _MOST_CHOICES)
                found += (each.value for each in _literals(node))
        return found + ["x" * each for each in found if type(each) is int and 0 < each < 100]

    def _options(self, reference: Reference, box: Box, hints: list[Any]) -> list[Any]:
        number, type_ = self._space.variable(reference), reference.type
        domain = box.get(number, self._space.bases[number])
        found = [each for each in hints if type(each) is _TYPES.get(type_.kind) and each in domain]
        if type_.item in _TYPES and domain.cuts:
            found = [[each] for each in hints if type(each) is _TYPES[type_.item]]
        found += islice(choices(domain.cuts, type_.kind), _MOST_CHOICES)
        if not domain.null:
            return found
        if number in box or (hints and ONLY_NULL not in box.values()):
            return [*found, None]
        return [None, *found]

    def _judge(self, values: Mapping[Reference, Any]) -> Answer | None:
        self.budget.spend(self._guard)
        witness = _write(values, self._space.event_type)
        fields: Mapping[Path, Any] = {}
        if self._decoder is not None:
            body = json.dumps(witness.event, ensure_ascii=False).encode()
            try:
                fields = dict(zip(self._paths, self._decoder.decode(body), strict=True))
            except InvalidBody:
                return None
        heard = (
            fields.get(each.path) if isinstance(each, Field) else values.get(each)
            for each in self._inputs
        )
        true, null = self._ask(*heard)
        if self._guard not in true:
            return None
        return Answer(witness, frozenset(true) - {self._guard}, frozenset(null))


def _literals(node: Node) -> Iterator[Literal]:
    if isinstance(node, Literal):
        yield node
    for arg in node.args if isinstance(node, Call) else ():
        yield from _literals(arg)


def _write(values: Mapping[Reference, Any], event_type: EventType | None) -> Witness:
    message: dict[str, Any] = {}
    headers: dict[str, str] = {}
    event = example(event_type.schema) if event_type else None
    for reference, value in sorted(values.items(), key=lambda item: item[1] is not None):
        match reference:
            case Field(path=path, type=type_) if event_type and event_type.find(path):
                _place(event, path, _json(value, type_.kind), event_type.schema)
            case Header(name=name) if value is not None:
                headers[name] = value
            case Meta(name=name, type=type_) if value is not None:
                message[name] = _json(value, type_.kind)
    if headers:
        message["headers"] = headers
    return Witness(event_type=event_type.name if event_type else None, event=event, message=message)


def _place(event: Any, path: Path, value: Any, schema: Schema) -> None:
    """Write a value into an event, making the objects above it; None takes it out."""
    if value is None:
        _take_out(event, path, schema)
        return
    for name in path[:-1]:
        schema = (schema.properties or {})[name]
        if not isinstance(event.get(name), dict):
            event[name] = deepcopy(example(schema))
        event = event[name]
    if value is _PRESENT:
        child = (schema.properties or {})[path[-1]]
        value = example(replace(child, nullable=False))
    event[path[-1]] = value


def _take_out(event: Any, path: Path, schema: Schema) -> None:
    """Leave a field out or, where it must be there, write null for it or for what holds it."""
    steps = []
    for name in path:
        child = (schema.properties or {})[name]
        steps.append((event, name, name in schema.required, child.nullable))
        event = event.get(name) if isinstance(event, dict) else None
        schema = child
    for holder, name, is_required, is_nullable in reversed(steps):
        if not is_required or is_nullable:
            if isinstance(holder, dict):
                holder.pop(name, None) if not is_required else holder.update({name: None})
            return


_PRESENT = object()
"""Stands for the one value of lists and objects that a domain knows."""


def _json(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    match kind:
        case Kind.BOOLEAN:
            return bool(value)
        case Kind.TIMESTAMP:
            return _rfc3339(value)
        case Kind.LIST | Kind.OBJECT:
            return value if isinstance(value, list) else _PRESENT
        case _:
            return value


def _rfc3339(micros: int) -> str | None:
    """Write a time; None for one that no RFC 3339 text says."""
    try:
        time = _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None
    return time.isoformat().replace("+00:00", "Z")
