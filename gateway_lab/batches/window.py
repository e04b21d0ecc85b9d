"""Batches: which run of messages of one source partition belongs together.

A batch is a run of consecutive messages of one partition. It closes with its `size`-th message,
or before the first message whose time is `every` or more after the time of the batch's first one.
A message's time is its timestamp or, where it has none, when it was received. A timer closes an
idle batch `every` after its first message was received; a window reads no clock, so whoever has
one asks `expired`, and without one the next message tells that the timer would have rung. Times
are µs since 1970, UTC.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, Generic, TypeVar

T = TypeVar("T")

GRACE_S: Final = 0.1
"""How late a timer rings: what was received before it is on its way then."""


class Window(Generic[T]):
    """The open batch of one source partition, one message after the other."""

    def __init__(self, *, size: int, every_us: int) -> None:
        self._size, self._every_us = size, every_us
        self._due_us = self._rings_us = 0
        self._messages: list[T] = []

    def __len__(self) -> int:
        """Count the messages of the open batch."""
        return len(self._messages)

    @property
    def rings_us(self) -> int | None:
        """When the timer of the open batch rings; None: nothing is open."""
        return self._rings_us if self._messages else None

    def push(self, message: T, time_us: int, received_us: int) -> tuple[T, ...] | None:
        """Take the next message; return the batch that it completes or comes too late for.

        Args:
            message: Anything; kept and given back.
            time_us: Its timestamp, else when it was received.
            received_us: When it was received; does not descend.
        """
        closed = self.flush() if self._is_late(time_us, received_us) else None
        if not self._messages:
            self._due_us, self._rings_us = time_us + self._every_us, received_us + self._every_us
        self._messages.append(message)
        return self.flush() if len(self._messages) >= self._size else closed

    def expired(self, now_us: int) -> tuple[T, ...] | None:
        """Close and return the open batch if its timer has rung, else None."""
        return self.flush() if now_us >= self._rings_us else None

    def flush(self) -> tuple[T, ...] | None:
        """Close and return the open batch whatever its age; None where nothing is open."""
        closed, self._messages = tuple(self._messages), []
        return closed or None

    def _is_late(self, time_us: int, received_us: int) -> bool:
        return time_us >= self._due_us or received_us >= self._rings_us


class Timeline:
    """The messages of one partition by their times: cut as often as wanted, quickly.

    Args:
        times_us: Each message's timestamp, else when it was received, in the partition's order.
        received_us: When each was received.
    """

    def __init__(self, times_us: Iterable[int], received_us: Iterable[int]) -> None:
        self.times_us, self.received_us = array("q", times_us), array("q", received_us)
        self._latest = array("q", accumulate(self.times_us, max))
        self._last = array("q", accumulate(self.received_us, max))

    def cut(self, *, size: int, every_us: int) -> Iterator[tuple[int, int]]:
        """Cut it into batches, as a `Window` would one by one.

        Args:
            size: The most messages of a batch.
            every_us: How long after its first message a batch ends.

        Yields:
            (index of the first message, index behind the last) of each batch, in order and
            without gaps; the last one is what a window would still hold open.
        """
        start, times, received = 0, self.times_us, self.received_us
        while start < len(times):
            most = min(start + size, len(times))
            late = _reached(times, self._latest, times[start] + every_us, start, most)
            end = _reached(received, self._last, received[start] + every_us, start, late)
            yield start, end
            start = end


def _reached(values: array[int], highest: array[int], limit: int, start: int, most: int) -> int:
    """Find the first value behind `start` that is `limit` or more; else `most`.

    Args:
        values: In any order.
        highest: For each the highest so far, so that most answers need no look at each value.
        limit: What to reach.
        start: Where to begin, exclusive.
        most: Where to end.
    """
    if highest[start] < limit:
        return bisect_left(highest, limit, start + 1, most)
    return next((at for at in range(start + 1, most) if values[at] >= limit), most)
