"""Boxes: sets of messages that bound each variable on its own.

A variable is a number of a `Space`; a variable that a box does not name is bound by nothing but
the space. The boxes of one condition are its disjunctive normal form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from gateway_lab.proof.domain import Domain

Box: TypeAlias = Mapping[int, Domain]

MOST_BOXES = 256
"""No condition, and no remainder of one, is followed into more boxes than this."""


class TooComplexError(Exception):
    """The answer would take more work than it is worth; whoever asked says "unknown"."""


class Budget:
    """The work that one analysis may do, counted in comparisons of two boxes: no clock."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def spend(self, steps: int) -> None:
        """Count some work.

        Raises:
            TooComplexError: It is used up.
        """
        self.steps -= steps
        if self.steps < 0:
            raise TooComplexError


def intersect(a: Box, b: Box) -> Box | None:
    """Return the messages in both, None where there are none."""
    if len(a) < len(b):
        a, b = b, a
    both = dict(a)
    for variable, domain in b.items():
        mine = a.get(variable)
        meet = domain if mine is None else mine & domain
        if not meet:
            return None
        both[variable] = meet
    return both


def is_within(a: Box, b: Box) -> bool:
    """Say whether every message of the first is in the second; both not empty.

    A bound of `b` on a variable that `a` does not bind is taken to exclude something.
    """
    return all(variable in a and a[variable].is_within(bound) for variable, bound in b.items())


def meets(a: Box, b: Box) -> bool:
    """Say whether some message is in both."""
    return all(v not in a or a[v].meets(bound) for v, bound in b.items())


def subtract(a: Box, b: Box, bases: Sequence[Domain]) -> list[Box]:
    """Return what of the first is not in the second, as boxes that do not overlap.

    Args:
        a: A box that meets `b`.
        b: The box taken away.
        bases: What the space allows for each variable.
    """
    pieces: list[Box] = []
    rest = dict(a)
    for variable, bound in b.items():
        mine = rest.get(variable, bases[variable])
        if outside := mine - bound:
            pieces.append({**rest, variable: outside})
        rest[variable] = mine & bound
    return pieces


def join(boxes: Iterable[Box]) -> list[Box]:
    """Unite the boxes that bind one same variable only, so that `in` stays one box."""
    single: dict[int, Domain] = {}
    others: list[Box] = []
    for box in boxes:
        if not box:
            return [box]
        if len(box) > 1:
            others.append(box)
            continue
        ((variable, domain),) = box.items()
        single[variable] = single[variable] | domain if variable in single else domain
    return [{variable: domain} for variable, domain in single.items()] + others


def product(factors: Sequence[list[Box]], budget: Budget) -> list[Box]:
    """Return the messages that are in one box of each factor.

    Raises:
        TooComplexError: There are too many boxes.
    """
    found: list[Box] = [{}]
    for factor in sorted(factors, key=len):
        budget.spend(len(found) * len(factor))
        found = [both for a in found for b in factor if (both := intersect(a, b)) is not None]
        if len(found) > MOST_BOXES:
            raise TooComplexError
    return found
