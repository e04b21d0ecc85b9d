"""What follows from a router's decision: the result, and the deliveries in order."""

from __future__ import annotations

import msgspec

from gateway_lab.config.plan import RouterPlan
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.offline.decide import Hits
from gateway_lab.routing.routed import (
    DEAD_LETTER,
    DROP,
    ROUTE_REASON,
    UNDECIDED_REASON,
    UNMATCHED_REASON,
)


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


def conclude(router: RouterPlan, hits: Hits) -> Conclusion:
    """Say what follows; a target gets a message once, for the first route that names it."""
    routes = tuple(router.routes[number].name for number in hits[0])
    undecided = tuple(router.routes[number].name for number in hits[1])
    if undecided and router.undecided == "dead_letter":
        reason = f"{UNDECIDED_REASON}: {', '.join(undecided)}"
        letter = Consequence(None, DEAD_LETTER, Outcome.DEAD_LETTERED, reason)
        return Conclusion(Result.UNMATCHED, (), undecided, (letter,))
    credit: dict[str, str | None] = {}
    for number in hits[0]:
        for target in router.routes[number].targets:
            credit.setdefault(target, router.routes[number].name)
    if not routes:
        credit = dict.fromkeys(router.unmatched)
    deliveries = tuple(_consequence(route, target) for target, route in credit.items())
    result = Result.MATCHED if routes else Result.UNMATCHED
    return Conclusion(result, routes, undecided, deliveries)


def _consequence(route: str | None, target: str) -> Consequence:
    reason = ROUTE_REASON if route else UNMATCHED_REASON
    if target == DROP:
        return Consequence(route, target, Outcome.DROPPED, reason)
    if target == DEAD_LETTER:
        return Consequence(route, target, Outcome.DEAD_LETTERED, reason)
    return Consequence(route, target, Outcome.DELIVERED, None)
