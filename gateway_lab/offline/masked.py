"""Configs over masked captures: what a mask has left to decide by, and what is unknown.

A mask keeps which values are equal, and which are NULL. A router with a condition that needs
more of a masked value is left out of the replay: its counts are unknown, which is not 0. Equality
with a constant can be told where GATEWAY_MASK_KEY is what it was when the capture was masked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from gateway_lab.captures.mask import masked_names, masked_type
from gateway_lab.config.codes import CODES
from gateway_lab.config.plan import Plan, RoutePlan, RouterPlan, SourcePlan
from gateway_lab.findings import Finding
from gateway_lab.messages.mask import KEY_VARIABLE, PREFIX, is_private_shown, mask_text
from gateway_lab.offline.decoding import SHOWN_PREFIX
from gateway_lab.rules.tree import TEXT, Call, Field, Header, Literal, Meta, Node, references

CODE = "masked-field"


class _NeedsMoreError(Exception):
    """A condition needs more of a masked value than the mask has kept."""


def masked_plan(plan: Plan) -> tuple[Plan, tuple[Finding, ...]]:
    """Rewrite the conditions of a plan for a masked capture.

    Returns:
        The plan without the routers whose counts are unknown, and a finding for each of their
        routes that needs more than the mask has kept.
    """
    routers: dict[str, RouterPlan] = {}
    findings: list[Finding] = []
    for name, router in plan.routers.items():
        routes, unknown = _rewritten(plan, router)
        findings += unknown
        if not unknown:
            routers[name] = replace(router, routes=routes)
    sources = {
        name: replace(source, routers=tuple(each for each in source.routers if each in routers))
        for name, source in plan.sources.items()
    }
    return replace(plan, routers=routers, sources=sources), tuple(findings)


def _rewritten(plan: Plan, router: RouterPlan) -> tuple[tuple[RoutePlan, ...], list[Finding]]:
    owners = [plan.sources[name] for name in router.sources]
    routes: list[RoutePlan] = []
    findings: list[Finding] = []
    for number, route in enumerate(router.routes):
        try:
            condition = route.condition and _masked(route.condition, owners)
        except _NeedsMoreError:
            findings.append(_finding(router.name, number, route.name))
        else:
            routes.append(replace(route, condition=condition))
    return tuple(routes), findings


def _finding(router: str, number: int, route: str) -> Finding:
    return Finding(
        code=CODE,
        severity=CODES[CODE].severity,
        path=("routers", router, "routes", number, "when"),
        text=f"route {route} needs more of a masked field than the capture kept; "
        f"all counts of {router} are unknown",
        hint="record without the mask where you may, or compare by equality only",
    )


def _masked(node: Node, owners: list[SourcePlan]) -> Node:
    """Compare masks instead of values.

    Raises:
        _NeedsMoreError: Something else is done with a masked value.
    """
    if not any(_is_private(owner, leaf) for owner in owners for leaf in references(node)):
        return node
    match node:
        case Call("is null", (Field() | Meta() | Header() as leaf,)) if _is_itself(leaf, owners):
            return node
        case Call("=" | "<>" | "in" | "is not distinct from", args):
            return replace(node, args=tuple(_masks(args, owners)))
        case Call(function, args) if function in {"and", "or", "not"}:
            return replace(node, args=tuple(_masked(each, owners) for each in args))
        case _:
            raise _NeedsMoreError


def _masks(args: tuple[Node, ...], owners: list[SourcePlan]) -> Iterator[Node]:
    """Take both sides of a comparison as masks: all fields masked, all constants hashed."""
    for arg in args:
        if isinstance(arg, Literal) and os.environ.get(KEY_VARIABLE) and arg.value is not None:
            yield Literal(_mask(arg.value), TEXT, arg.span)
        elif isinstance(arg, Field) and _is_itself(arg, owners):
            yield Field(arg.path, TEXT, arg.span)
        else:
            raise _NeedsMoreError


def _is_itself(leaf: Field | Meta | Header, owners: list[SourcePlan]) -> bool:
    """Say whether the mask is that of this very value, not of an object around it."""
    if not isinstance(leaf, Field):
        return True
    types = [each for owner in owners for each in owner.routed_types.values()]
    return all(
        (schema := masked_type(each).find(leaf.path)) is not None and schema.private
        for each in types
    )


def _mask(value: object) -> str:
    return mask_text(value).replace(PREFIX, SHOWN_PREFIX, 1)


def is_private(plan: Plan, source: str, node: Node) -> bool:
    """Say whether a tree reads something that a source or its event types mark as private."""
    return any(_is_private(plan.sources[source], leaf) for leaf in references(node))


def _is_private(owner: SourcePlan, leaf: Field | Meta | Header) -> bool:
    match leaf:
        case Meta(name=name):
            return name == "key" and owner.private_key
        case Header(name=name):
            return name in owner.private_headers
        case Field(path=path):
            return any(
                schema is not None and schema.private
                for event_type in owner.routed_types.values()
                for schema in (event_type.find(path[:length]) for length in range(1, len(path) + 1))
            )


_EXCEPTION = r"(?s)^(\w+: \w+): .*$"
"""Handler, kind of exception, and its text, which may hold anything."""


def mask_reasons(frame: pl.DataFrame, plan: Plan, is_handled: pl.Expr) -> pl.DataFrame:
    """Leave out the texts of users' exceptions where a source has private values.

    Args:
        frame: With columns `source` and `reason`.
        plan: Says what is private.
        is_handled: Which rows have the reasons of handlers.
    """
    private = {name.partition(":")[0] for name in masked_names(plan)}
    if is_private_shown() or not private:
        return frame
    is_failure = pl.col("source").is_in(list(private)) & is_handled
    told = pl.when(is_failure).then(pl.col("reason").str.replace(_EXCEPTION, "$1: …"))
    return frame.with_columns(reason=told.otherwise("reason"))
