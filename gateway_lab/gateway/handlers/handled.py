"""What becomes of a message in a handler, in words that know nothing of FastStream."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias

from gateway_lab.messages.books import Outcome
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import DROP, Delivery, Routed

HANDLER_REASON: Final = "handler"
"""Why a message was dropped: its handler returned nothing, or ended it."""

PASS: Final = object()
"""Returned where there is no handler: the message goes to the routers as it is."""

BEGUN: Final[ContextVar[Callable[[], None] | None]] = ContextVar("gateway_lab_begun", default=None)
"""Called by the thread that begins a plain function: until then it has waited for a thread."""

Conclude: TypeAlias = Callable[[Any], Routed]
"""Routes what a handler returned."""


class TryAgain(Exception):  # noqa: N818 - it is a wish, and no error
    """A try failed in a way that may pass.

    Attributes:
        reason: What goes into the dead letter after the last try.
        delay: Seconds until the next try; None: as the config says.
        told: What else its line in the log says: the span that it happened in.
    """

    def __init__(self, reason: str, delay: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.delay = reason, delay
        self.told: dict[str, str] = {}


class Refused(Exception):  # noqa: N818 - likewise
    """Trying again would change nothing: a dead letter.

    Attributes:
        is_wish: Whether the handler said so itself, and has not failed.
    """

    def __init__(self, reason: str, *, is_wish: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_wish = reason, is_wish


class Exhausted(Exception):  # noqa: N818 - likewise
    """There is no thread left that could run a plain function."""


class InvalidEvent(Exception):  # noqa: N818 - likewise
    """What the event type accepts, the handler's own model does not: the message is invalid."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Call(Protocol):
    """Runs user code for one message.

    Attributes:
        name: For those who read logs and dead letters.
        timeout_s: How long one try may take; None: as long as it likes.
        is_sync: Whether it runs in a thread, that no one can end.
    """

    name: str
    timeout_s: float | None
    is_sync: bool

    async def __call__(self, message: Message, id_: str, conclude: Conclude) -> Routed:
        """Return what `conclude` makes of what the user code returned.

        Raises:
            TryAgain: It failed.
            Refused: It refused the message, or what it returned is wrong.
            InvalidEvent: Its model refused the event.
            Exhausted: No thread is left for plain functions.
        """


def dropped(message: Message) -> Delivery:
    """Return what stands in the books for a message that ended in its handler."""
    return Delivery(
        None,
        None,
        DROP,
        None,
        None,
        Outcome.DROPPED,
        HANDLER_REASON,
        message.key,
        message.headers,
        message.body,
    )
