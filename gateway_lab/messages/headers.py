"""Message headers: an ordered list of names and bytes, looked up without regard to case."""

from __future__ import annotations

from typing import TypeAlias

Headers: TypeAlias = tuple[tuple[str, bytes], ...]

CONTROL_PREFIX = "x-gw-"
"""Headers that begin so belong to the gateway: they never pass from a source to a target."""


def header_text(headers: Headers, name: str) -> str | None:
    """Return the last value of a header as text; None when absent or not UTF-8.

    Args:
        headers: The headers of a message.
        name: The name in lower case; ASCII case of the stored names does not matter.
    """
    for stored, value in reversed(headers):
        if stored.lower() == name:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
    return None
