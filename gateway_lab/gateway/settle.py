"""Settles source messages: only those whose every delivery is confirmed ever come here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway_lab.brokers.contract import Source
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
        self._finished: list[tuple[Held, int]] = []
        self._wake = asyncio.Event()
        self._is_closing = False

    def finish(self, held: Held, index: int) -> None:
        """Take a message whose every delivery is confirmed."""
        self._finished.append((held, index))
        self._wake.set()

    def close(self) -> None:
        """Let `run` return once everything that was taken is settled."""
        self._is_closing = True
        self._wake.set()

    async def run(self) -> None:
        """Settle, until closed."""
        while self._finished or not self._is_closing:
            await self._wake.wait()
            self._wake.clear()
            if finished := self._finished:
                self._finished = []
                await self._source.settle([held.batch.handles[at] for held, at in finished])
                for held, _ in finished:
                    held.unsettled -= 1
                self._settled(len(finished))
