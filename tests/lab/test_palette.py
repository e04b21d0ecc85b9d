from __future__ import annotations

from gateway_lab.lab.palette import COLOURS, FIXED, colours, faint


def test_a_colour_does_not_depend_on_the_order_of_the_names() -> None:
    assert colours(["low", "high"]) == colours(["high", "low", "high"])


def test_what_goes_wrong_always_looks_the_same() -> None:
    assert colours(["dead_letter"])["dead_letter"] == colours(["a", "b"])["dead_letter"]
    assert colours(["a", "drop"])["a"] == COLOURS[0]


def test_there_are_colours_for_any_count_of_names() -> None:
    names = [f"t{number:03}" for number in range(100)]
    chosen = colours(names)
    assert set(chosen) == {*names, *FIXED}
    assert chosen["t000"] == chosen["t012"]


def test_a_faint_colour_lets_through_what_is_behind_it() -> None:
    assert faint("#ff8000", alpha=0.5) == "rgba(255,128,0,0.5)"


def test_what_was_there_keeps_its_colour_beside_what_is_new() -> None:
    before = colours(["high", "low"])
    now = colours(["audit", "high", "low"], before=["high", "low"])
    assert {name: now[name] for name in before} == before
    assert now["audit"] not in before.values()
