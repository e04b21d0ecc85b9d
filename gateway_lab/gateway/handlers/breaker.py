"""Stops a source whose handler fails for too many messages, before all of them are dead letters.

A message that fails is one that comes to a dead letter because of its handler. One that the handler
rejects by its own wish has not failed, and one that is not of the handler's type is invalid.
"""

from __future__ import annotations

from collections import deque
from typing import Final

LOOKED_AT: Final = 1_000
"""Messages that are looked at: the latest that a handler had done with."""

LEAST: Final = 100
"""Failures among them at least: fewer say little, and are soon sent back."""

PART: Final = 5
"""One of so many may fail."""


class Breaker:
    """Counts what handlers of one source had done with last."""

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=LOOKED_AT)

    def passed(self) -> None:
        """Count a message that did not fail."""
        self._failed.append(False)

    def failed(self) -> str | None:
        """Count one that did; return why the source is to stop, None while it is not."""
        self._failed.append(True)
        failures = self._failed.count(True)
        if failures < LEAST or PART * failures <= len(self._failed):
            return None
        return f"its handler failed for {failures} of the last {len(self._failed):,} messages"
