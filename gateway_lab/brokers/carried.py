"""The time of a message as a header, on protocols that have no place of their own for it."""

from __future__ import annotations

from datetime import UTC, datetime


def write_time(time: datetime) -> str:
    """Write a time for the header `x-gw-timestamp`: RFC 3339, microseconds."""
    return time.isoformat(timespec="microseconds")


def read_time(text: str) -> datetime | None:
    """Read what `write_time` wrote, or any RFC 3339 time; None if it is not one."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):  # such as the year 1, east of Greenwich
        return None
