"""What a replay has worked out of a capture, kept while there is room.

Columns, combinations and masks are kept for the next replay of the same messages: an edit of
one route then costs milliseconds. Keys say everything that the value depends on (file, event
type, field, canonical condition), so nothing here is ever out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar, cast

import polars as pl


class Sized(Protocol):
    """A value that knows what it holds."""

    @property
    def size_bytes(self) -> int:
        """Memory held."""


T = TypeVar("T", bound=Sized | pl.Series)

MEMORY_BYTES = 768 * 1024 * 1024
"""Room for kept values; ten million messages in three routing fields need about 100 MB."""


class Cache:
    """Values by key, the least recently used forgotten first; safe in threads."""

    def __init__(self, limit_bytes: int = MEMORY_BYTES) -> None:
        self._limit, self._held = limit_bytes, 0
        self._values: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """How much is kept now."""
        return self._held

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, made now if it is not kept.

        Two threads that miss at once both make it; one result is kept.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return cast("T", self._values[key][0])
        value = make()
        self.put(key, value)
        return value

    def put(self, key: Hashable, value: Sized | pl.Series) -> None:
        """Keep a value that was made anyway; one that is kept already stays."""
        size_bytes = _size_bytes(value)
        with self._lock:
            if size_bytes > self._limit or key in self._values:
                return
            self._values[key] = value, size_bytes
            self._held += size_bytes
            while self._held > self._limit:
                _, (_, freed) = self._values.popitem(last=False)
                self._held -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._held = 0


def _size_bytes(value: Sized | pl.Series) -> int:
    return int(value.estimated_size()) if isinstance(value, pl.Series) else value.size_bytes


CACHE = Cache()
"""One for the process: two scans of one file share what they know."""
