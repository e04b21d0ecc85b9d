"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> int:
    """Return the count for a full run; a quick one (`make check`) takes its share of it."""
    return max(1, count * settings().max_examples // 100)
