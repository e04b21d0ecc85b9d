"""What the values of all valid messages of one event type may be, one domain a variable.

A variable is a reference, or an expression that proof does not look into ("opaque"): the same
expression is the same variable, and it may have any value of its type, or NULL. That is more than
can happen, so what holds in a space holds for all messages, not the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import inf, nextafter
from typing import Any

from gateway_lab.events.event_type import EventType, Kind, Schema
from gateway_lab.events.validity import possible_values
from gateway_lab.proof.boxes import Box
from gateway_lab.proof.domain import (
    ONLY_NULL,
    Cuts,
    Domain,
    between,
    everything,
    following,
    intersection,
    values,
)
from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.tree import Call, Field, Header, Literal, Meta, Node, Reference

_NEVER_NULL = frozenset({"received", "source", "channel"})
_ALWAYS_ANSWER = frozenset({"is null", "is not distinct from", "is true", "is false"})


class Space:
    """The variables of some conditions and what each may be.

    Attributes:
        nodes: The variables, by number.
        bases: What each may be, by number.
        restricted: Those of them that `restrict` was asked for.
        known: Values of `message.source` and `message.channel`, where they are known.
    """

    def __init__(
        self,
        event_type: EventType | None,
        references: Iterable[Reference],
        known: Mapping[str, Collection[str]],
    ) -> None:
        self.event_type = event_type
        self.known = known
        self.nodes: list[Node] = []
        self.bases: list[Domain] = []
        self._numbers: dict[Node, int] = {}
        self.restricted: dict[int, Domain] = {}
        self._above: dict[int, tuple[int, ...]] = {}
        self._total: dict[int, tuple[int, ...]] = {}
        for reference in references:
            self.variable(reference)
        self._above |= self._find_parents()

    def variable(self, node: Node) -> int:
        """Return the number of a variable, a new one at its first use."""
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
            self.bases.append(self._base(node))
            if isinstance(node, Call):
                self._above[number] = tuple(map(self.variable, _needed(node)))
                if _is_total(node):
                    self._total[number] = self._above[number]
        return number

    def restrict(self, node: Node, domain: Domain) -> None:
        """Say that a variable has no other values than these in this space."""
        number = self.variable(node)
        self.restricted[number] = self.bases[number] = self.bases[number] & domain

    def is_possible(self, box: Box) -> bool:
        """Say that no value stands without those it needs, nor is missing where they are all."""
        return not any(
            self._has_only_null_above(number, box)
            if not domain.null
            else domain == ONLY_NULL and self._has_all_it_needs(number, box)
            for number, domain in box.items()
        )

    def _has_only_null_above(self, number: int, box: Box) -> bool:
        above = self._above.get(number, ())
        return any(box.get(each, self.bases[each]) == ONLY_NULL for each in above)

    def _has_all_it_needs(self, number: int, box: Box) -> bool:
        needs = self._total.get(number)
        return needs is not None and not any(box.get(each, self.bases[each]).null for each in needs)

    def _find_parents(self) -> Mapping[int, tuple[int, ...]]:
        """Find the objects that hold each field, as far as rules speak of them."""
        fields = {node.path: n for n, node in enumerate(self.nodes) if isinstance(node, Field)}
        return {
            number: tuple(
                fields[path[:length]] for length in range(1, len(path)) if path[:length] in fields
            )
            for path, number in fields.items()
        }

    def _may_be_null(self, node: Node) -> bool:
        match node:
            case Literal(value=value):
                return value is None
            case Call(function=name, args=args):
                if name in _ALWAYS_ANSWER:
                    return False
                return FUNCTIONS[name].partial or any(map(self._may_be_null, args))
            case _:
                return self.bases[self.variable(node)].null

    def _base(self, node: Node) -> Domain:
        match node:
            case Field():
                return self._field(node)
            case Meta(name=name):
                return self._meta(node, self.known.get(name))
            case Call() if not self._may_be_null(node):
                return everything(node.type.kind).without_null()
            case _:
                return everything(node.type.kind)

    def _field(self, field: Field) -> Domain:
        schema = self.event_type.find(field.path) if self.event_type else None
        if self.event_type is None or schema is None or schema.value_type != field.type:
            return ONLY_NULL
        domain = Domain(allowed(schema), null=True)
        always = self.event_type.is_always_present(field.path)
        return domain.without_null() if always else domain

    @staticmethod
    def _meta(meta: Meta, known: Collection[str] | None) -> Domain:
        domain = everything(meta.type.kind) if known is None else Domain(values(known), null=True)
        return domain.without_null() if meta.name in _NEVER_NULL else domain


def _needed(node: Node) -> Iterable[Reference]:
    """Yield the references that have a value whenever an expression has one."""
    match node:
        case Call(function=name, args=args):
            if FUNCTIONS[name].strict:
                for arg in args:
                    yield from _needed(arg)
        case Field() | Meta() | Header():
            yield node


def _is_total(node: Node) -> bool:
    """Say whether an expression has a value whenever its references have."""
    if not isinstance(node, Call):
        return not isinstance(node, Literal) or node.value is not None
    function = FUNCTIONS[node.function]
    return function.strict and not function.partial and all(map(_is_total, node.args))


def allowed(schema: Schema) -> Cuts:
    """Return the values that an enum and bounds leave; patterns and lengths are not looked at."""
    kind = schema.value_type.kind
    cuts = everything(kind).cuts
    if kind in {Kind.INTEGER, Kind.NUMBER}:
        cuts = intersection(cuts, _between_bounds(schema, kind))
    if schema.enum is None or kind is Kind.TIMESTAMP:
        return cuts
    return intersection(cuts, values(as_kind(value, kind) for value in possible_values(schema)))


def as_kind(value: Any, kind: Kind) -> Any:
    """Return a constant as the values of a kind are compared; booleans are 0 and 1."""
    if kind is Kind.NUMBER:
        return float(value)
    return int(value) if kind in {Kind.BOOLEAN, Kind.INTEGER} else value


def _between_bounds(schema: Schema, kind: Kind) -> Cuts:
    low = max(
        at_least(schema.minimum, kind),
        above(schema.exclusive_minimum, kind),
    )
    high = min(
        above(schema.maximum, kind, none=inf),
        at_least(schema.exclusive_maximum, kind, none=inf),
    )
    return between(low, high)


def at_least(bound: float | None, kind: Kind, *, none: float = -inf) -> float:
    """Return the first value of a numeric kind that is not below a bound of either kind."""
    if bound is None:
        return none
    if kind is Kind.INTEGER:
        whole = int(bound)
        return whole + (whole < bound)
    near = float(bound)
    return nextafter(near, inf) if near < bound else near


def above(bound: float | None, kind: Kind, *, none: float = -inf) -> float:
    """Return the first value of a numeric kind above a bound of either kind."""
    first = at_least(bound, kind, none=none)
    return following(first) if first == bound else first
