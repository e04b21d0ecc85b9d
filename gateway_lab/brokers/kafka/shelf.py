"""What was fetched and waits to be read, between the thread that fetches and the event loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from gateway_lab.brokers.kafka.watermark import Watermark
from gateway_lab.messages.message import Message

Read: TypeAlias = tuple[Watermark, int, Message, int]
"""A message that was read: of which partition, its offset, and how often it was read before."""


class Shelf:
    """A queue of messages that can also be searched; safe to use from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: deque[Read] = deque()

    def __len__(self) -> int:
        return len(self._reads)

    def put(self, reads: Iterable[Read]) -> None:
        """Put messages behind those that are there."""
        with self._lock:
            self._reads.extend(reads)

    def put_back(self, reads: Iterable[Read]) -> None:
        """Put messages before those that are there, but for those that are there already."""
        with self._lock:
            there = {(id(mark), offset) for mark, offset, _, _ in self._reads}
            new = [each for each in reads if (id(each[0]), each[1]) not in there]
            self._reads.extendleft(reversed(new))

    def take(self, limit: int) -> list[Read]:
        """Take up to `limit` messages from the front."""
        with self._lock:
            reads = self._reads
            if len(reads) <= limit:
                taken = list(reads)
                reads.clear()
            else:
                taken = [reads.popleft() for _ in range(limit)]
        return taken

    def remove(self, is_unwanted: Callable[[Watermark], bool]) -> list[Read]:
        """Take out all messages of some partitions."""
        with self._lock:
            unwanted = [each for each in self._reads if is_unwanted(each[0])]
            self._reads = deque(each for each in self._reads if not is_unwanted(each[0]))
        return unwanted
