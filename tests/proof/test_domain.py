from __future__ import annotations

import math
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.events.event_type import Kind
from gateway_lab.proof.domain import (
    Cover,
    Cuts,
    Domain,
    between,
    complement,
    difference,
    each,
    everything,
    following,
    intersection,
    union,
    values,
    with_prefix,
)

NUMBERS = range(12)
CUTS = st.lists(st.sampled_from(NUMBERS), unique=True).map(lambda cuts: tuple(sorted(cuts)))
TEXTS = ["", "a", "a\0", "ab", "ab\0c", "abc", "ac", "b", "\ud7ff", "\ue000", "\U0010ffff"]


def members(cuts: Cuts) -> set[int]:
    return {number for number in NUMBERS if number in Domain(cuts, null=False)}


@given(a=CUTS, b=CUTS)
def test_operations_on_cuts_are_operations_on_sets(a: Cuts, b: Cuts) -> None:
    assert members(intersection(a, b)) == members(a) & members(b)
    assert members(difference(a, b)) == members(a) - members(b)
    assert members(union(a, b)) == members(a) | members(b)
    assert members(complement(a, -1)) == set(NUMBERS) - members(a)


@given(a=CUTS, b=CUTS)
def test_results_are_sorted_and_without_empty_runs(a: Cuts, b: Cuts) -> None:
    for cuts in (intersection(a, b), difference(a, b), union(a, b), complement(a, -1)):
        assert all(low < high for low, high in pairwise(cuts))


@given(a=CUTS, b=CUTS)
def test_a_cover_knows_what_it_has_and_what_is_left(a: Cuts, b: Cuts) -> None:
    cover = Cover(a)
    assert cover.rest(b) == difference(b, a)
    assert cover.has_all(b) == (not difference(b, a))


@given(a=CUTS, b=CUTS, null_a=st.booleans(), null_b=st.booleans())
def test_null_is_one_more_value_of_a_domain(a: Cuts, b: Cuts, null_a: bool, null_b: bool) -> None:
    one, two = Domain(a, null_a), Domain(b, null_b)
    assert (None in (one & two)) == (null_a and null_b)
    assert (None in (one | two)) == (null_a or null_b)
    assert (None in (one - two)) == (null_a and not null_b)
    assert one.meets(two) == bool(one & two)
    assert one.is_within(two) == (not one - two)


@given(prefix=st.sampled_from(TEXTS), text=st.sampled_from(TEXTS), more=st.sampled_from(TEXTS))
def test_a_prefix_is_the_texts_that_begin_so(prefix: str, text: str, more: str) -> None:
    domain = Domain(with_prefix(prefix), null=False)
    assert prefix + more in domain
    assert (text in domain) == text.startswith(prefix)


@pytest.mark.parametrize("value", ["", "a", 0, -7, 0.0, -0.0, 1.5, sys.float_info.max])
def test_a_single_value_is_a_set_of_one(value: object) -> None:
    assert each(values([value]), 5) == [value]
    assert each(values([value, value]), 5) == [value]


def test_nothing_lies_between_a_value_and_the_following() -> None:
    assert following("a") == "a\0"
    assert following(1.0) == math.nextafter(1.0, 2.0)
    assert following(7) == 8


def test_neighbours_become_one_run() -> None:
    assert values([3, 1, 2]) == (1, 4)
    assert each((1, 4), 3) == [1, 2, 3]
    assert each((1, 5), 3) is None
    assert each(("a",), 3) is None


def test_the_ends_of_each_kind_are_in_it() -> None:
    assert 2**63 - 1 in everything(Kind.INTEGER)
    assert 2**63 not in everything(Kind.INTEGER)
    assert sys.float_info.max in everything(Kind.NUMBER)
    assert "\U0010ffff" * 3 in everything(Kind.TEXT)
    assert each(everything(Kind.BOOLEAN).cuts, 9) == [0, 1]


def test_bounds_that_exclude_each_other_leave_nothing() -> None:
    assert between(5, 3) == ()
    assert between("a", None) == ("a",)
