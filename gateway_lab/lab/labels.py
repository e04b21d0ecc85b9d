"""Names as figures write them: nothing in them is markup, and none is longer than its place.

Plotly reads HTML and TeX in texts. A name from traffic, such as a channel's or a tenant's, must
neither become a link nor look like another, so what would be read as markup is escaped.
"""

from __future__ import annotations

import html

_KEPT_HEAD = 2 / 3
"""How much of the room of a name that is cut goes to its beginning."""


def safe(name: str) -> str:
    """Return a name that plotly shows as it is."""
    return html.escape(name, quote=False).replace("$", "&#36;")


def short(name: str, *, most: int) -> str:
    """Return a name that plotly shows as it is, cut in the middle where it is too long.

    Args:
        name: Any text.
        most: How many characters there is room for.
    """
    if len(name) <= most:
        return safe(name)
    head = int((most - 1) * _KEPT_HEAD)
    return safe(f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}")


def counted(number: int, one: str, more: str) -> str:
    """Return a number with its noun: `1 batch`, `1,200 batches`."""
    return f"{number:,} {one if number == 1 else more}"
