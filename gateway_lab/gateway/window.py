"""How much a source may hold that is not done: reading pauses when it is full.

It is counted from the lowest batch that is not done, so that after a crash no more than a window
comes again, also where a broker only knows how far a reader has come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway_lab.brokers.contract import Batch
from gateway_lab.gateway.means import LetterWriter

MAX_MESSAGES: Final = 10_000
MAX_BYTES: Final = 64 * 1024 * 1024

READ_LIMIT: Final = 500
"""Messages read at once at most: other sources have their turn in between."""

MANY: Final = 2_000
PACE_S: Final = 0.005
"""With so many in hand, reading waits so long for what is under way to be settled.

What a processor's cache holds is forwarded at the least cost, and the collector of garbage finds
little. A target that stalls keeps reading up only so long a batch, until the window is full.
"""

FIRST_MEAN: Final = 1024.0 * 1024.0
"""Bytes that a message is taken to have before the first was read: no broker is surprised by it."""


class Held:
    """A batch that was read, until each of its messages is settled.

    Attributes:
        reader: The number of the source's reader that read it.
        pending: For each message the deliveries that are not confirmed.
        unsettled: How many messages are not settled.
        letters: Who writes their dead letters, if that is no longer who writes those of others.
        waiting: How many of them no handler has begun, or wait for its next try.
        apart: Those whose handler runs apart from others, until it has ended.
    """

    __slots__ = ("apart", "batch", "bytes", "letters", "pending", "reader", "unsettled", "waiting")

    def __init__(self, reader: int, batch: Batch) -> None:
        self.reader, self.batch = reader, batch
        self.unsettled = len(batch.messages)
        self.pending = [0] * self.unsettled
        messages = batch.messages
        self.bytes = sum([len(m.body or b"") + len(m.key or b"") for m in messages])
        self.bytes += sum([len(value) for m in messages for _, value in m.headers])
        self.letters: LetterWriter | None = None
        self.waiting = 0
        self.apart: set[int] = set()


class Window:
    """The batches that are not done, in the order of reading.

    Attributes:
        hurry: Called while somebody waits until it is quiet: what can be finished now, is.
    """

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._batches: deque[Held] = deque()
        self._messages = self._bytes = 0
        self._mean = FIRST_MEAN
        self._moved = asyncio.Event()
        self.hurry: Callable[[], None] = lambda: None

    async def room(self) -> int:
        """Wait until there is room, and return how many messages to read at most."""
        await asyncio.sleep(0)  # what was read just now is sent before more is
        if self._messages >= MANY:
            with suppress(TimeoutError):
                async with asyncio.timeout(PACE_S):
                    await self._change()
        while not (room := self._room()):
            await self._change()
        return room

    async def _change(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _room(self) -> int:
        """Sizes are known after reading only: the mean of the last batch stands for them.

        Several readers that had room at once can overfill it.
        """
        left, left_bytes = self._max_messages - self._messages, self._max_bytes - self._bytes
        if left <= 0 or left_bytes <= 0:
            return 0
        return min(READ_LIMIT, left, max(1, int(left_bytes / self._mean)))

    @property
    def fullness(self) -> float:
        """How full it is, 0 to 1, by what there is more of: messages or bytes."""
        return max(self._messages / self._max_messages, self._bytes / self._max_bytes)

    def add(self, held: Held) -> None:
        """Take a batch in."""
        self._batches.append(held)
        self._messages += len(held.pending)
        self._bytes += held.bytes
        self._mean = max(1.0, held.bytes / len(held.pending))

    def keep(self, letters: LetterWriter) -> None:
        """Let what is not done be written of by whom it would have been until now."""
        for held in self._batches:
            held.letters = held.letters or letters

    def advance(self) -> None:
        """Let go of the batches at the beginning that are done."""
        while self._batches and not self._batches[0].unsettled:
            done = self._batches.popleft()
            self._messages -= len(done.pending)
            self._bytes -= done.bytes
        self._moved.set()

    def drop(self, held: Held) -> None:
        """Let go of a batch that comes again."""
        held.unsettled = held.waiting = 0
        self.advance()

    def stir(self) -> None:
        """Let those look again who wait for a change."""
        self._moved.set()

    async def quiet(self) -> None:
        """Wait until handlers and brokers have nothing under way, but for what waits."""
        while any(each.unsettled > each.waiting for each in self._batches):
            self.hurry()
            await self._change()

    async def together(self, held: Held) -> None:
        """Wait until nothing of a batch runs apart any longer."""
        while held.apart:
            await self._change()

    async def empty(self) -> None:
        """Wait until everything is done."""
        while self._batches:
            await self._change()
