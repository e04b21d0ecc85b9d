"""Handlers run offline: one message after the other, each try at once, in a loop of their own.

A notebook has a loop that runs already, so this one has a thread. See routing/rehearsal.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Final

from gateway_lab.config.plan import Plan
from gateway_lab.errors import ReplayError
from gateway_lab.gateway.handlers.handled import Exhausted, Refused, TryAgain
from gateway_lab.gateway.handlers.handling import Handling
from gateway_lab.gateway.ids import MessageIds
from gateway_lab.messages.message import Message
from gateway_lab.routing.rehearsal import Rehearsal, Rehearsed
from gateway_lab.routing.routed import Routed

GRACE_S: Final = 5.0
"""How long user code may take to end once its time is over; then it is left behind."""


@contextmanager
def rehearse(
    plan: Plan, handlings: Mapping[str, Handling], *, publishes: bool
) -> Iterator[Rehearsal]:
    """Run handlers until the end of the block.

    Args:
        plan: The config.
        handlings: Source to what handles its messages.
        publishes: Whether middlewares may change what is delivered.
    """
    stage = _Stage(plan, handlings, publishes=publishes)
    stage.start()
    try:
        yield stage
    finally:
        stage.stop()


class _Stage:
    """The thread, its loop, and what runs in it."""

    def __init__(self, plan: Plan, handlings: Mapping[str, Handling], *, publishes: bool) -> None:
        self.sources, self.publishes = frozenset(handlings), publishes
        self._acts = {
            name: _Act(each, plan.sources[name].retry.attempts) for name, each in handlings.items()
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ready, self._is_over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="rehearsal", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._is_ready.wait()

    def stop(self) -> None:
        assert self._loop is not None  # noqa: S101 - it was started
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(GRACE_S)

    def handle(self, messages: Sequence[tuple[str, Message]]) -> list[Rehearsed]:
        """Handle messages one after the other; an interrupt ends the one that is under way.

        Raises:
            ReplayError: An async handler blocks its thread, or goes on although it is cancelled.
        """
        assert self._loop is not None  # noqa: S101 - it was started
        future = asyncio.run_coroutine_threadsafe(self._handle(messages), self._loop)
        while not wait([future], GRACE_S).done:
            self._check()
        return future.result()

    async def _handle(self, messages: Sequence[tuple[str, Message]]) -> list[Rehearsed]:
        return [await self._acts[source].handle(message) for source, message in messages]

    def _check(self) -> None:
        for each in self._acts.values():
            if monotonic() > each.due + GRACE_S:
                hint = "give what it waits for a limit, or write it as a plain function"
                problem = f"{each.hangs}, and it cannot be cancelled: nothing can go on"
                raise ReplayError(problem, hint=hint)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._is_ready.set()
            runner.run(self._is_over.wait())


class _Act:
    """The handler of one source.

    Attributes:
        due: When (monotonic) the try that is under way must have ended.
    """

    def __init__(self, handling: Handling, attempts: int) -> None:
        self._handling, self._attempts = handling, attempts
        self.due = inf
        self._id_of = MessageIds(handling.source)
        self._stopped = ""

    async def handle(self, message: Message) -> Rehearsed:
        """Try until it succeeds or the tries are spent; no try waits."""
        reason, tries = "", 0
        if self._stopped:
            return self._without(self._stopped, 0, is_stopped=True)
        id_ = self._id_of(message)
        while tries < self._attempts:
            tries += 1
            try:
                return Rehearsed(self._handling.name, await self._try(message, id_), "", tries)
            except Refused as refused:
                return self._without(refused.reason, tries)
            except TryAgain as again:
                reason = again.reason
            except Exhausted as exhausted:
                self._stopped = str(exhausted)
                return self._without(self._stopped, tries, is_stopped=True)
        return self._without(reason, tries)

    async def _try(self, message: Message, id_: str) -> Routed:
        """Run the handler once, within its time."""
        handling = self._handling
        self.due = monotonic() + (handling.timeout_s or inf)
        try:
            async with asyncio.timeout(handling.timeout_s):
                return await handling.handle(message, id_)
        except TimeoutError:  # ours: the user code's own is a TryAgain
            raise TryAgain(handling.hangs) from None
        finally:
            self.due = inf

    @property
    def hangs(self) -> str:
        """What is said of a try that does not end."""
        return f"the handler {self._handling.name}: {self._handling.hangs}"

    def _without(self, reason: str, tries: int, *, is_stopped: bool = False) -> Rehearsed:
        name = self._handling.name
        return Rehearsed(name, None, f"{name}: {reason}", tries, is_stopped)
