"""One delivery under way, from the decision to its confirmation."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway_lab.brokers.contract import Outgoing
from gateway_lab.gateway.ways import Way
from gateway_lab.gateway.window import Held
from gateway_lab.messages.message import Message


class Sending(msgspec.Struct, gc=False):
    """One delivery, or the dead letter that stands for it.

    Attributes:
        outgoing: What is sent.
        held: The batch that its message came in, and `index` its place there.
        way: The router, route and target that it is credited to.
        id: Of its message.
        is_letter: Whether it is a dead letter.
        attempts: Tries that failed; a letter begins anew.
        first: When the first try failed; None if none did.
    """

    outgoing: Outgoing
    held: Held
    index: int
    way: Way
    id: str
    is_letter: bool = False
    attempts: int = 0
    first: datetime | None = None

    @property
    def message(self) -> Message:
        """The source message."""
        return self.held.batch.messages[self.index]
