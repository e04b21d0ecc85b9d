"""A colour a name, the same in every figure of a config.

Colours follow the sorted names of all targets of the config, never the order of the data, so that
a target keeps its colour from one figure, edit or notebook to the next. Where a config is compared
with another, the targets of the one before keep theirs, and new ones take what comes after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Readable on white, told apart by colour-blind readers as far as twelve colours can be.
COLOURS = (
    "#4269d0",
    "#efb118",
    "#3ca951",
    "#a463f2",
    "#6cc5b0",
    "#ff8ab7",
    "#9c6b4e",
    "#97bbf5",
    "#d08c1c",
    "#2a7f62",
    "#7a4fb5",
    "#5f8ea0",
)
FIXED = {
    "dead_letter": "#c0392b",
    "dead_lettered": "#c0392b",
    "invalid": "#e2725b",
    "unmatched": "#8d99ae",
    "drop": "#b8bec8",
    "dropped": "#b8bec8",
    "undecided": "#d9a441",
}
INK = "#2f3e4e"
QUIET = "#c9d1da"
NODE = "#8d99ae"


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
