"""Handlers run on messages that came long ago: what becomes of each; nothing is sent.

A gateway's handlers are what is said here, so whoever replays captures needs to know no gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, cast

import msgspec

from gateway_lab.config.plan import Plan
from gateway_lab.errors import ReplayError
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import Routed


class Rehearsed(msgspec.Struct, frozen=True):
    """What became of one message in its handler.

    Attributes:
        handler: The name of the function; that of the source where there are middlewares alone.
        routed: What was decided, as live; None: it has no decision.
        reason: Why it has none.
        tries: How often the handler ran.
        is_stopped: Whether it has none since its source would stop here, live; else it is a dead
            letter.
    """

    handler: str
    routed: Routed | None
    reason: str = ""
    tries: int = 1
    is_stopped: bool = False


class Rehearsal(Protocol):
    """Runs handlers one after the other, in the order in which it is given messages.

    Attributes:
        sources: Those whose messages it takes.
        publishes: Whether middlewares may change what is delivered.
    """

    sources: frozenset[str]
    publishes: bool

    def handle(self, messages: Sequence[tuple[str, Message]]) -> list[Rehearsed]:
        """Handle messages, each with the name of its source; what user code raises is a result.

        Raises:
            ReplayError: An async handler blocks its thread: nothing can go on.
        """


class CanRehearse(Protocol):
    """Functions and middlewares that are registered: `Gateway.handlers`."""

    def rehearse(self, plan: Plan) -> AbstractContextManager[Rehearsal]:
        """Run them by a plan, until the end of the block.

        Raises:
            ConfigError: The plan does not declare what is registered.
        """


class HasHandlers(Protocol):
    """A gateway."""

    @property
    def handlers(self) -> CanRehearse:
        """What is registered with it."""


GivenHandlers: TypeAlias = CanRehearse | HasHandlers
"""A gateway, or its `handlers`."""


def handlers_of(given: GivenHandlers) -> CanRehearse:
    """Return the handlers of a gateway, or what is them.

    Raises:
        ReplayError: It is neither.
    """
    found: Any = getattr(given, "handlers", given)
    if not hasattr(found, "rehearse"):
        problem = f"a {type(given).__name__} has no handlers"
        raise ReplayError(problem, hint="pass the gateway: handlers=gateway")
    return cast("CanRehearse", found)


def comes_to_routers(routed: Routed) -> bool:
    """Say whether routers decided on a message, or would have if there were any."""
    return routed.invalid is None and routed.handled is not None


def as_handled(message: Message, routed: Routed) -> Message | None:
    """Return the message that the routers decided on; None: it did not come to them."""
    if not comes_to_routers(routed):
        return None
    if isinstance(routed.handled, msgspec.UnsetType):
        return message
    return msgspec.structs.replace(message, body=routed.handled)
