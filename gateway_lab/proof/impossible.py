"""Constants that a rule compares with a field and that the field can never be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway_lab.events.event_type import Scalar
from gateway_lab.proof.claims import CannotOccur, RuleRoute
from gateway_lab.proof.comparison import Comparison, comparison
from gateway_lab.proof.domain import ONLY_NULL, intersection
from gateway_lab.proof.space import Space
from gateway_lab.rules.tree import Call, Field, Header, Meta, Node, Reference


def impossible_values(route: RuleRoute, spaces: Sequence[Space]) -> Iterator[CannotOccur]:
    """Find the comparisons of a route that are never TRUE, and equalities that never hold.

    Args:
        route: The route.
        spaces: The messages of each event type of the source.
    """
    reached = [space for space in spaces if route.is_for(space.event_type)]
    for found in _comparisons(route.condition):
        if not isinstance(found.tested, Field | Meta | Header):
            continue
        bases = [space.bases[space.variable(found.tested)] for space in reached]
        bases = [base for base in bases if base != ONLY_NULL]
        for alone in _one_by_one(found):
            true = alone.holding()
            if (
                bases
                and true is not None
                and not any(intersection(base.cuts, true) for base in bases)
            ):
                constant, enum = alone.constants[0], _enum(found.tested, reached)
                if constant.value is not None:
                    yield CannotOccur(route.name, found.tested, constant.value, constant.span, enum)


def _comparisons(node: Node | None) -> Iterator[Comparison]:
    if isinstance(node, Call):
        if (found := comparison(node)) is not None:
            yield found
        for arg in node.args:
            yield from _comparisons(arg)


def _one_by_one(found: Comparison) -> Iterator[Comparison]:
    """Split `in` into equalities, and take the opposite of `<>`."""
    if found.function in {"=", "<>", "in", "is not distinct from"}:
        for constant in found.constants:
            yield Comparison("=", found.tested, (constant,))
    else:
        yield found


def _enum(reference: Reference, spaces: Sequence[Space]) -> tuple[Scalar, ...] | None:
    """Return the values that all event types together list for a field."""
    if not isinstance(reference, Field):
        return None
    types = [space.event_type for space in spaces if space.event_type is not None]
    schemas = [schema for each in types if (schema := each.find(reference.path)) is not None]
    if any(schema.enum is None for schema in schemas):
        return None
    return tuple(dict.fromkeys(value for schema in schemas for value in schema.enum or ()))
