"""Runs handlers: in order per key, at once across keys, within a bound.

A key has one lane, a lane has one handler under way. What waits for its next try leaves the lane,
and only messages of its own key wait with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from math import inf
from types import FrameType
from typing import Final

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.dead_letter import Cause
from gateway_lab.gateway.handlers.breaker import Breaker
from gateway_lab.gateway.handlers.handled import BEGUN, Exhausted, Refused, TryAgain
from gateway_lab.gateway.handlers.job import Job, JobEnds, Key
from gateway_lab.gateway.handlers.watchdog import Caller, watched
from gateway_lab.gateway.log_lines import place_of, request_id
from gateway_lab.gateway.retry import order_key
from gateway_lab.routing.routed import Routed

HANDLERS_AT_ONCE: Final = 64
"""Lanes of one source."""

IN_A_ROW: Final = 8
"""Jobs of a lane that run before others have a turn, if none of them waits for anything."""

LOOK_S: Final = 1.0
"""How often to look for handlers that hang, at least."""

GRACE_S: Final = 5.0
"""How long a handler may take to end once it is cancelled."""

HANDLER: Final = "handler"
"""The class of the dead letters of messages whose handler failed."""

_LOG: Final = logging.getLogger("gateway_lab.gateway")

_MEND: Final = "mend it, or what it needs, and start the gateway again: what is left comes then"


@dataclass(slots=True, eq=False)
class _Lane:
    """Jobs in order, and those that wait, key by key, with the next try of the first of them.

    Attributes:
        task: Runs it; None while it is empty.
        job: The one whose handler is under way.
        due: When (clock of the loop) its time is over; never while nothing is under way.
        is_late: Whether it was told so.
    """

    jobs: deque[Job] = field(default_factory=deque)
    waiting: dict[Key, deque[Job]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    job: Job | None = None
    due: float = inf
    is_late: bool = False


class HandlerLanes:
    """The handlers of one source."""

    def __init__(self, source: str, counters: Counters, ends: JobEnds) -> None:
        """Make them.

        Args:
            source: The name of the source.
            counters: Of the source.
            ends: Who is told of the end of each job.
        """
        self._source, self._counters, self._ends = source, counters, ends
        self._loop = asyncio.get_running_loop()
        self._lanes = [_Lane() for _ in range(HANDLERS_AT_ONCE)]
        self._numbers = count()
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: dict[asyncio.Task[None], str] = {}
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._breaker = Breaker()
        self._look_s = inf
        self._looking: asyncio.TimerHandle | None = None

    async def watch(self) -> None:
        """Wait until cancelled.

        Raises:
            BrokerError: Too many handlers hang, or fail: the source stops, red.
        """
        with watched(_CALLER):
            await self._broken

    def put(self, jobs: Sequence[Job]) -> None:
        """Take jobs, behind those that were taken before."""
        self._look_after(jobs[0].handling.timeout_s or inf)
        for job in jobs:
            job.key = order_key(job.message) or next(self._numbers)
            lane = self._lanes[hash(job.key) % HANDLERS_AT_ONCE]
            lane.jobs.append(job)
            self._start(lane)

    async def stop(self) -> None:
        """Start nothing more, and end what is under way; it comes again.

        A handler that does not end within `GRACE_S` is left behind: nothing waits for it.
        """
        if self._looking:
            self._looking.cancel()
        for timer in self._timers:
            timer.cancel()
        for lane in self._lanes:
            lane.jobs.clear()
        for task in self._tasks:
            task.cancel()
        if tasks := self._tasks - self._lost.keys():
            await asyncio.wait(tasks, timeout=GRACE_S)
        self._tasks.clear()
        for lane in self._lanes:
            self._leave_behind(lane)

    def _leave_behind(self, lane: _Lane) -> None:
        """Note that what a lane was at was ended by us: it has ended no process."""
        if (job := lane.job) is None:
            return
        self._ends.waits(job)
        if lane.task and not lane.task.done():
            _leave(lane.task)
            _LOG.error("the handler %s does not end, and is left behind", job.handling.name)
        lane.job = None

    def _start(self, lane: _Lane) -> None:
        if lane.task is None:
            task = lane.task = self._loop.create_task(self._run(lane))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let what a lane raised end the source."""
        self._tasks.discard(task)
        self._lost.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """Let an error end the source; others say no more than the first."""
        if not self._broken.done():
            self._broken.set_exception(error)

    async def _run(self, lane: _Lane) -> None:
        """Run a lane until it is empty."""
        me = asyncio.current_task()

        def begun() -> None:
            """Count the time from now on; called by the thread of a plain function."""
            if lane.task is me and lane.job:
                lane.due = self._loop.time() + (lane.job.handling.timeout_s or inf)

        BEGUN.set(begun)
        in_a_row = 0
        while lane.jobs and lane.task is me:  # else it was left to itself, and another goes on
            if in_a_row == IN_A_ROW:
                in_a_row = 0
                await asyncio.sleep(0)
                continue
            in_a_row += 1
            await self._next(lane, lane.jobs.popleft())
        if lane.task is me:
            lane.task = None

    async def _next(self, lane: _Lane, job: Job) -> None:
        """Try a job, unless one of its key waits."""
        if waiting := lane.waiting.get(job.key):
            waiting.append(job)
            self._ends.waits(job)
        elif again := await self._try(lane, job):
            self._wait(lane, job, again)
        if job.held.apart:
            self._end_apart(job)

    def _end_apart(self, job: Job) -> None:
        """Take in that a handler that runs apart has ended once, however it did."""
        job.held.apart.discard(job.index)
        if not job.held.apart:
            self._ends.together()

    # --- one try ---

    async def _try(self, lane: _Lane, job: Job) -> TryAgain | None:
        """Run a handler once; return how it is to be tried again, None if the job has its end.

        Raises:
            BrokerError: Every thread for plain functions hangs.
        """
        job.tries += 1
        request_id.set("")
        handling, task = job.handling, lane.task
        lane.job = job
        if not handling.is_sync:
            lane.due = self._loop.time() + (handling.timeout_s or inf)
        result: Routed | TryAgain | Refused
        try:
            result = await handling.handle(job.message, job.id)
        except asyncio.CancelledError:
            if not lane.is_late or lane.task is not task:
                raise
            result = TryAgain(handling.hangs)
        except (Refused, TryAgain) as failed:
            result = failed
        except Exhausted as exhausted:
            raise self._hang(str(exhausted)) from None
        if lane.task is not task:
            return None  # its try has failed long ago
        return self._conclude(lane, job, result)

    def _conclude(
        self, lane: _Lane, job: Job, result: Routed | TryAgain | Refused
    ) -> TryAgain | None:
        lane.due, lane.job = inf, None
        if lane.is_late and lane.task:
            lane.is_late = False
            lane.task.uncancel()
        if isinstance(result, Refused):
            self._fail(job, result.reason, is_wish=result.is_wish)
        elif isinstance(result, TryAgain):
            return self._again(job, result)
        else:
            self._breaker.passed()
            self._ends.handled(job, result)
        return None

    # --- handlers that hang ---

    def _look_after(self, limit_s: float) -> None:
        """Look often enough for handlers with such a limit."""
        if min(LOOK_S, limit_s / 4) < self._look_s:
            self._look_s = min(LOOK_S, limit_s / 4)
            if self._looking:
                self._looking.cancel()
            self._look()

    def _look(self) -> None:
        """Cancel the handlers whose time is over; leave to themselves those that do not listen."""
        now = self._loop.time()
        for lane in self._lanes:
            if lane.due > now or lane.task is None:
                continue
            if lane.is_late:
                self._lose(lane, lane.task)
            else:
                lane.is_late, lane.due = True, now + GRACE_S
                lane.task.cancel()
        self._looking = self._loop.call_later(self._look_s, self._look)

    def _lose(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        """Go on without a handler that swallows its cancellation: the try has failed."""
        job = lane.job
        assert job is not None  # noqa: S101 - something is late
        name = job.handling.name
        self._lost[task] = name
        _leave(task)
        lane.task, lane.job, lane.is_late, lane.due = None, None, False, inf
        if len(self._lost) >= HANDLERS_AT_ONCE:
            told = ", ".join(f"{each} ({n})" for each, n in Counter(self._lost.values()).items())
            self._break(
                self._hang(f"{len(self._lost)} handlers hang, and cannot be cancelled: {told}")
            )
        again = self._again(job, TryAgain(f"{job.handling.hangs}, and it cannot be cancelled"))
        if again:
            self._wait(lane, job, again)
        self._end_apart(job)
        self._start(lane)

    def _hang(self, reason: str) -> BrokerError:
        return self._stop(reason, "give what they wait for a limit, and start the gateway again")

    def _stop(self, reason: str, hint: str) -> BrokerError:
        failure = Failure(FailureClass.CONFIGURATION, reason)
        return BrokerError(failure, where=f"source {self._source}", hint=hint)

    def _again(self, job: Job, again: TryAgain) -> TryAgain | None:
        """Note a try that failed; the last one makes a dead letter."""
        job.first = job.first or datetime.now(UTC)
        cause = again.__cause__  # without one the reason is ours, and holds nothing of the message
        place = place_of(cause) if cause else again.reason
        _LOG.warning(
            "the handler %s failed, try %d of %d",
            job.handling.name,
            job.tries,
            job.attempts,
            extra={"source": self._source, "reason": place, **again.told},
        )
        if job.tries < job.attempts:
            self._counters.retried += 1
            return again
        self._fail(job, again.reason)
        return None

    def _fail(self, job: Job, reason: str, *, is_wish: bool = False) -> None:
        if is_wish:
            self._breaker.passed()
        elif told := self._breaker.failed():
            self._break(self._stop(told, _MEND))
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


def _leave(task: asyncio.Task[None]) -> None:
    """Let nobody wait for a task that does not end, as `asyncio.run` would."""
    asyncio._unregister_task(task)  # noqa: SLF001 - documented for those that make tasks


def _blocked(frame: FrameType) -> tuple[str, str]:
    """Count it, and name the handler that is under way in `_try`, and its source."""
    lanes, job = frame.f_locals["self"], frame.f_locals["job"]
    lanes._counters.blocked += 1  # noqa: SLF001 - it is ours
    return job.handling.name, job.handling.source


def _job(frame: FrameType) -> object:
    return frame.f_locals["job"]


_CALLER: Final = Caller(HandlerLanes._try.__code__, _job, _blocked)  # noqa: SLF001 - it is ours
