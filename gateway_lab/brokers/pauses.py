"""How long to wait before a connector tries to connect again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

FIRST_S: Final = 0.05
LONGEST_S: Final = 2.0
"""A broker that is back is found again within this time."""


def pauses() -> Iterator[float]:
    """Give seconds to wait before each next try: growing, with full jitter, for ever."""
    longest = FIRST_S
    while True:
        yield random.uniform(0, longest)  # noqa: S311 - it only spreads load
        longest = min(2 * longest, LONGEST_S)
