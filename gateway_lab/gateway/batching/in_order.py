"""Batches behind handlers: they take messages in the order in which these were read.

Handlers of several keys end in any order, and a batch is a run of positions of one partition: what
is stored of it must tell a restart where it ended. So what a handler has returned waits for those
that were read before it, and is then taken as if it had been read just now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime

from gateway_lab.brokers.contract import Sink
from gateway_lab.config.document import Document
from gateway_lab.config.plan import Plan
from gateway_lab.gateway.batching.batcher import Batcher, Create, Due, Place, Release
from gateway_lab.gateway.window import Held, Window
from gateway_lab.routing.rehearsal import comes_to_routers
from gateway_lab.routing.routed import Routed


class _Slot:
    """The place of a message in the order of its partition.

    Attributes:
        routed: What became of it; None: nothing that a batch takes.
    """

    __slots__ = ("held", "index", "is_done", "queue", "routed")

    def __init__(self, held: Held, index: int, queue: deque[_Slot]) -> None:
        self.held, self.index, self.queue = held, index, queue
        self.routed: Routed | None = None
        self.is_done = False


class InOrder:
    """A batcher around a batcher, see `Batcher`; it knows of messages from their reading on."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher, self.number = batcher, batcher.number
        self._queues: dict[Place, deque[_Slot]] = {}
        self._slots: dict[tuple[Held, int], _Slot] = {}
        self._is_ending = False
        batcher.heed(self._due)

    def expect(self, held: Held) -> None:
        """Note the messages of a batch, in the order of reading."""
        for index, message in enumerate(held.batch.messages):
            place = (message.broker, message.channel, message.partition)
            queue = self._queues.setdefault(place, deque())
            slot = self._slots[held, index] = _Slot(held, index, queue)
            queue.append(slot)

    def take(self, held: Held, index: int, routed: Routed) -> int:
        """Take what became of a message, once it is its turn; see `Batcher.take`."""
        if not comes_to_routers(routed):
            self.skip(held, index)
            return 0
        self._done(held, index, routed)
        return self.number

    def skip(self, held: Held, index: int) -> None:
        """Wait no longer for a message: it is a dead letter."""
        self._done(held, index, None)

    def _done(self, held: Held, index: int, routed: Routed | None) -> None:
        slot = self._slots.pop((held, index))
        slot.routed, slot.is_done = routed, True
        queue = slot.queue
        while queue and queue[0].is_done:
            first = queue.popleft()
            if first.routed:
                self._batcher.take(first.held, first.index, first.routed)
        if self._is_ending:
            self.end()
        else:
            self._batcher.look()

    def _due(self, place: Place) -> datetime | None:
        queue = self._queues.get(place)
        return queue[0].held.batch.messages[queue[0].index].received if queue else None

    def heed(self, due: Due) -> None:
        """Do nothing: it says itself what is on its way."""

    def end(self) -> None:
        """Close what is open as soon as nothing is under way: nothing more will be read."""
        self._is_ending = True
        if not self._slots:
            self._batcher.flush()

    def flush(self) -> None:
        """Close what is open; what is still under way comes into other batches."""
        self._batcher.flush()

    def look(self) -> None:
        """Look whether the source is full, or what timers waited for has come."""
        self._batcher.look()

    def change(self, config: Document, plan: Plan, sinks: Mapping[str, Sink]) -> None:
        """Decide by another version of the config what is stored and sent from now on."""
        self._batcher.change(config, plan, sinks)

    async def run(
        self, release: Release, window: Window, sinks: Mapping[str, Sink], create: Create | None
    ) -> None:
        """Store and send until cancelled; see `Batcher.run`."""
        await self._batcher.run(release, window, sinks, create)
