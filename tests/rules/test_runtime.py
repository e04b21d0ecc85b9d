"""The functions behind the Python engine, where the random values of `agree` do not reach."""

from __future__ import annotations

import pytest

from gateway_lab.rules import runtime
from gateway_lab.rules.patterns import Wild, like_parts, regex_extract
from gateway_lab.rules.signatures import read_signatures


def test_a_sum_of_numbers_is_exact_whatever_the_order() -> None:
    assert runtime.sum_numbers([1e16, 1.0, -1e16]) == 1.0
    assert runtime.average([0.1] * 10) == 0.1


def test_a_sum_that_overflows_or_has_nothing_to_add_is_null() -> None:
    assert runtime.sum_numbers([1e308, 1e308]) is None
    assert runtime.sum_integers([2**63 - 1, 1]) is None
    assert runtime.sum_numbers([None]) is None
    assert runtime.average([]) is None


def test_integers_beyond_64_bits_may_be_on_the_way_of_a_sum() -> None:
    assert runtime.sum_integers([2**63 - 1, 1, -1]) == 2**63 - 1


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0.5, 1.0),
        (-0.5, -1.0),
        (2.5, 3.0),
        (0.49999999999999994, 0.0),
        (4503599627370497.0, 4503599627370497.0),
    ],
)
def test_halves_are_rounded_away_from_zero(value: float, rounded: float) -> None:
    assert runtime.round_away(value) == rounded


def test_counting_leaves_null_out() -> None:
    assert runtime.count([1, None, 0, False]) == 3


def test_a_like_pattern_is_cut_into_texts_and_wild_cards() -> None:
    assert like_parts("a!%b%%_", "!") == ("a%b", Wild.ANY, Wild.ONE)
    assert like_parts("") == ()


def test_a_group_that_took_no_part_is_empty() -> None:
    assert regex_extract("(x)?a", 1)("a") == ""
    assert regex_extract("x", 0)("a") == ""


def test_a_signature_without_parameters_takes_nothing() -> None:
    (signature,) = read_signatures("-> integer")
    assert signature.expand(0) == ()
    assert signature.expand(1) is None
