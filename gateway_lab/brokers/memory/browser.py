"""Looking through the channels of a memory server, which no group knows of."""

from __future__ import annotations

from collections.abc import Sequence

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.memory.server import Bell, MemoryServer
from gateway_lab.messages.message import Message


class MemoryBrowser:
    """Looks through channels; see `contract.Browser`."""

    def __init__(
        self,
        server: MemoryServer,
        channels: Sequence[str],
        alias: str,
        protocol: str,
        *,
        from_start: bool,
    ) -> None:
        self._server, self._alias, self._protocol = server, alias, protocol
        self._bell = Bell()
        self._is_closed = False
        with server.lock:
            server.watch(self._bell)
            ends = {
                (channel, number): len(log)
                for channel in channels
                for number, log in enumerate(server.logs(channel))
            }
        self._next = dict.fromkeys(ends, 0) if from_start else dict(ends)
        self._ends = ends

    @property
    def has_caught_up(self) -> bool:
        """Whether everything was read that was there at the opening."""
        return all(self._next[place] >= end for place, end in self._ends.items())

    async def read(self, limit: int) -> list[Message]:
        """Wait for messages; see the contract."""
        while not self._is_closed:
            if messages := self._taken(limit):
                return messages
            await self._bell.wait()
        failure = Failure(FailureClass.CONFIGURATION, "the browser is closed")
        raise BrokerError(failure, where=f"broker {self._alias}")

    def _taken(self, limit: int) -> list[Message]:
        messages: list[Message] = []
        with self._server.lock:
            for (channel, number), start in self._next.items():
                log = self._server.logs(channel)[number]
                end = min(len(log), start + limit - len(messages))
                messages += [
                    log[position].message(
                        channel, number, position, broker=self._alias, protocol=self._protocol
                    )
                    for position in range(start, end)
                ]
                self._next[channel, number] = end
        return messages

    async def close(self) -> None:
        """Hear of nothing any more."""
        self._is_closed = True
        self._server.unwatch(self._bell)
        self._bell.ring()
