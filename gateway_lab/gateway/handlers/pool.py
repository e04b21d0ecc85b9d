"""Threads for handlers that are plain functions.

Nobody can end a thread: one that hangs is left to itself, and does not keep the process from
ending. When all of them hang, there is nobody left to run handlers, and that is an error.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

from gateway_lab.gateway.handlers.handled import Exhausted

THREADS: Final = 32
"""Plain functions that run at once at most; others wait for their turn."""

_Call: TypeAlias = tuple["Future[Any]", Callable[[], Any]]


class HandlerPool:
    """Runs plain functions for event loops; may be shared by several."""

    def __init__(self, size: int = THREADS) -> None:
        self._size = size
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._idle = 0
        self._hanging: dict[Future[Any], str] = {}

    async def run(self, name: str, call: Callable[[], Any]) -> Any:
        """Call a function in a thread.

        Args:
            name: Of the handler, for the error.
            call: If this is cancelled while it runs, it runs on, and its thread is counted out.

        Raises:
            Exhausted: All threads hang.
        """
        future: Future[Any] = Future()
        with self._lock:
            self._check()
            self._calls.put((future, call))
            if self._idle:
                self._idle -= 1  # it is for that one
            elif self._threads < self._size:
                self._start()
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._leave(future, name)
            raise

    def _check(self) -> None:
        if len(self._hanging) >= self._size:
            told = ", ".join(f"{name} ({n})" for name, n in Counter(self._hanging.values()).items())
            raise Exhausted(f"all {self._size} threads for plain functions hang, in {told}")

    def _start(self) -> None:
        self._threads += 1
        name = f"gateway-lab-handler-{self._threads}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _leave(self, future: Future[Any], name: str) -> None:
        """Count a thread out that runs on, until it has come to its end after all."""
        with self._lock:
            if future.cancel() or future.done():
                return
            self._hanging[future] = name
            if len(self._hanging) == self._size:
                self._refuse_all()

    def _refuse_all(self) -> None:
        """Let those that wait for a thread know that there is none."""
        while not self._calls.empty():
            future, _ = self._calls.get_nowait()
            if future.set_running_or_notify_cancel():
                try:
                    self._check()
                except Exhausted as exhausted:
                    future.set_exception(exhausted)

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            if future.set_running_or_notify_cancel():
                _settle(future, call)
            del call
            with self._lock:
                self._hanging.pop(future, None)
                if self._calls.empty():
                    self._idle += 1
            del future


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        value = call()
    except StopIteration as error:  # no future of asyncio carries one
        stopped = RuntimeError("a plain function raised StopIteration")
        stopped.__cause__ = error
        future.set_exception(stopped)
    except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
        future.set_exception(error)
    else:
        future.set_result(value)
