"""What browsers share: listening where nothing is kept, and refusing where looking is taking."""

from __future__ import annotations

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Source
from gateway_lab.messages.message import Message


class Listener:
    """A browser over a source at most once: whoever listens takes nothing from anybody."""

    has_caught_up = True

    def __init__(self, source: Source) -> None:
        self._source = source

    async def read(self, limit: int) -> list[Message]:
        """Wait for messages; see `contract.Browser`."""
        return list((await self._source.read(limit)).messages)

    async def close(self) -> None:
        """Listen no more."""
        await self._source.close()


def taking(where: str) -> BrokerError:
    """Make the error of a place where whoever reads a message takes it from the others."""
    reason = "whoever looks at its messages takes them from those who wait for them"
    return BrokerError(
        Failure(FailureClass.CONFIGURATION, reason),
        where=where,
        hint="record them on their way: `gateway-lab run CONFIG --record PATH`",
    )
