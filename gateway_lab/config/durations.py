"""Durations as a config writes them: a whole number and its unit, such as `200ms`."""

from __future__ import annotations

_MICROSECONDS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def duration_us(text: str) -> int:
    """Return the microseconds of a duration that the model accepted."""
    unit = text.lstrip("0123456789")
    return int(text[: -len(unit)]) * _MICROSECONDS[unit]
