"""One message on its way through its handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from gateway_lab.gateway.dead_letter import Cause
from gateway_lab.gateway.handlers.handling import Handling
from gateway_lab.gateway.retry import Backoff, OrderKey
from gateway_lab.gateway.ways import Ways
from gateway_lab.gateway.window import Held
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import Routed

Key: TypeAlias = "OrderKey | int"


@dataclass(slots=True, eq=False)
class Job:
    """One message on its way through its handler.

    Attributes:
        held: The batch that it came in, and `index` its place there.
        ways: Of the version of the config that it was read under.
        key: Whose order it keeps; a number of its own where it has no key.
        tries: How often its handler was started, in earlier processes too where that is known.
        deliveries: How often it came before, where earlier tries are not known.
        first: When it failed first.
    """

    held: Held
    index: int
    id: str
    handling: Handling
    ways: Ways
    backoff: Backoff
    attempts: int
    key: Key = 0
    tries: int = 0
    deliveries: int = 0
    first: datetime | None = None

    @property
    def message(self) -> Message:
        """The source message."""
        return self.held.batch.messages[self.index]


@dataclass(frozen=True, slots=True)
class JobEnds:
    """Who is told what came of a job: deliveries, the cause of a dead letter, or that it waits.

    Attributes:
        together: Told when all of a batch whose handlers ran apart have ended.
    """

    handled: Callable[[Job, Routed], None]
    failed: Callable[[Job, Cause], None]
    waits: Callable[[Job], None]
    together: Callable[[], None]
