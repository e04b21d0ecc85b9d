"""The regex dialect: both engines and Python's `re` agree, and what they do not share is refused."""

from __future__ import annotations

import re
from contextlib import suppress

import polars as pl
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.events.regex import RegexError, compile_search, translate

ATOMS = [
    r"a",
    r"b",
    r".",
    r"\d",
    r"\w",
    r"\s",
    r"\W",
    r"\D",
    r"\S",
    r"[ab]",
    r"[^ab]",
    r"[\d_]",
    r"[^\W]",
    r"(a|b)",
    r"(?:ab)",
    r"\.",
    r"é",
    r"[à-ü]",
    r"\n",
    r"-",
    r"[a-c-]",
    r"[&~#]",
    r"\x41",
]
QUANTIFIERS = ["", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "??", "{1,2}?"]
TEXTS = ["", "a", "ab", "a\n", "\n", "t1\n", "aé", "٣", "1", "a.b", "\x0b", "\x1c", "ü-", "\u2028"]
TEXTS += ["aabb", "_", "A", "\x00", "\x85", "\xa0", "&#", "😀"]

pieces = st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)).map("".join)
patterns = st.lists(st.one_of(pieces, st.sampled_from(["^", "$", "|"])), max_size=5).map("".join)


def rust(pattern: str, texts: list[str]) -> list[bool]:
    return pl.Series(texts, dtype=pl.String).str.contains(pattern, strict=True).to_list()


@given(pattern=patterns, extra=st.text(max_size=6))
def test_both_engines_find_what_python_finds_with_ascii_classes(pattern: str, extra: str) -> None:
    texts = [*TEXTS, extra]
    reference = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    search = compile_search(pattern)
    expected = [bool(reference.search(text)) for text in texts]
    assert [bool(search(text)) for text in texts] == expected
    assert rust(translate(pattern), texts) == expected


@given(pattern=patterns)
def test_whole_means_the_whole_text(pattern: str) -> None:
    reference = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    expected = [bool(reference.fullmatch(text)) for text in TEXTS]
    whole = translate(pattern, whole=True)
    assert [bool(re2.search(whole, text)) for text in TEXTS] == expected
    assert rust(whole, TEXTS) == expected


def test_a_dollar_does_not_stand_before_a_final_newline() -> None:
    assert not compile_search("^t1$")("t1\n")
    assert compile_search("^t1$")("t1")


def test_a_pattern_is_searched_for_anywhere() -> None:
    assert compile_search("b")("abc")


@pytest.mark.parametrize(
    ("pattern", "problem", "start"),
    [
        (r"a(?=b)", "look-ahead is", 1),
        (r"(?<!a)b", "look-behind and named groups are", 0),
        (r"(?P<n>a)", "named groups are", 0),
        (r"(?i)a", "inline flags are", 0),
        (r"(a)\1", "back-references are", 3),
        (r"\bend", r"\b is not", 0),
        (r"[\b]", r"\b is not", 1),
        (r"ab\p{L}", r"\p{…} is not", 2),
        (r"\q", r"\q is not", 0),
        (r"a\Z", r"\Z is not", 1),
        (r"a++", "quantifiers do not follow", 1),
        (r"a**", "quantifiers do not follow", 1),
        (r"*a", "nothing to repeat", 0),
        (r"^*", "nothing to repeat", 1),
        (r"x{,3}", "no count", 1),
        (r"x{3,1}", "the larger count comes second", 1),
        (r"(a{100}){11}", "repeats 1100 times", 8),
        (r"[z-a]", "runs backwards", 1),
        (r"[\d-z]", "a range goes", 1),
        (r"[a-", "a range goes", 1),
        (r"[]", "an empty class", 0),
        (r"[a", "never closed", 0),
        (r"[[:alpha:]]", "POSIX", 1),
        (r"a(b", "never closed", 1),
        (r"a)", "closes nothing", 1),
        ("a\\", "at the end", 1),
        ("a\ud800", "surrogate", 1),
        (r"\u{110000}", "surrogate", 0),
        ("(" * 60 + ")" * 60, "open groups", 50),
        ("a" * 1001, "at most 1000 characters", 1000),
        ("[^a]{1000}" * 6, "too large", 0),
    ],
)
def test_what_is_outside_the_dialect_is_refused_with_its_place(
    pattern: str, problem: str, start: int
) -> None:
    with pytest.raises(RegexError, match=re.escape(problem)) as caught:
        translate(pattern)
    assert caught.value.start == start
    assert caught.value.end > start


@given(st.text(alphabet=r"ab()[]{}^$.*+?|\-,1:<=!di", max_size=12))
def test_any_text_is_translated_into_what_both_engines_read_or_refused(pattern: str) -> None:
    with suppress(RegexError):
        rust(translate(pattern), ["a"])
        compile_search(pattern)


@pytest.mark.parametrize("item", [r"[^\n]", r"\W", r"\S", ".", "[à-ü]", r"[^\u{1F600}]", "(?:a|b)"])
def test_the_largest_pattern_that_is_taken_compiles_in_both_engines(item: str) -> None:
    pattern = ""
    for _ in range(30):
        try:
            translate(pattern + item + "{1000}")
        except RegexError:
            break
        pattern += item + "{1000}"
    assert pattern
    assert compile_search(pattern)("x") is None
    assert rust(translate(pattern), ["x"]) == [False]


def test_a_pattern_that_is_catastrophic_elsewhere_takes_linear_time() -> None:
    assert not compile_search("^(a+)+$")("a" * 50_000 + "b")
