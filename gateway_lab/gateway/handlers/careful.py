"""Begins with care, behind handlers, what may have ended a process.

A process that dies leaves all that was under way, and nobody knows which message it died of. So
what comes again runs apart from the rest: in groups what was under way at one such end, alone what
was at two or more. After `ENDS` of them it is not begun again: it is a dead letter.

Where the broker counts (NATS, Redis, quorum queues), each delivery counts as an end, clean or not,
and a whole window has come as often as the culprit. So groups shrink more slowly, else two
restarts would leave slow handlers nothing but to work one by one. In the end they all run alone, in
order, so the culprit is the first of them at the next start: only that one is condemned, once in
the life of a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

from gateway_lab.brokers.contract import Batch, Source, Starts
from gateway_lab.gateway.dead_letter import Cause
from gateway_lab.gateway.handlers.job import Job
from gateway_lab.gateway.handlers.lanes import HANDLER, HANDLERS_AT_ONCE
from gateway_lab.gateway.window import Held, Window

ENDS: Final = 5
"""Unclean ends of a process after which a message is not begun again."""

_BEGUN: Final = (HANDLERS_AT_ONCE, 1)
_DELIVERED: Final = (HANDLERS_AT_ONCE, 16, 4, 1)
"""How many run together after one end, two ends, and so on, where starts or deliveries count."""


class Careful:
    """Begins the messages of one reader."""

    def __init__(
        self,
        source: Source,
        window: Window,
        turn: asyncio.Lock,
        begin: Callable[[Held], None],
        condemn: Callable[[Held], None],
    ) -> None:
        """Make one.

        Args:
            source: What is read; where it keeps starts, it is told to from now on.
            window: Of the source, all of its readers.
            turn: Had by one at a time in this process: what runs apart in two sources at once
                would be blamed for each other.
            begin: Puts messages into the lanes of their handler.
            condemn: Makes a dead letter of each.
        """
        self._source, self._window, self._turn = source, window, turn
        self._begin, self._condemn = begin, condemn
        self._has_condemned = False
        if source.starts:
            source.starts.guard()

    async def take(self, number: int, batch: Batch) -> None:
        """Begin what was read, in its order; returns once nothing of it has to run apart."""
        if not any(batch.attempts):
            held = Held(number, batch)
            self._window.add(held)
            self._begin(held)
            return
        sizes = _BEGUN if self._source.starts else _DELIVERED
        parts = [Held(number, part) for part in _parts(batch, sizes)]
        for part in parts:
            part.waiting = part.unsettled
            self._window.add(part)
        try:
            while parts:
                await self._take_part(parts[0])
                del parts[0]
        finally:
            for part in parts:
                if part.waiting == part.unsettled:  # it was not begun, and comes again
                    self._window.drop(part)

    async def _take_part(self, part: Held) -> None:
        ends = part.batch.attempts[0]
        if not ends:
            part.waiting = 0
            self._begin(part)
            return
        await self._window.quiet()
        if self._is_culprit(ends):
            part.waiting = 0
            self._condemn(part)
            return
        async with self._turn:
            if starts := self._source.starts:
                await starts.begin(part.batch.handles)
            part.waiting, part.apart = 0, set(range(part.unsettled))
            self._begin(part)
            await self._window.together(part)
        await self._window.quiet()  # until it is settled, our death would count for it, too

    def _is_culprit(self, ends: int) -> bool:
        """Say whether a message has ended too many processes, as far as its broker can tell."""
        if ends < ENDS or (self._has_condemned and not self._source.starts):
            return False
        self._has_condemned = True
        return True


def _parts(batch: Batch, sizes: Sequence[int]) -> Iterator[Batch]:
    """Part a batch, in its order, into what may be under way together."""

    def kind(index: int) -> int:
        return min(batch.attempts[index], len(sizes))

    for ends, indexes in groupby(range(len(batch.messages)), kind):
        alike = list(indexes)
        together = sizes[ends - 1] if ends else len(alike)
        for start in range(0, len(alike), together):
            yield _some(batch, alike[start : start + together])


def _some(batch: Batch, indexes: Sequence[int]) -> Batch:
    return Batch(
        [batch.messages[index] for index in indexes],
        [batch.handles[index] for index in indexes],
        [batch.attempts[index] for index in indexes],
    )


# --- what is known of earlier processes ---


def recall(jobs: Sequence[Job], starts: Starts | None) -> None:
    """Let jobs know of the tries of earlier processes, as far as their broker does."""
    for job in jobs:
        ends = job.held.batch.attempts[job.index]
        if ends and starts:
            # Whether it had been begun at the first end, nobody knows.
            job.tries = starts.failures(job.held.batch.handles[job.index]) + ends - 1
        job.deliveries = 0 if starts else ends


def put_off(job: Job, starts: Starts | None) -> None:
    """Take in that a job waits for a try: should the process die now, it was not of this one."""
    batch = job.held.batch
    job.held.waiting += 1
    if starts and (job.tries or batch.attempts[job.index]):
        starts.failed(batch.handles[job.index], job.tries)


def crashed(job: Job) -> Cause:
    """Return why a message is not begun again."""
    ends = job.held.batch.attempts[job.index]
    was = "may have been" if job.deliveries else "was"
    reason = f"crashed_process: {job.handling.name} {was} at work on it when a process died, {ends} times"
    return Cause(reason=reason, of_class=HANDLER, attempts=ends)
