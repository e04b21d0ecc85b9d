"""What was decided about one message: a decision a router, a delivery a target."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway_lab.messages.books import Outcome, Result
from gateway_lab.messages.headers import Headers

DROP: Final = "drop"
DEAD_LETTER: Final = "dead_letter"
"""What stands as the target of a delivery that goes to no target of the config."""

UNMATCHED_REASON: Final = "unmatched"
ROUTE_REASON: Final = "route"
UNDECIDED_REASON: Final = "undecided"
"""Why a message was dropped or dead-lettered on purpose: nothing matched, a route says so, or a
condition was NULL in a router that makes a dead letter of it."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What became of a message in a router.

    Attributes:
        routes: The routes that matched, in the order of the document.
        undecided: The routes whose condition was NULL when it was reached.
    """

    router: str
    result: Result
    routes: tuple[str, ...]
    undecided: tuple[str, ...]


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One delivery; what is dead-lettered or dropped keeps the message as it came.

    Attributes:
        router: None for the dead letter (or drop) of an invalid message: it is its source's.
        route: The first route that names the target; None if the message matched none.
        target: A target of the config, or `drop` or `dead_letter`.
        broker: Where it is written, the dead letter's broker if it is one; None if dropped, or
            if the config has no dead letter.
        channel: Likewise.
        reason: Why it was not delivered; None if it was.
    """

    router: str | None
    route: str | None
    target: str
    broker: str | None
    channel: str | None
    outcome: Outcome
    reason: str | None
    key: bytes | None
    headers: Headers
    body: bytes | None


class Routed(msgspec.Struct, frozen=True, gc=False):
    """All that was decided about one message.

    Attributes:
        invalid: Why the message is invalid, None if it is valid.
        event_type: The event type chosen; None where there is none.
        decisions: One for each router on the source, in the order of the document.
        deliveries: In the order of routers and routes.
        handled: The body that a handler returned, which is what was decided on; None: the handler
            ended the message; UNSET: it was decided as it came.
    """

    invalid: str | None
    event_type: str | None
    decisions: tuple[Decision, ...]
    deliveries: tuple[Delivery, ...]
    handled: bytes | msgspec.UnsetType | None = msgspec.UNSET
