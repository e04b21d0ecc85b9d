"""Reading from Kafka: one thread owns the consumer, and the event loop talks to it by a queue.

thread      poll, consume, commit, pause, close, and what Kafka calls back: consumer.py
event loop  `read` takes from the shelf, `settle` and `give_back` queue what the thread is to do
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, cast

from gateway_lab.brokers.contract import Batch, BrokerError, Handle
from gateway_lab.brokers.kafka.consumer import ConsumerThread
from gateway_lab.brokers.kafka.errors import FENCED, configuration
from gateway_lab.brokers.kafka.shelf import Read

_CLOSE_S: Final = 15.0
"""How long closing may take before the thread is left to itself: a broker may be away."""

_LOOK_S: Final = 1.0  # how often to look whether the thread still lives

_FENCED_AGAIN_S: Final = 60.0
"""A member that is fenced twice within so long is not alone."""


class KafkaSource:
    """Reads from topics of one cluster as one member of a group; see `contract.Source`.

    Args:
        where: Alias and source, for errors.
        make_thread: Given a function that the thread calls when there is something to read.
    """

    def __init__(
        self, where: str, make_thread: Callable[[Callable[[], None]], ConsumerThread]
    ) -> None:
        self._where, self._make_thread = where, make_thread
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._is_closed = self._is_guarded = False
        self._lost_before = 0
        self._fenced_at = -math.inf
        self._begin()

    def _begin(self) -> None:
        self._thread = self._make_thread(self._wake)
        self._thread.start()
        if self._is_guarded:
            self.guard()

    def _wake(self) -> None:
        """Let a reader look again; called by the thread, once for each batch."""
        with suppress(RuntimeError):  # a loop that ended without closing us
            self._loop.call_soon_threadsafe(self._arrived.set)

    @property
    def starts(self) -> KafkaSource:
        """Keeps what handlers were started in the notes of commits; see `contract.Starts`."""
        return self

    @property
    def lost(self) -> int:
        """How many messages were deleted before this group had read them."""
        return self._lost_before + self._thread.lost

    async def read(self, limit: int) -> Batch:
        """Wait for at least one message and return what has arrived; see the contract."""
        while not self._is_closed:
            self._arrived.clear()
            if reads := self._thread.take(limit):
                return Batch([each[2] for each in reads], reads, [each[3] for each in reads])
            if failure := self._thread.failure:
                if not _is_fenced(failure) or self._was_fenced_just_now():
                    raise failure
                await self._begin_anew()
                continue
            await self._arrived.wait()
        raise configuration("the source is closed", where=self._where)

    def _was_fenced_just_now(self) -> bool:
        return time.monotonic() - self._fenced_at < _FENCED_AGAIN_S

    async def _begin_anew(self) -> None:
        """Replace a consumer that was fenced: after a long silence the member was given away.

        What it read and did not settle comes again. If there is another process of this name,
        one of the two is soon fenced a second time, and ends.
        """
        self._fenced_at = time.monotonic()
        self._thread.stop()
        await asyncio.to_thread(self._thread.join, _CLOSE_S)
        self._lost_before += self._thread.lost
        self._begin()

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Tell the thread that these are done; it commits within a second."""
        reads = cast("Sequence[Read]", handles)
        self._thread.do(lambda: self._thread.settle(reads))

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Put unsettled messages back, to be read before others.

        Nothing is fetched again, and others behind them are not repeated.
        """
        reads = cast("Sequence[Read]", handles)
        self._thread.do(lambda: self._thread.give_back(reads))

    # --- handlers ---

    def guard(self) -> None:
        """Let notes speak of what is under way, and of the next thousand messages as well."""
        self._is_guarded = True
        self._thread.do(self._thread.guard)

    async def begin(self, handles: Sequence[Handle]) -> None:
        """Count an end of each; returns once it is committed."""
        reads, thread = cast("Sequence[Read]", handles), self._thread
        done = asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # a loop that ended meanwhile
                self._loop.call_soon_threadsafe(done.set)

        thread.do(lambda: thread.begin(reads, tell))
        while thread.is_alive() and not done.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), _LOOK_S)

    def failed(self, handle: Handle, tries: int) -> None:
        """Note it with the next commit."""
        mark, offset, _, _ = cast("Read", handle)
        self._thread.do(lambda: mark.failed(offset, tries))

    def failures(self, handle: Handle) -> int:
        """Say what the note said of it."""
        mark, offset, _, _ = cast("Read", handle)
        return mark.failures_before(offset)

    async def close(self) -> None:
        """Commit what is settled, and leave the group; a static member stays in it, away."""
        if not self._is_closed:
            self._is_closed = True
            self._arrived.set()
            self._thread.stop()
        await asyncio.to_thread(self._thread.join, _CLOSE_S)


def _is_fenced(failure: Exception) -> bool:
    return isinstance(failure, BrokerError) and failure.failure == FENCED
