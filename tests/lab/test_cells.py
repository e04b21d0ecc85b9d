from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import pytest

from gateway_lab.lab.cells import plain, text


class Word(StrEnum):
    A = "a"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (1234567, "1,234,567"),
        (1234.5678, "1,235"),
        (0.25, "0.25"),
        ("x", "x"),
        (b"\xff\x00a", "\\xff\x00a"),
        (["a", 1], "a, 1"),
        ({"a": None}, '{"a": null}'),
        (datetime(2026, 3, 2, tzinfo=UTC), "2026-03-02T00:00:00+00:00"),
        (Word.A, "a"),
    ],
)
def test_a_value_is_written_for_people(value: object, cell: str) -> None:
    assert text(value) == cell


def test_what_json_lacks_becomes_text_at_any_depth() -> None:
    assert plain({1: [b"a", (Word.A,)]}) == {"1": ["a", ["a"]]}
