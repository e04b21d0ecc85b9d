"""Looks from a thread whether user code blocks the event loop, and says whose.

It costs nothing for each message: a few times a second the thread asks the loop for a sign of life.
Without one it looks at what the loop's thread does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final

BLOCKED_S: Final = 1.0
"""How long one handler may run without giving the loop a turn."""

_LOOK_S: Final = 0.25

_LOG: Final = logging.getLogger("gateway_lab.gateway")


@dataclass(frozen=True, slots=True)
class Caller:
    """Code that calls handlers.

    Attributes:
        code: It is looked for among the frames of a loop that gives no sign of life.
        job: Given its frame, returns what it is at, the same object as long as it is.
        blame: Given its frame, counts the blockage and names the handler and its source.
    """

    code: CodeType
    job: Callable[[FrameType], object]
    blame: Callable[[FrameType], tuple[str, str]]


class Watchdog(threading.Thread):
    """Watches one loop.

    Attributes:
        users: How many want it to watch.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, caller: Caller) -> None:
        super().__init__(name="gateway-lab-watchdog", daemon=True)
        self.users = 0
        self._loop, self._caller, self._watched = loop, caller, threading.get_ident()
        self._sign, self._end = threading.Event(), threading.Event()
        self._told: set[str] = set()

    def run(self) -> None:
        """Look until stopped."""
        while not self._end.wait(_LOOK_S):
            self._sign.clear()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._sign.set)
            self._wait_for_a_sign()

    def stop(self) -> None:
        """End it."""
        self._end.set()
        self._sign.set()

    def _wait_for_a_sign(self) -> None:
        """Blame whoever is at one job all the time; a loop that is only busy is at many."""
        job, since = None, 0.0
        while not self._sign.wait(_LOOK_S) and not self._end.is_set():
            stack = self._stack()
            found = self._caller.job(stack[0]) if stack else None
            if found is not job:
                job, since = found, time.monotonic()
            elif stack and time.monotonic() - since >= BLOCKED_S:
                self._tell(*self._caller.blame(stack[0]), stack[1:])
                since = time.monotonic()

    def _stack(self) -> list[FrameType]:
        """Return the frames of the loop's thread from the caller of a handler on inwards."""
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - its public name
        stack = [each for each, _ in traceback.walk_stack(frame)]
        codes = [each.f_code for each in stack]
        if self._caller.code not in codes:
            return []
        return stack[codes.index(self._caller.code) :: -1]

    def _tell(self, handler: str, source: str, stack: list[FrameType]) -> None:
        """Say it and where, once: how often is in the books."""
        if handler in self._told:
            return
        self._told.add(handler)
        theirs = [each for each in reversed(stack) if not _is_between(each)]
        where = " < ".join(map(_place, theirs))
        _LOG.error(
            "the handler %s blocks the event loop: nothing else moves; await what it waits for, "
            "or write it as a plain function",
            handler,
            extra={"source": source, "reason": where},
        )


def _is_between(frame: FrameType) -> bool:
    """Say whether code only calls what users wrote."""
    name = str(frame.f_globals.get("__name__", ""))
    return name.startswith(("gateway_lab.gateway.", "fast_depends.", "faststream."))


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_name} ({code.co_filename}:{frame.f_lineno})"


_DOGS: Final[dict[asyncio.AbstractEventLoop, Watchdog]] = {}


@contextmanager
def watched(caller: Caller) -> Iterator[None]:
    """Watch the loop that runs here, as long as anybody wants it; all have one caller."""
    loop = asyncio.get_running_loop()
    dog = _DOGS.get(loop)
    if dog is None:
        dog = _DOGS[loop] = Watchdog(loop, caller)
        dog.start()
    dog.users += 1
    try:
        yield
    finally:
        dog.users -= 1
        if not dog.users:
            _DOGS.pop(loop).stop()
