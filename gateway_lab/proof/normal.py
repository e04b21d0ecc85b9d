"""From a condition to boxes: its disjunctive normal form under three-valued logic.

A condition is TRUE, FALSE or NULL. `and`, `or` and `not` are followed for each of the answers
wanted; a comparison of a variable with constants becomes a domain; all else is a variable of its
own that may be TRUE, FALSE or NULL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway_lab.proof.boxes import Box, Budget, join, product
from gateway_lab.proof.comparison import SIDES_EXCHANGED, comparison
from gateway_lab.proof.domain import ONLY_NULL, Domain, difference, everything
from gateway_lab.proof.space import Space, as_kind
from gateway_lab.rules.tree import Call, Literal, Node

_NEGATED = {"<>": "=", ">=": "<", "<=": ">"}


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one variable: for which of its values it is TRUE and FALSE, else NULL."""

    __test__ = False

    node: Node
    true: Domain
    false: Domain


def true_boxes(condition: Node | None, space: Space, budget: Budget) -> list[Box]:
    """Return boxes that hold every message of the space for which a condition is TRUE.

    Raises:
        TooComplexError: There are too many.
    """
    if condition is None:
        return [{}]
    return _Normal(space, budget).boxes(condition, want=True, or_null=False)


def null_boxes(condition: Node | None, space: Space, budget: Budget) -> list[Box]:
    """Return boxes that hold every message of the space for which a condition is NULL.

    Raises:
        TooComplexError: There are too many.
    """
    if condition is None:
        return []
    normal = _Normal(space, budget)
    not_false = normal.boxes(condition, want=True, or_null=True)
    not_true = normal.boxes(condition, want=False, or_null=True)
    return [box for box in product([not_false, not_true], budget) if space.is_possible(box)]


def restrict(space: Space, condition: Node) -> None:
    """Let a space hold only messages for which a condition on one variable is TRUE."""
    match condition:
        case Call(function="not", args=(Call(function="is true", args=(inner,)),)):
            test = read(inner)
            space.restrict(test.node, everything(test.node.type.kind) - test.true)
        case _:
            test = read(condition)
            space.restrict(test.node, test.true)


class _Normal:
    def __init__(self, space: Space, budget: Budget) -> None:
        self._space, self._budget = space, budget

    def boxes(self, node: Node, *, want: bool, or_null: bool) -> list[Box]:
        """Return where a condition is as wanted, TRUE or FALSE, or else, if so asked, NULL."""
        match node:
            case Call(function="not", args=(inner,)):
                return self.boxes(inner, want=not want, or_null=or_null)
            case Call(function="and" | "or" as function, args=args):
                parts = [self.boxes(arg, want=want, or_null=or_null) for arg in args]
                if (function == "or") == want:
                    return join(box for boxes in parts for box in boxes)
                found = product(parts, self._budget)
                return [box for box in found if self._space.is_possible(box)]
            case Call(function="is true" | "is false" as function, args=(inner,)):
                return self.boxes(inner, want=(function == "is true") == want, or_null=not want)
            case Literal(value=value):
                holds = or_null if value is None else value is want
                return [{}] if holds else []
            case _:
                return self._leaf(read(node), want=want, or_null=or_null)

    def _leaf(self, test: Test, *, want: bool, or_null: bool) -> list[Box]:
        variable = self._space.variable(test.node)
        base = self._space.bases[variable]
        if or_null:
            domain = base - (test.false if want else test.true)
        else:
            domain = base & (test.true if want else test.false)
        if domain == base:
            return [{}]
        box = {variable: domain}
        return [box] if domain and self._space.is_possible(box) else []


def read(node: Node) -> Test:
    """Understand a condition that is not `and`, `or` or `not` as a test of one variable."""
    match node:
        case Call(function="is null", args=(inner,)):
            return Test(inner, ONLY_NULL, everything(inner.type.kind).without_null())
        case Call() if (found := comparison(node)) and (true := found.holding()) is not None:
            whole = everything(found.tested.type.kind).cuts
            false = Domain(difference(whole, true), null=found.function == "is not distinct from")
            return _through_coalesce(Test(found.tested, Domain(true, null=False), false))
        case _:
            return _unknown(node)


def _unknown(node: Node) -> Test:
    """Take a condition as a variable of its own; `a > b` and `b < a` are one, `a <= b` its `not`."""
    match node:
        case Call(function="<>" | ">=" | "<=" as function, args=args):
            test = _unknown(Call(_NEGATED[function], args, node.type, node.span))
            return Test(test.node, true=test.false, false=test.true)
        case Call(function=">"):
            return _unknown(_exchanged(node))
        case Call(function="=", args=(left, right)) if repr(right) < repr(left):
            return _unknown(_exchanged(node))
    return Test(node, Domain((1, 2), null=False), Domain((0, 1), null=False))


def _exchanged(comparison: Call) -> Call:
    left, right = comparison.args
    function = SIDES_EXCHANGED[comparison.function]
    return Call(function, (right, left), comparison.type, comparison.span)


def _through_coalesce(test: Test) -> Test:
    """Test `coalesce(x, 'constant')` as x, whose NULL then stands for the constant."""
    match test.node:
        case Call(function="coalesce", args=(inner, Literal(value=value))) if value is not None:
            default = as_kind(value, test.node.type.kind)
            true = replace(test.true, null=default in test.true)
            false = replace(test.false, null=default in test.false)
            return Test(inner, true, false)
    return test
