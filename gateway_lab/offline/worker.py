"""A warm worker process that shares the decoding of large captures.

It is a fresh interpreter that talks through pipes, not a `multiprocessing` child: those run the
user's main module again, which a notebook does not have and a script may not guard. It starts
with the first large replay and ends when this process does.
"""

from __future__ import annotations

import atexit
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar, cast

T = TypeVar("T")

_COMMAND = "from gateway_lab.offline.worker import serve; serve()"


class Worker:
    """One process that runs functions in the order given; a broken one is replaced by the next."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's
        )
        self._lock = threading.Lock()

    @property
    def is_alive(self) -> bool:
        """Whether it can take work."""
        return self._process.poll() is None

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run a picklable function there; the future holds its result or its error."""
        future: Future[T] = Future()
        threading.Thread(target=self._ask, args=(function, future), daemon=True).start()
        return future

    def _ask(self, function: Callable[[], T], future: Future[T]) -> None:
        try:
            with self._lock:
                pickle.dump(function, cast("BinaryIO", self._process.stdin), protocol=5)
                cast("BinaryIO", self._process.stdin).flush()
                result, error = pickle.load(cast("BinaryIO", self._process.stdout))  # noqa: S301
        except (OSError, EOFError, ValueError, pickle.PickleError) as broken:
            self.close()
            future.set_exception(broken)
        else:
            future.set_result(result) if error is None else future.set_exception(error)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not sent is of no use any more
                cast("BinaryIO", pipe).close()


def serve() -> None:
    """Run what comes in and answer, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not end up between two answers
    while True:
        try:
            function = pickle.load(incoming)  # noqa: S301 - from our own parent
        except EOFError:
            return
        pickle.dump(_answer(function), outgoing, protocol=5)
        outgoing.flush()


def _answer(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(), None
    except Exception as error:  # noqa: BLE001 - it is raised again where it was asked
        return None, error


_warm: list[Worker] = []
_warming = threading.Lock()


def warm_worker() -> Worker:
    """Return the worker of this process, started at the first call."""
    with _warming:
        if _warm and not _warm[0].is_alive:
            _warm.clear()
        if not _warm:
            _warm.append(Worker())
            atexit.register(_warm[0].close)
        return _warm[0]
