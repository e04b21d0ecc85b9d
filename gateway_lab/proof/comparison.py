"""Comparisons with constants: for which values they are TRUE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway_lab.events.event_type import Kind
from gateway_lab.proof.domain import (
    Cover,
    Cuts,
    difference,
    everything,
    following,
    intersection,
    values,
    with_prefix,
)
from gateway_lab.proof.space import above, as_kind, at_least
from gateway_lab.rules.tree import Call, Field, Header, Literal, Meta, Node

SIDES_EXCHANGED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NUMERIC = frozenset({Kind.INTEGER, Kind.NUMBER})
_EXACT_IN_BOTH = 2**53
"""Below this, comparing an integer with a number means the same exactly and in float64."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operator or function, what it tests and the constants behind it."""

    function: str
    tested: Node
    constants: tuple[Literal, ...]

    def holding(self) -> Cuts | None:
        """Return the values for which it is TRUE; None: not understood."""
        kind = self.tested.type.kind
        constants = [constant.value for constant in self.constants]
        if not all(_is_comparable(kind, constant) for constant in constants):
            return None
        found: Cuts | None = None
        match self.function, constants:
            case (("=" | "in" | "is not distinct from"), _):
                found = _any_of(kind, constants)
            case "between", [low, high]:
                found = intersection(_ordered(">=", kind, low), _ordered("<=", kind, high))
            case "starts_with", [str(prefix)]:
                found = with_prefix(prefix)
            case "like", [str(pattern)]:
                found = _like(pattern)
            case function, [constant] if function in SIDES_EXCHANGED:
                found = _ordered(function, kind, constant)
        return found


def comparison(node: Call) -> Comparison | None:
    """Take a call as a comparison with constants, those on the right; None: it is none."""
    match node.args:
        case (Literal() as left, Call() | Field() | Meta() | Header() as right) if (
            node.function in SIDES_EXCHANGED
        ):
            return Comparison(SIDES_EXCHANGED[node.function], _narrow(right), (left,))
        case (tested, *constants) if constants:
            literals = tuple(each for each in constants if isinstance(each, Literal))
            if len(literals) == len(constants):
                return Comparison(node.function, _narrow(tested), literals)
    return None


def _narrow(node: Node) -> Node:
    """Look through the conversion of an integer that is compared with a number."""
    match node:
        case Call(function="try_cast number", args=(inner,)) if inner.type.kind is Kind.INTEGER:
            return inner
        case _:
            return node


def _any_of(kind: Kind, constants: list[Any]) -> Cuts:
    found = Cover()
    for constant in constants:
        found.add(_ordered("=", kind, constant))
    return tuple(found.cuts)


def _like(pattern: str) -> Cuts | None:
    """Return the texts that a pattern without wildcards, but for a `%` at its end, matches."""
    prefix = pattern.removesuffix("%")
    if set(prefix) & set("%_\\"):
        return None
    return values([pattern]) if prefix == pattern else with_prefix(prefix)


def _is_comparable(kind: Kind, constant: Any) -> bool:
    """Say whether both engines surely mean the same by comparing the two, and so do we."""
    if constant is None:
        return False
    if kind not in _NUMERIC or isinstance(constant, str):
        return True
    mixed = isinstance(constant, float) != (kind is Kind.NUMBER)
    return not mixed or abs(constant) < _EXACT_IN_BOTH


def _ordered(function: str, kind: Kind, constant: Any) -> Cuts:
    whole = everything(kind).cuts
    if kind in _NUMERIC:
        first, behind = at_least(constant, kind), above(constant, kind)
    else:
        first = as_kind(constant, kind)
        behind = following(first)
    match function:
        case "<":
            return difference(whole, (first,))
        case "<=":
            return difference(whole, (behind,))
        case ">":
            return intersection(whole, (behind,))
        case ">=":
            return intersection(whole, (first,))
        case "<>":
            return difference(whole, (first, behind) if first != behind else ())
        case _:
            return intersection(whole, (first, behind)) if first != behind else ()
