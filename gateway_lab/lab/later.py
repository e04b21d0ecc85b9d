"""What takes longer than a person waits: done beside the event loop, dropped when it is old.

A notebook may hand the messages of a panel to several threads, and cells to yet another. What
they change together is changed under one lock, and what was worked out for an earlier state is
never put in place.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from gateway_lab.offline.progress import told

Answers: TypeAlias = Iterator[Mapping[str, Any]]
"""Names and values, as far as they are known; making the next may take its time."""


class Later:
    """Answers that come when they come; only those to the newest question count.

    Attributes:
        lock: Held while an answer is put in place; hold it to change anything else.
    """

    def __init__(
        self,
        answers: Callable[[], Answers],
        take: Callable[[Mapping[str, Any]], None],
        lock: threading.RLock,
    ) -> None:
        """Prepare.

        Args:
            answers: Begins to answer, about things as they are then.
            take: Puts an answer in place.
            lock: Shared by all that change the same things.
        """
        self.lock = lock
        self._answers, self._take = answers, take
        self._turn, self._is_under_way = 0, False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, *, after_s: float) -> None:
        """Drop what is under way and answer anew, after a pause; without an event loop, now."""
        with self.lock:
            self._turn += 1
            self._is_under_way = True
        try:
            self._loop = loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
            for answer in self._answers():
                self._take(answer)
            self._is_under_way = False
        else:
            task = loop.create_task(self._work(self._turn, after_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def again(self, *, after_s: float) -> None:
        """Begin anew if it is not done: something that answers may depend on has changed."""
        if self._is_under_way:
            self.begin(after_s=after_s)

    def tell(self, answer: Mapping[str, Any]) -> None:
        """Put in place what is known while the next answer is made; any thread may call it."""
        if self._loop is None:
            self._take(answer)
        else:
            self._loop.call_soon_threadsafe(self._put, answer)

    def _put(self, answer: Mapping[str, Any]) -> None:
        with self.lock:
            if self._is_under_way:
                self._take(answer)

    async def _work(self, turn: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with self.lock:
            answers = self._answers()
        while (answer := await asyncio.to_thread(_next, answers)) is not None:
            with self.lock:
                if turn != self._turn:
                    return
                self._take(answer)
        with self.lock:
            self._is_under_way = turn != self._turn


def _next(answers: Answers) -> Mapping[str, Any] | None:
    """Make the next answer; a progress bar of it would show up in some cell or other."""
    with told():
        return next(answers, None)
