"""A delivery on its way, from the decision to its confirmation."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from gateway_lab.brokers.contract import Outgoing
from gateway_lab.gateway.ways import Way
from gateway_lab.gateway.window import Held
from gateway_lab.messages.message import Message


class Sending(Outgoing, kw_only=True, gc=False):
    """One delivery, or the dead letter that stands for it: what is sent, and whose it is.

    Attributes:
        held: The batch that its message came in, and `index` its place there.
        way: The router, route and target that it is credited to.
        is_letter: Whether it is a dead letter.
        attempts: Tries that failed; a letter begins anew.
        first: When the first try failed; None if none did.
    """

    held: Held
    index: int
    way: Way
    is_letter: bool = False
    attempts: int = 0
    first: datetime | None = None

    @classmethod
    def letter(cls, letter: Outgoing, held: Held, index: int, way: Way) -> Self:
        """Send a dead letter for a message of a batch."""
        return cls(
            letter.channel,
            letter.key,
            letter.headers,
            letter.body,
            letter.timestamp,
            letter.id,
            letter.options,
            held=held,
            index=index,
            way=way,
            is_letter=True,
        )

    @property
    def message(self) -> Message:
        """The source message."""
        return self.held.batch.messages[self.index]

    @property
    def message_id(self) -> str:
        """The id of the source message: what all its deliveries are named after."""
        return self.id.removesuffix(self.way.suffix)
