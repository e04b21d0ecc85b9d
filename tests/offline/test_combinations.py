from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.offline import combinations
from gateway_lab.offline.combinations import Combined, combine, encode

TEXTS = st.lists(st.none() | st.sampled_from(["", "a", "b", "é", "A"]), max_size=30)


@given(values=TEXTS)
def test_a_column_of_codes_gives_its_values_back(values: list[str | None]) -> None:
    column = encode(pl.Series(values, dtype=pl.String))
    assert column.codes is not None
    assert column.rows.to_list() == values


@pytest.mark.parametrize("size", [1, 2, 256, 257, 65_536])
def test_as_many_values_as_a_code_type_holds_are_numbered(size: int) -> None:
    column = encode(pl.Series(list(range(size)) * 2))
    assert column.rows.to_list() == list(range(size)) * 2


def test_a_column_with_too_many_values_is_held_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combinations, "FEW_VALUES", 3)
    assert encode(pl.Series([1, 2, 3, 4])).codes is None
    assert encode(pl.Series([1, 2, 3, 3])).codes is not None


def test_minus_zero_stays_minus_zero() -> None:
    column = encode(pl.Series([0.0, -0.0, 0.0]))
    assert [str(value) for value in column.rows] == ["0.0", "-0.0", "0.0"]


@pytest.mark.parametrize("few", [1, combinations.FEW_COMBINATIONS], ids=["join", "table"])
@pytest.mark.parametrize("packed", [1, 20, combinations.PACKED])
@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 6))))
def test_every_row_finds_its_own_combination(
    few: int, packed: int, rows: list[tuple[int, int, int]]
) -> None:
    columns = [pl.Series([row[at] for row in rows], dtype=pl.UInt8) for at in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(combinations, "FEW_COMBINATIONS", few)
        patch.setattr(combinations, "PACKED", packed)
        found = combine(list(zip(columns, (4, 2, 7), strict=True)))
    assert spread(found) == rows
    assert len(set(zip(*found.codes, strict=True))) == len(set(rows)) == len(found.codes[0])


def spread(found: Combined) -> list[tuple[int, ...]]:
    return list(zip(*(codes.gather(found.index) for codes in found.codes), strict=True))
