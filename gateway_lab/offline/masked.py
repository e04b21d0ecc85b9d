"""Configs over masked captures: what a mask has left to decide by, and what is unknown.

A mask keeps which values are equal, and which are NULL. A router with a condition that needs
more of a masked value is left out of the replay: its counts are unknown, which is not 0. So is one that sends to a target
whose channel is calculated from a masked value. Equality with a constant can be told where GATEWAY_MASK_KEY is what it was when the capture was masked.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace

import polars as pl

from gateway_lab.captures.mask import masked_names
from gateway_lab.config.codes import CODES
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan, RoutePlan, RouterPlan, SourcePlan
from gateway_lab.errors import ReplayError
from gateway_lab.findings import Finding
from gateway_lab.messages.mask import KEY_VARIABLE, PREFIX, is_private_shown, mask_text
from gateway_lab.offline.decoding import SHOWN_PREFIX
from gateway_lab.offline.masked_values import (
    cannot_be_judged,
    is_mask_itself,
    masked_target,
    reads_private,
)
from gateway_lab.rules.tree import TEXT, Call, Field, Header, Literal, Meta, Node

CODE = "masked-field"


class _NeedsMoreError(Exception):
    """A condition needs more of a masked value than the mask has kept."""


def masked_plan(plan: Plan) -> tuple[Plan, tuple[Finding, ...]]:
    """Rewrite the conditions of a plan for a masked capture.

    Returns:
        The plan without the routers whose counts are unknown, and a finding for each of their
        routes and targets that needs more than the mask has kept.

    Raises:
        ReplayError: The event type of a source is chosen by what is masked.
    """
    for source in plan.sources.values():
        _require_choice(source)
    targets = {
        (source, name): masked_target(target, plan.sources[source])
        for (source, name), target in plan.targets.items()
    }
    plan = replace(plan, targets=targets)
    routers: dict[str, RouterPlan] = {}
    findings: list[Finding] = []
    for name, router in plan.routers.items():
        routes, unknown = _rewritten(plan, router)
        unknown += _unjudged(plan, router)
        findings += unknown
        if not unknown:
            routers[name] = replace(router, routes=routes)
    known = without_routers(plan, plan.routers.keys() - routers)
    return replace(known, routers=routers), tuple(findings)


def unknown_routers(config: GatewayConfig, plan: Plan) -> set[str]:
    """Name the enabled routers of a config that are not in its plan: a mask hides what they do."""
    return {name for name, each in config.routers.items() if each.enabled} - plan.routers.keys()


def without_routers(plan: Plan, names: Collection[str]) -> Plan:
    """Leave out routers."""
    sources = {
        name: replace(source, routers=tuple(n for n in source.routers if n not in names))
        for name, source in plan.sources.items()
    }
    routers = {name: each for name, each in plan.routers.items() if name not in names}
    return replace(plan, routers=routers, sources=sources)


def _require_choice(source: SourcePlan) -> None:
    if source.by is not None and source.handled is None and reads_private(source, source.by):
        raise ReplayError(
            f"the event type of {source.name} is chosen by a value that this capture has masked",
            where=f"sources.{source.name}.event.by",
            hint="use the capture that it was masked from",
        )


def _rewritten(plan: Plan, router: RouterPlan) -> tuple[tuple[RoutePlan, ...], list[Finding]]:
    owners = [plan.sources[name] for name in router.sources]
    routes: list[RoutePlan] = []
    findings: list[Finding] = []
    for number, route in enumerate(router.routes):
        try:
            condition = route.condition and _masked(route.condition, owners)
        except _NeedsMoreError:
            path = ("routers", router.name, "routes", number, "when")
            findings.append(_finding(path, f"route {route.name}", router.name))
        else:
            routes.append(replace(route, condition=condition))
    return tuple(routes), findings


def _unjudged(plan: Plan, router: RouterPlan) -> list[Finding]:
    """Find the targets of a router of which a mask does not tell what they refuse."""
    names = dict.fromkeys((*router.unmatched, *(to for r in router.routes for to in r.targets)))
    return [
        _finding(("targets", name), f"target {name}", router.name)
        for name in names
        if any(
            (source, name) in plan.targets
            and cannot_be_judged(plan.targets[source, name], plan.sources[source])
            for source in router.sources
        )
    ]


def _finding(path: tuple[str | int, ...], what: str, router: str) -> Finding:
    return Finding(
        code=CODE,
        severity=CODES[CODE].severity,
        path=path,
        text=f"{what} needs more of a masked field than the capture kept; "
        f"all counts of {router} are unknown",
        hint="record without the mask where you may, or compare by equality only",
    )


def _masked(node: Node, owners: list[SourcePlan]) -> Node:
    """Compare masks instead of values.

    Raises:
        _NeedsMoreError: Something else is done with a masked value.
    """
    if not any(reads_private(owner, node) for owner in owners):
        return node
    match node:
        case Call("is null", (Field() | Meta() | Header() as leaf,)) if is_mask_itself(
            leaf, owners
        ):
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
        elif isinstance(arg, Field) and is_mask_itself(arg, owners):
            yield Field(arg.path, TEXT, arg.span)
        else:
            raise _NeedsMoreError


def _mask(value: object) -> str:
    value = value + 0.0 if isinstance(value, float) else value  # 0.0 equals -0.0
    return mask_text(value).replace(PREFIX, SHOWN_PREFIX, 1)


def is_private(plan: Plan, source: str, node: Node) -> bool:
    """Say whether a tree reads something that a source or its event types mark as private."""
    return reads_private(plan.sources[source], node)


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
