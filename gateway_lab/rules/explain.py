"""Why a condition is TRUE, FALSE or NULL for one message, clause by clause.

A clause is a part of a condition that `and`, `or` and `not` join. Clauses are computed by the
Python engine, the one that decides live messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_lab.rules.to_python import compile_value
from gateway_lab.rules.tree import Call, Node, Reference, Value, references


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a condition.

    Attributes:
        text: As written.
        values: What it refers to, with the values of the message.
        result: True, false, or None for NULL.
        decided: Whether it made the result of the condition: of an `and` that is FALSE the first
            FALSE clause, of one that is TRUE all of them.
    """

    text: str
    values: Mapping[Reference, Value]
    result: bool | None
    decided: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A clause that would have to give another result."""

    text: str
    values: Mapping[Reference, Value]
    wanted: bool


def explain_condition(
    node: Node, text: str, values: Mapping[Reference, Value]
) -> tuple[Clause, ...]:
    """Explain a condition.

    Args:
        node: The condition.
        text: As it was written; the places of the tree are offsets into it.
        values: A value for each reference of the condition.

    Returns:
        Its clauses in the order written.
    """
    return tuple(_clauses(node, text, values, decided=True))


def evaluate(node: Node, values: Mapping[Reference, Value]) -> bool | None:
    """Compute a condition or clause for one message."""
    inputs = references(node)
    found = compile_value(node, inputs, name="explain")(*(values[each] for each in inputs))
    return None if found is None else bool(found)


def _clauses(
    node: Node, text: str, values: Mapping[Reference, Value], *, decided: bool
) -> list[Clause]:
    joined = _joined(node)
    if joined is None:
        seen = {each: values[each] for each in references(node)}
        return [Clause(_written(node, text), seen, evaluate(node, values), decided)]
    deciding = _deciding(joined, values)
    return [
        clause
        for index, arg in enumerate(joined.args)
        for clause in _clauses(arg, text, values, decided=decided and index in deciding)
    ]


def _deciding(node: Call, values: Mapping[Reference, Value]) -> set[int]:
    """Say which parts of a joined condition made its result."""
    if node.function == "not":
        return {0}
    results = [evaluate(arg, values) for arg in node.args]
    ends = node.function == "or"
    if ends in results:
        return {results.index(ends)}
    return {index for index, result in enumerate(results) if result is None or None not in results}


def changes_needed(
    node: Node, text: str, values: Mapping[Reference, Value], *, wanted: bool = True
) -> tuple[Change, ...]:
    """Find a smallest set of clauses that would have to change for the condition to be TRUE.

    Each clause is taken by itself: whether one message can meet them all is `proof`'s question.
    """
    joined = _joined(node)
    if joined is None:
        if evaluate(node, values) is wanted:
            return ()
        seen = {each: values[each] for each in references(node)}
        return (Change(_written(node, text), seen, wanted),)
    if joined.function == "not":
        return changes_needed(joined.args[0], text, values, wanted=not wanted)
    needed = [changes_needed(arg, text, values, wanted=wanted) for arg in joined.args]
    if (joined.function == "or") is wanted:
        return min(needed, key=len)
    distinct = {(change.text, change.wanted): change for each in needed for change in each}
    return tuple(distinct.values())


def _joined(node: Node) -> Call | None:
    """Return a node that only joins others; `not` of a single clause is a clause itself."""
    if not isinstance(node, Call):
        return None
    joins = node.function in {"and", "or"} or (
        node.function == "not" and _joined(node.args[0]) is not None
    )
    return node if joins else None


def _written(node: Node, text: str) -> str:
    return text[node.span.start : node.span.end]
