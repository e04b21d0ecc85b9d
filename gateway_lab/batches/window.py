"""Batches: which run of messages of one source partition belongs together.

A batch is a run of consecutive messages of one partition. It closes with its `size`-th message,
or before the first message whose time is `every` or more after the time of the batch's first one.
A message's time is its timestamp or, where it has none, when it was received. A timer closes an
idle batch `every` after its first message was received; a window reads no clock, so whoever has
one asks `expired`, and without one the next message tells that the timer would have rung. Times
are µs since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


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


def bounds(
    times_us: Sequence[int], received_us: Sequence[int], *, size: int, every_us: int
) -> Iterator[tuple[int, int]]:
    """Cut the messages of one partition into batches, as a `Window` would one by one.

    Args:
        times_us: Each message's timestamp, else when it was received, in the partition's order.
        received_us: When each was received.
        size: The most messages of a batch.
        every_us: How long after its first message a batch ends.

    Yields:
        (index of the first message, index behind the last) of each batch, in order and without
        gaps; the last one is what a window would still hold open.
    """
    start = 0
    while start < len(times_us):
        due, rings = times_us[start] + every_us, received_us[start] + every_us
        most = min(start + size, len(times_us))
        later = range(start + 1, most)
        end = next((at for at in later if times_us[at] >= due or received_us[at] >= rings), most)
        yield start, end
        start = end
