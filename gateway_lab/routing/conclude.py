"""What follows from a router's decision: the result, and the deliveries in order.

Both ways, one message and a whole capture, conclude here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from gateway_lab.config.plan import RoutePlan, RouterPlan
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.routing.routed import (
    DEAD_LETTER,
    DROP,
    ROUTE_REASON,
    UNDECIDED_REASON,
    UNMATCHED_REASON,
)

Hits: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Numbers of the routes that are TRUE, and of those that were NULL when reached."""


class Consequence(msgspec.Struct, frozen=True, gc=False):
    """One delivery that follows; `reason` is None where the target has the last word."""

    route: str | None
    target: str
    outcome: Outcome
    reason: str | None


class Conclusion(msgspec.Struct, frozen=True, gc=False):
    """What follows from one state of a router."""

    result: Result
    routes: tuple[str, ...]
    undecided: tuple[str, ...]
    deliveries: tuple[Consequence, ...]


def conclude(router: RouterPlan, routes: Sequence[RoutePlan], hits: Hits) -> Conclusion:
    """Say what follows; a target gets a message once, for the first route that names it.

    Args:
        router: The router.
        routes: Those of its routes that were asked, in order; `hits` numbers these.
        hits: What they answered.
    """
    matched = [routes[number] for number in hits[0]]
    undecided = tuple(routes[number].name for number in hits[1])
    if undecided and router.undecided == "dead_letter":
        reason = f"{UNDECIDED_REASON}: {', '.join(undecided)}"
        letter = Consequence(None, DEAD_LETTER, Outcome.DEAD_LETTERED, reason)
        return Conclusion(Result.UNMATCHED, (), undecided, (letter,))
    credit: dict[str, str | None] = {}
    for route in matched:
        for target in route.targets:
            credit.setdefault(target, route.name)
    if not matched:
        credit = dict.fromkeys(router.unmatched)
    deliveries = tuple(_consequence(route, target) for target, route in credit.items())
    result = Result.MATCHED if matched else Result.UNMATCHED
    return Conclusion(result, tuple(route.name for route in matched), undecided, deliveries)


def _consequence(route: str | None, target: str) -> Consequence:
    reason = ROUTE_REASON if route else UNMATCHED_REASON
    if target == DROP:
        return Consequence(route, target, Outcome.DROPPED, reason)
    if target == DEAD_LETTER:
        return Consequence(route, target, Outcome.DEAD_LETTERED, reason)
    return Consequence(route, target, Outcome.DELIVERED, None)
