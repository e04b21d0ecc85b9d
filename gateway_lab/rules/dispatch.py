"""Runs of conditions that ask one field for constants: a table answers them all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from gateway_lab.rules.tree import Call, Literal, Node, Reference

SHORTEST = 4
"""A run of fewer conditions is not worth a table."""

Constant: TypeAlias = str | bool | int | float


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring conditions `field = constant` or `field in (…)` over one field.

    Attributes:
        reference: The field. Where it is NULL, all conditions of the run are NULL.
        indexes: Which conditions these are.
        table: Constant to the indexes of the conditions that it meets, in their order.
    """

    reference: Reference
    indexes: range
    table: Mapping[Constant, tuple[int, ...]]


def find_runs(conditions: Sequence[Node | None]) -> tuple[Run, ...]:
    """Find all runs of at least `SHORTEST` conditions, in order."""
    return tuple(_runs(conditions))


def _runs(conditions: Sequence[Node | None]) -> Iterator[Run]:
    questions = [equality(condition) for condition in conditions]
    start = 0
    for reference, group in groupby(question and question[0] for question in questions):
        stop = start + len(list(group))
        if reference is not None and stop - start >= SHORTEST:
            indexes = range(start, stop)
            yield Run(reference, indexes, _table(questions, indexes))
        start = stop


Question: TypeAlias = tuple[Reference, tuple[Constant, ...]]


def _table(
    questions: Sequence[Question | None], indexes: range
) -> Mapping[Constant, tuple[int, ...]]:
    table: dict[Constant, list[int]] = {}
    for index in indexes:
        question = questions[index]
        for constant in dict.fromkeys(question[1] if question else ()):
            table.setdefault(constant, []).append(index)
    return {constant: tuple(found) for constant, found in table.items()}


def equality(condition: Node | None) -> Question | None:
    """Return the field and the constants that a condition asks it for, None if it is another."""
    match condition:
        case Call("=", (left, Literal(value=value))) if value is not None and _is_leaf(left):
            return left, (value,)  # type: ignore[return-value]  # narrowed by _is_leaf
        case Call("=", (Literal(value=value), right)) if value is not None and _is_leaf(right):
            return right, (value,)  # type: ignore[return-value]
        case Call("in", (left, *items)) if _is_leaf(left):
            return left, tuple(each.value for each in items)  # type: ignore[union-attr,misc,return-value]
    return None


def _is_leaf(node: Node) -> bool:
    return not isinstance(node, Call | Literal)
