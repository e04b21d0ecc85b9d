"""Failpoints: brokers that kill their own process at exactly one place.

The gateway is the real one. Between it and its brokers stand these, and they count: once so many
messages have passed a place, the process is gone, without a word to anybody.

    before_publish                of a batch, some are stored; the rest is never sent
    after_write_before_confirm    stored, and the gateway has no answer
    after_confirm_before_settle   confirmed, and the source's broker is never told
    after_settle_before_commit    settled, and the thread that commits never comes to it (Kafka)
    mid_fanout                    one delivery of a message is stored, its other one is not
    during_dead_letter            a dead letter is stored, and the gateway has no answer
    during_drain                  told to stop, with messages in flight
    during_rebalance              its partitions are being taken away, with messages in flight (Kafka)
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final
from unittest.mock import patch

from gateway_lab.brokers.contract import Batch, Broker, Failure, Handle, Outgoing, Sink, Source
from gateway_lab.brokers.kafka.consumer import ConsumerThread

FAILPOINTS: Final = (
    "before_publish",
    "after_write_before_confirm",
    "after_confirm_before_settle",
    "after_settle_before_commit",
    "mid_fanout",
    "during_dead_letter",
    "during_drain",
    "during_rebalance",
)
OF_KAFKA: Final = frozenset({"after_settle_before_commit", "during_rebalance"})

LETTER_HEADER: Final = "x-gw-dlq-reason"


def exists(failpoint: str, source: str) -> bool:
    """Say whether a source of a protocol has a failpoint: only Kafka commits and rebalances."""
    return source == "kafka" or failpoint not in OF_KAFKA


def tell(event: str, **more: object) -> None:
    """Write a line to whoever started this process; it is out before the next statement."""
    os.write(sys.stdout.fileno(), json.dumps({"event": event, **more}).encode() + b"\n")


class Trap:
    """One failpoint, which is reached once.

    Args:
        name: Which; empty for none.
        at: After how many messages.
        chunk: How many messages a read returns at most, so that there is a before and an after.
        last_words: What is told at the end.

    Attributes:
        is_draining: Whether the process was told to stop.
    """

    def __init__(
        self, name: str, at: int, chunk: int, last_words: Callable[[], dict[str, object]]
    ) -> None:
        self.name, self.chunk = name, chunk
        self._left, self._last_words = at, last_words
        self.is_draining = False

    def passes(self, name: str, number: int) -> int | None:
        """Count messages at a place; return how many of these pass it, None if all do."""
        if name != self.name or number == 0:
            return None
        self._left -= number
        return number + self._left if self._left < 0 else None

    def spring(self) -> None:
        """End this process here and now."""
        tell("killed", books=self._last_words())
        os.kill(os.getpid(), signal.SIGKILL)

    async def stop(self) -> None:
        """Have this process told to stop, and go on once it knows."""
        if not self.is_draining:
            os.kill(os.getpid(), signal.SIGTERM)
        while not self.is_draining:  # noqa: ASYNC110 - a signal rings no bell
            await asyncio.sleep(0.001)

    async def hold(self) -> None:
        """Go no further, with everything in hand."""
        tell("holding")
        await asyncio.Event().wait()


class TrappedBroker:
    """A broker whose source and sink have failpoints; all else is its own."""

    def __init__(self, broker: Broker, trap: Trap) -> None:
        self._broker, self._trap = broker, trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def source(self, *args: Any, **kwargs: Any) -> TrappedSource:
        return TrappedSource(await self._broker.source(*args, **kwargs), self._trap)

    def sink(self) -> TrappedSink:
        return TrappedSink(self._broker.sink(), self._trap)


class TrappedSource:
    """A source that reads a little at a time."""

    def __init__(self, source: Source, trap: Trap) -> None:
        self._source, self._trap = source, trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def read(self, limit: int) -> Batch:
        return await self._source.read(min(limit, self._trap.chunk))

    async def settle(self, handles: Sequence[Handle]) -> None:
        trap = self._trap
        if (some := trap.passes("after_confirm_before_settle", len(handles))) is not None:
            await self._source.settle(handles[:some])
            trap.spring()
        if trap.name == "during_drain" and trap.is_draining:
            trap.spring()
        await self._source.settle(handles)
        if trap.passes("after_settle_before_commit", len(handles)) is not None:
            trap.spring()


class TrappedSink:
    """A sink that may die before, between and after its messages.

    Several sends may be under way; they begin in the order of the calls, as without a trap.
    """

    def __init__(self, sink: Sink, trap: Trap) -> None:
        self._sink, self._trap = sink, trap
        self._turn = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        trap = self._trap
        async with self._turn:
            await self._before(batch)
            sending = asyncio.ensure_future(self._sink.send(batch))
            await asyncio.sleep(0)  # it has begun
        answers = await sending
        if trap.passes("after_write_before_confirm", len(batch)) is not None:
            trap.spring()
        if trap.passes("during_dead_letter", _count(batch, is_letter)) is not None:
            trap.spring()
        return answers

    async def _before(self, batch: Sequence[Outgoing]) -> None:
        """Do what is due before a batch is sent."""
        trap, sink = self._trap, self._sink
        if (some := trap.passes("before_publish", len(batch))) is not None:
            await sink.send(batch[:some])
            trap.spring()
        if trap.passes("mid_fanout", _count(batch, is_second)) is not None:
            await sink.send([each for each in batch if not is_second(each)])
            trap.spring()
        if trap.passes("during_rebalance", len(batch)) is not None:
            await trap.hold()
        if trap.passes("during_drain", len(batch)) is not None:
            await trap.stop()


def trap_rebalances(trap: Trap) -> None:
    """Die when partitions are taken away."""

    def revoked(*_: object) -> None:
        trap.spring()

    patch.object(ConsumerThread, "_revoked", revoked).start()


def is_second(outgoing: Outgoing) -> bool:
    """Say whether it is a message's other delivery."""
    return outgoing.channel.endswith("second")


def is_letter(outgoing: Outgoing) -> bool:
    """Say whether it is a dead letter."""
    return any(name == LETTER_HEADER for name, _ in outgoing.headers)


def _count(batch: Sequence[Outgoing], is_so: Callable[[Outgoing], bool]) -> int:
    return sum(map(is_so, batch))
