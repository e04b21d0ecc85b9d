"""Looks from a thread whether user code blocks the event loop, and says whose.

It costs nothing for each message: a few times a second the thread asks the loop for a sign of life.
Without one it looks at what the loop's thread does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType
from typing import Final, TypeAlias

BLOCKED_S: Final = 1.0
"""How long the loop may be without a sign of life."""

_LOOK_S: Final = 0.25

_LOG: Final = logging.getLogger("gateway_lab.gateway")

Tell: TypeAlias = Callable[[FrameType], str]
"""Given the frame of the code that calls handlers, counts the blockage and names the handler."""


class Watchdog(threading.Thread):
    """Watches one loop.

    Attributes:
        callers: The code that calls handlers, and who is told if it is found in a blocked loop.
        users: How many want it to watch.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="gateway-lab-watchdog", daemon=True)
        self.callers: dict[CodeType, Tell] = {}
        self.users = 0
        self._loop, self._watched = loop, threading.get_ident()
        self._sign, self._end = threading.Event(), threading.Event()
        self._named: set[str] = set()

    def run(self) -> None:
        """Look until stopped."""
        while not self._end.wait(_LOOK_S):
            self._sign.clear()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._sign.set)
            while not self._sign.wait(BLOCKED_S):
                self._tell()

    def stop(self) -> None:
        """End it."""
        self._end.set()
        self._sign.set()

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - its public name
        stack = [each for each, _ in traceback.walk_stack(frame)][::-1]
        for depth, each in enumerate(stack):
            if tell := self.callers.get(each.f_code):
                self._say(tell(each), stack[depth + 1 :])
                return

    def _say(self, handler: str, stack: list[FrameType]) -> None:
        """Say it and where, once: how often is in the books."""
        if handler in self._named:
            return
        self._named.add(handler)
        where = " < ".join(_place(each) for each in reversed(stack))
        _LOG.error(
            "the handler %s blocks the event loop: nothing else moves; await what it waits for, "
            "or write it as a plain function",
            handler,
            extra={"reason": where},
        )


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_name} ({code.co_filename}:{frame.f_lineno})"


_DOGS: Final[dict[asyncio.AbstractEventLoop, Watchdog]] = {}


@contextmanager
def watched(code: CodeType, tell: Tell) -> Iterator[None]:
    """Watch the loop that runs here, as long as anybody wants it.

    Args:
        code: Calls handlers.
        tell: See `Tell`.
    """
    loop = asyncio.get_running_loop()
    dog = _DOGS.get(loop)
    if dog is None:
        dog = _DOGS[loop] = Watchdog(loop)
        dog.start()
    dog.callers[code] = tell
    dog.users += 1
    try:
        yield
    finally:
        dog.users -= 1
        if not dog.users:
            _DOGS.pop(loop).stop()
