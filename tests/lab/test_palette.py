from __future__ import annotations

import pytest

from gateway_lab.lab.palette import CARD, COLOURS, FIXED, INK, NODE, ON_CARD, colours, faint

LIGHT, DARK = "#ffffff", "#111111"
"""The pages of JupyterLab's themes."""


def luminance(colour: str) -> float:
    """Return the relative luminance as WCAG 2 has it."""
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    parts = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(colour: str, ground: str) -> float:
    """Return the contrast as WCAG 2 has it: from 1 to 21."""
    darker, lighter = sorted((luminance(colour), luminance(ground)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("ground", [LIGHT, DARK])
@pytest.mark.parametrize("colour", sorted({*COLOURS, *FIXED.values(), NODE}))
def test_what_is_drawn_stands_out_from_a_light_and_from_a_dark_page(
    colour: str, ground: str
) -> None:
    assert contrast(colour, ground) >= 3


def test_text_is_as_readable_on_a_light_page_as_on_a_dark_one() -> None:
    """No colour has more than 4.34 to both."""
    assert min(contrast(INK, LIGHT), contrast(INK, DARK)) >= 4.25


def test_text_at_the_pointer_is_readable_and_so_are_the_colours_beside_it() -> None:
    assert contrast(ON_CARD, CARD) >= 7
    assert min(contrast(colour, CARD) for colour in COLOURS) >= 2.5


def test_no_two_names_look_the_same_before_there_are_more_than_colours() -> None:
    assert len({*COLOURS, *FIXED.values()}) == len(COLOURS) + len(set(FIXED.values()))


def test_a_colour_does_not_depend_on_the_order_of_the_names() -> None:
    assert colours(["low", "high"]) == colours(["high", "low", "high"])


def test_what_goes_wrong_always_looks_the_same() -> None:
    assert colours(["dead_letter"])["dead_letter"] == colours(["a", "b"])["dead_letter"]
    assert colours(["a", "drop"])["a"] in COLOURS


def test_names_differ_while_there_are_colours() -> None:
    chosen = colours(f"t{number}" for number in range(len(COLOURS)))
    assert {colour for name, colour in chosen.items() if name not in FIXED} == {*COLOURS}


def test_a_name_keeps_its_colour_when_another_is_added() -> None:
    less, more = colours(["bulk", "urgent"]), colours(["bulk", "recovery", "urgent"])
    assert less == {name: more[name] for name in less}


def test_there_are_colours_for_any_count_of_names() -> None:
    names = [f"t{number:03}" for number in range(100)]
    chosen = colours(names)
    assert set(chosen) == {*names, *FIXED}
    assert set(chosen.values()) == {*COLOURS, *FIXED.values()}


def test_a_faint_colour_lets_through_what_is_behind_it() -> None:
    assert faint("#ff8000", alpha=0.5) == "rgba(255,128,0,0.5)"


def test_what_was_there_keeps_its_colour_beside_what_is_new() -> None:
    before = colours(["high", "low"])
    now = colours(["audit", "high", "low"], before=["high", "low"])
    assert {name: now[name] for name in before} == before
    assert now["audit"] not in before.values()
