"""What can be said of a router's routes for all valid messages, with witnesses.

Everything claimed holds for every message that the event types allow, or comes with a message
that the decoder took and the Python engine decided. What would take too long is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from gateway_lab.events.event_type import EventType
from gateway_lab.proof.claims import (
    Choice,
    Claim,
    Exhaustive,
    NotExhaustive,
    RuleRoute,
    Shadowed,
    UndecidedPossible,
    Unknown,
    Unreachable,
)
from gateway_lab.proof.impossible import impossible_values
from gateway_lab.proof.study import Study, Verdict


def analyse(
    routes: Sequence[RuleRoute],
    match: Literal["first", "all"],
    event_types: Collection[EventType],
    *,
    choice: Choice | None = None,
    known: Mapping[str, Collection[str]] | None = None,
) -> tuple[Claim, ...]:
    """Say what holds of a router's routes for all valid messages.

    Args:
        routes: The enabled routes in the order of the document.
        match: As the router has it; only with "first" a route can be shadowed.
        event_types: Those of the source; none: the rules are about the message only.
        choice: How the source chooses between several event types, where it does.
        known: The values that `source` and `channel` of a message can have, where they are known.

    Returns:
        Claims, those of one kind in the order of the routes, and one claim of how exhaustive
        they are at the end. A route of which nothing is claimed matches some messages, as far as can be told.
    """
    studies = [
        Study(routes, match, event_type, choice=choice, known=known or {})
        for event_type in (*event_types,) or (None,)
    ]
    spaces = [study.space for study in studies]
    return (
        *_claims_of_routes(routes, studies),
        *(claim for route in routes for claim in impossible_values(route, spaces)),
        _claim_of_router(studies),
    )


def _claims_of_routes(routes: Sequence[RuleRoute], studies: Sequence[Study]) -> Iterator[Claim]:
    for at, route in enumerate(routes):
        verdicts = [study.verdicts[at] for study in studies if at in study.verdicts]
        if (claim := _claim(routes, at, verdicts)) is not None:
            yield claim
        witnesses = (verdict.undecided for verdict in verdicts)
        if (witness := next(filter(None, witnesses), None)) is not None:
            yield UndecidedPossible(route.name, witness)


def _claim(routes: Sequence[RuleRoute], at: int, verdicts: Sequence[Verdict]) -> Claim | None:
    """Unite what was found for each event type."""
    name = routes[at].name
    if all(verdict.says == "unreachable" for verdict in verdicts):
        return Unreachable(name)
    if all(verdict.says in {"unreachable", "shadowed"} for verdict in verdicts):
        takers = sorted({taker for verdict in verdicts for taker in verdict.takers})
        witness = next(filter(None, (verdict.witness for verdict in verdicts)), None)
        return Shadowed(name, tuple(routes[taker].name for taker in takers), witness)
    is_unknown = any(verdict.says == "unknown" for verdict in verdicts)
    return Unknown(name) if is_unknown else None


def _claim_of_router(studies: Sequence[Study]) -> Claim:
    for study in studies:
        if study.unmatched is not None:
            return NotExhaustive(study.unmatched)
    return Exhaustive() if all(study.is_exhaustive for study in studies) else Unknown(None)
