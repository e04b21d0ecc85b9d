"""A colour a name, the same in every figure of a config.

A colour follows from the name itself, never from the order of the data; only where two names would
share one, the later in the alphabet takes the next that is free. So a target keeps its colour from
one figure or notebook to the next, and nearly always when others are added or removed. Where a
config is compared with another, the targets of the one before keep theirs for certain.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from zlib import crc32

# Each has a contrast of 3 or more to a white and to a dark page, and they were chosen to be told
# apart by colour-blind readers as far as twelve colours can be. Their order is such that the
# targets of the examples get colours far apart.
COLOURS = (
    "#5079b0",
    "#b48f2d",
    "#427134",
    "#945263",
    "#1e8d82",
    "#d94b82",
    "#809d65",
    "#c16dfe",
    "#6593d4",
    "#795793",
    "#2da3af",
    "#7159df",
)
FIXED = {
    "dead_letter": "#c0392b",
    "dead_lettered": "#c0392b",
    "invalid": "#e2725b",
    "unmatched": "#8492a6",
    "drop": "#929292",
    "dropped": "#929292",
    "undecided": "#b98a1e",
}
INK = "#6e7b8b"
"""Text on a page whose colour is not known: as dark on white as it is light on a dark page."""
NODE = "#8492a6"
CLEAR = "rgba(0,0,0,0)"
"""The ground of figures: the page's own."""
CARD = "#15191f"
"""The ground of what lies above a figure, such as the text at the pointer."""
ON_CARD = "#f3f5f7"


def colours(names: Iterable[str], *, before: Iterable[str] = ()) -> Mapping[str, str]:
    """Return the colour of each name; what went wrong or nowhere has a fixed one.

    Args:
        names: What there is.
        before: What there was; it keeps its colours.
    """
    places: dict[str, int] = {}
    for group in (before, names):
        for name in sorted(set(group) - FIXED.keys() - places.keys()):
            places[name] = _free_place(name, {*places.values()})
    return FIXED | {name: COLOURS[place] for name, place in places.items()}


def _free_place(name: str, taken: Container[int]) -> int:
    """Return the place that a name has by itself, or the next that is free, while there is one."""
    own = crc32(name.encode())
    places = [(own + step) % len(COLOURS) for step in range(len(COLOURS))]
    return next((place for place in places if place not in taken), places[0])


def faint(colour: str, *, alpha: float = 0.4) -> str:
    """Return `#rrggbb` as an `rgba(…)` that lets what is behind it through."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
