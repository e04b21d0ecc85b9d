"""Settles source messages: only those whose every delivery is confirmed ever come here."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from gateway_lab.brokers.contract import Handle, Source
from gateway_lab.gateway.window import Held


class Settler:
    """Settles what one reader read; while the broker answers, the next call's worth collects."""

    def __init__(self, source: Source, settled: Callable[[int], None]) -> None:
        """Make one.

        Args:
            source: Where the messages were read.
            settled: Told how many messages were settled.
        """
        self._source, self._settled = source, settled
        self._handles: list[Handle] = []
        self._finished: defaultdict[Held, int] = defaultdict(int)
        self._wake = asyncio.Event()
        self._is_closing = False

    def finish(self, held: Held, indexes: Sequence[int]) -> None:
        """Take messages of one batch whose every delivery is confirmed."""
        if not indexes:
            return
        handles = held.batch.handles
        self._handles += [handles[index] for index in indexes]
        self._finished[held] += len(indexes)
        self._wake.set()

    def close(self) -> None:
        """Let `run` return once everything that was taken is settled."""
        self._is_closing = True
        self._wake.set()

    async def run(self) -> None:
        """Settle, until closed."""
        while self._handles or not self._is_closing:
            await self._wake.wait()
            self._wake.clear()
            if handles := self._handles:
                finished = self._finished
                self._handles, self._finished = [], defaultdict(int)
                await self._source.settle(handles)
                for held, number in finished.items():
                    held.unsettled -= number
                self._settled(len(handles))
