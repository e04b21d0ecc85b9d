"""What an explanation holds: rows of text, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_lab.routing.routed import Decision


@dataclass(frozen=True, slots=True)
class ClauseRow:
    """One clause of a route.

    Attributes:
        clause: As written.
        values: What it refers to and what the message has there: `priority = "high"`.
        result: TRUE, FALSE, NULL, `not reached` or `other event type`.
        decided: Whether it made the result of the route's condition.
    """

    router: str
    route: str
    clause: str
    values: str
    result: str
    decided: bool


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A clause that would have to change for a route to match that was reached and did not."""

    router: str
    route: str
    clause: str
    values: str
    wanted: str


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One delivery; the channel of a dead letter is where the letter goes."""

    router: str | None
    route: str | None
    target: str
    broker: str | None
    channel: str | None
    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one message goes where it goes.

    Attributes:
        source: The source it was explained for.
        event_type: The event type chosen; None where there is none.
        invalid: Why the message is invalid, None if it is valid.
        decisions: What became of it in each router.
        clause_rows: All clauses of all routes, in the order of the document.
        target_rows: Its deliveries.
        change_rows: For each route that was reached and did not match a smallest set of clauses
            that would have to change, each taken by itself.
        handled: What its handler made of it; None: none ran.
    """

    source: str
    event_type: str | None
    invalid: str | None
    decisions: tuple[Decision, ...]
    clause_rows: tuple[ClauseRow, ...]
    target_rows: tuple[TargetRow, ...]
    change_rows: tuple[ChangeRow, ...]
    handled: str | None = None
