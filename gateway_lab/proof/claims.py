"""What goes into an analysis of a router's routes, and what can be claimed of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gateway_lab.events.event_type import EventType
from gateway_lab.proof.witness import Witness
from gateway_lab.rules.tree import BOOLEAN, TEXT, Call, Literal, Node, Reference, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRoute:
    """A route as far as proof is concerned.

    Attributes:
        condition: None is always.
        events: Names of the event types that it is for; None: all.
    """

    name: str
    condition: Node | None
    events: frozenset[str] | None = None

    def is_for(self, event_type: EventType | None) -> bool:
        """Say whether messages of an event type reach the condition."""
        return self.events is None or (event_type is not None and event_type.name in self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a source with several event types chooses, as in `SourcePlan`."""

    by: Node
    choices: Mapping[str, str]
    otherwise: str

    def guard(self, event_type: EventType) -> Node | None:
        """Return what is TRUE of just the messages of an event type; None: of all, for all we know."""
        is_rest = self.otherwise == event_type.name
        values = [
            value for value, name in self.choices.items() if (name == event_type.name) != is_rest
        ]
        if not values:
            return None
        span = self.by.span
        literals = [Literal(value, TEXT, span) for value in values]
        chosen = Call("in", (self.by, *literals), BOOLEAN, span)
        if not is_rest:
            return chosen
        return Call("not", (Call("is true", (chosen,), BOOLEAN, span),), BOOLEAN, span)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The route's condition is TRUE for no message at all."""

    route: str


@dataclass(frozen=True, slots=True)
class Shadowed:
    """Earlier routes take every message that the route's condition is TRUE for.

    Attributes:
        by: Those routes, in their order; one where one does it alone.
        witness: A message for which the condition is TRUE and that an earlier route takes.
    """

    route: str
    by: tuple[str, ...]
    witness: Witness | None


@dataclass(frozen=True, slots=True)
class NotExhaustive:
    """Some messages are taken by no route: the witness is one of them."""

    witness: Witness


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every message is taken by some route; `unmatched` gets nothing."""


@dataclass(frozen=True, slots=True)
class UndecidedPossible:
    """The route's condition is NULL for some message that reaches it: the witness."""

    route: str
    witness: Witness


@dataclass(frozen=True, slots=True)
class CannotOccur:
    """The route compares a field with a constant outside the values that it can have.

    Attributes:
        reference: The field, or another part of the message.
        value: The constant; a timestamp is µs since 1970, UTC.
        span: The place of the constant in the rule.
        enum: The values that the event types list for the field; None where they list none.
    """

    route: str
    reference: Reference
    value: str | bool | int | float
    span: Span
    enum: tuple[str | bool | int | float, ...] | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It would take too long to say; `route` is None for whether the routes are exhaustive."""

    route: str | None


Claim: TypeAlias = (
    Unreachable | Shadowed | UndecidedPossible | CannotOccur | NotExhaustive | Exhaustive | Unknown
)
