"""Places: line and column of keys and values, and of characters inside rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.config.places import DocumentPath, Origin
from gateway_lab.config.yaml_text import read_text

WHEN: DocumentPath = ("when",)


def origin(text: str) -> Origin:
    reading = read_text(text)
    assert reading.problems == []
    return reading.origin("f.yaml", text)


def test_keys_and_values_have_their_own_places() -> None:
    places = origin("a: 1\nb:\n  - x\n  - {c: d}\n")
    assert places.of_value(("b", 1, "c")) == (4, 9)
    assert places.of_key(("b", 1, "c")) == (4, 6)
    assert places.of_value(("b",)) == (3, 3)


def test_what_has_no_place_is_where_the_nearest_thing_around_it_is() -> None:
    places = origin("a:\n  b: 1\n")
    assert places.of_value(("a", "missing", "more")) == (2, 3)
    assert places.of_value(("missing",)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "offset", "place"),
    [
        ("when: a > b\n", 4, (1, 11)),
        ('when: "a > b"\n', 4, (1, 12)),
        ("when: 'a > ''x'' b'\n", 8, (1, 18)),
        ('when: "\\u0061 > \\"b\\""\n', 5, (1, 19)),
        ("when: |\n  a >\n  b\n", 4, (3, 3)),
        ("when: |2\n    a >\n  b\n", 6, (1, 7)),
        ("when: >\n  a >\n  b\n", 4, (1, 7)),
        ("when: a >\n  b\n", 4, (1, 7)),
        ("when: a > b\n", 99, (1, 12)),
    ],
)
def test_an_offset_in_a_rule_has_a_place(text: str, offset: int, place: tuple[int, int]) -> None:
    assert origin(text).of_value(WHEN, offset) == place


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), st.data())
def test_a_quoted_text_is_found_character_by_character(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text) - 1))
    single = "when: '" + text.replace("'", "''") + "'\n"
    line, column = origin(single).of_value(WHEN, offset)
    assert (line, single[column - 1]) == (1, text[offset])
