"""A colour a name, the same in every figure of a config.

Colours follow the sorted names of all targets of the config, never the order of the data, so that
a target keeps its colour from one figure, edit or notebook to the next. Where a config is compared
with another, the targets of the one before keep theirs, and new ones take what comes after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Each has a contrast of 3 or more to a white and to a dark page, and they were chosen to be told
# apart by colour-blind readers as far as twelve colours can be, the first six best.
COLOURS = (
    "#7159df",
    "#b48f2d",
    "#427134",
    "#c16dfe",
    "#2da3af",
    "#d94b82",
    "#945263",
    "#5079b0",
    "#809d65",
    "#1e8d82",
    "#795793",
    "#6593d4",
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
    kept = sorted(set(before) - FIXED.keys())
    chosen = [*kept, *sorted(set(names) - FIXED.keys() - set(kept))]
    cycle = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(chosen)}
    return FIXED | cycle


def faint(colour: str, *, alpha: float = 0.4) -> str:
    """Return `#rrggbb` as an `rgba(…)` that lets what is behind it through."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
