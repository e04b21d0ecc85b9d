"""Runs handlers: in order per key, at once across keys, within a bound.

A key has one lane, a lane has one handler under way. What waits for its next try leaves the lane,
and only messages of its own key wait with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, TypeAlias

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.dead_letter import Cause
from gateway_lab.gateway.handled import Refused, TryAgain
from gateway_lab.gateway.handling import Handling
from gateway_lab.gateway.log_lines import place_of
from gateway_lab.gateway.retry import Backoff, OrderKey
from gateway_lab.gateway.ways import Ways
from gateway_lab.gateway.window import Held
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import Routed

HANDLERS_AT_ONCE: Final = 64
"""Lanes of one source."""

HANDLER: Final = "handler"
"""The class of the dead letters of messages whose handler failed."""

_LOG: Final = logging.getLogger("gateway_lab.gateway")

_Key: TypeAlias = "OrderKey | int"

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@dataclass(slots=True, eq=False)
class Job:
    """One message on its way through its handler.

    Attributes:
        held: The batch that it came in, and `index` its place there.
        ways: Of the version of the config that it was read under.
        key: Whose order it keeps; a number of its own where it has no key.
        tries: How often its handler was started, in earlier processes too where that is known.
        deliveries: How often it came before, where earlier tries are not known.
        first: When it failed first.
    """

    held: Held
    index: int
    id: str
    handling: Handling
    ways: Ways
    backoff: Backoff
    attempts: int
    key: _Key = 0
    tries: int = 0
    deliveries: int = 0
    first: datetime | None = None

    @property
    def message(self) -> Message:
        """The source message."""
        return self.held.batch.messages[self.index]


@dataclass(frozen=True, slots=True)
class JobEnds:
    """Who is told what came of a job: deliveries, the cause of a dead letter, or that it waits."""

    handled: Callable[[Job, Routed], None]
    failed: Callable[[Job, Cause], None]
    waits: Callable[[Job], None]


@dataclass(slots=True, eq=False)
class _Lane:
    """Jobs in order, and those that wait, key by key, with the next try of the first of them."""

    jobs: deque[Job] = field(default_factory=deque)
    waiting: dict[_Key, deque[Job]] = field(default_factory=dict)
    is_running: bool = False


class HandlerLanes:
    """The handlers of one source."""

    def __init__(self, source: str, counters: Counters, ends: JobEnds, spawn: Spawn) -> None:
        """Make them.

        Args:
            source: The name of the source.
            counters: Of the source.
            ends: Who is told of the end of each job.
            spawn: Runs a coroutine beside others; what it raises ends the source.
        """
        self._source, self._counters, self._ends, self._spawn = source, counters, ends, spawn
        self._lanes = [_Lane() for _ in range(HANDLERS_AT_ONCE)]
        self._numbers = count()
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, jobs: Sequence[Job]) -> None:
        """Take jobs, behind those that were taken before."""
        for job in jobs:
            message = job.message
            if message.key is None:
                job.key = next(self._numbers)
            else:
                job.key = (message.channel, message.partition, message.key)
            lane = self._lanes[hash(job.key) % HANDLERS_AT_ONCE]
            lane.jobs.append(job)
            self._start(lane)

    def stop(self) -> list[asyncio.Task[None]]:
        """Start nothing more, and return what is still under way; it comes again."""
        for timer in self._timers:
            timer.cancel()
        for lane in self._lanes:
            lane.jobs.clear()
        return list(self._tasks)

    def _start(self, lane: _Lane) -> None:
        if not lane.is_running:
            lane.is_running = True
            task = self._spawn(self._run(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: _Lane) -> None:
        """Run a lane until it is empty."""
        while lane.jobs:
            job = lane.jobs.popleft()
            if waiting := lane.waiting.get(job.key):
                waiting.append(job)
                self._ends.waits(job)
            elif again := await self._try(job):
                self._wait(lane, job, again)
        lane.is_running = False

    # --- one try ---

    async def _try(self, job: Job) -> TryAgain | None:
        """Run a handler once; return how it is to be tried again, None if the job has its end."""
        job.tries += 1
        try:
            routed = await self._bounded(job)
        except Refused as refused:
            self._fail(job, refused.reason)
        except TryAgain as again:
            return self._again(job, again)
        else:
            self._ends.handled(job, routed)
        return None

    async def _bounded(self, job: Job) -> Routed:
        """Run a handler within its time.

        Raises:
            BrokerError: It hangs in a thread, which nobody can end: the source stops, red.
        """
        handling = job.handling
        try:
            async with asyncio.timeout(handling.timeout_s):
                return await handling.handle(job.message, job.id)
        except TimeoutError:  # ours: the user code's own is a TryAgain
            pass
        reason = handling.hangs
        if handling.is_sync:
            hint = "give what it waits for a limit, or write it as an async function"
            failure = Failure(FailureClass.CONFIGURATION, reason)
            raise BrokerError(failure, where=f"source {self._source}", hint=hint)
        raise TryAgain(reason)

    def _again(self, job: Job, again: TryAgain) -> TryAgain | None:
        """Note a try that failed; the last one makes a dead letter."""
        job.first = job.first or datetime.now(UTC)
        place = place_of(again.__cause__) if isinstance(again.__cause__, Exception) else ""
        _LOG.warning(
            "the handler %s failed, try %d of %d",
            job.handling.name,
            job.tries,
            job.attempts,
            extra={"source": self._source, "reason": place},
        )
        if job.tries < job.attempts:
            self._counters.retried += 1
            return again
        self._fail(job, again.reason)
        return None

    def _fail(self, job: Job, reason: str) -> None:
        self._ends.failed(
            job,
            Cause(
                reason=f"{job.handling.name}: {reason}",
                of_class=HANDLER,
                attempts=job.tries,
                at_most=job.tries + job.deliveries * job.attempts,
                first=job.first,
                last=datetime.now(UTC),
            ),
        )

    # --- the next try ---

    def _wait(self, lane: _Lane, job: Job, again: TryAgain) -> None:
        """Put a job aside until its next try; others of its key wait behind it."""
        lane.waiting[job.key] = deque([job])
        self._ends.waits(job)
        pause = job.backoff.pause(job.tries) if again.delay is None else again.delay

        def due() -> None:
            self._timers.discard(timer)
            waited = lane.waiting.pop(job.key)
            for each in waited:
                each.held.waiting -= 1
            lane.jobs.extendleft(reversed(waited))
            self._start(lane)

        timer = asyncio.get_running_loop().call_later(pause, due)
        self._timers.add(timer)
