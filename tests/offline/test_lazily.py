from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
import pytest

from gateway_lab.offline.lazily import lazily

PIECES = [pl.DataFrame({"a": range(at, at + 3), "b": [str(at)] * 3}) for at in (0, 3, 6)]
SCHEMA = {"a": pl.Int64(), "b": pl.String()}


QUERIES: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
    "all": lambda rows: rows,
    "columns": lambda rows: rows.select("b"),
    "rows": lambda rows: rows.filter(pl.col("a") % 2 == 0),
    "columns of rows": lambda rows: rows.filter(pl.col("a") > 4).select("b"),
    "the first": lambda rows: rows.head(4),
    "some of the first": lambda rows: rows.head(4).filter(pl.col("a") > 1),
    "the first of some": lambda rows: rows.filter(pl.col("a") > 1).head(2),
    "a column of the first": lambda rows: rows.select("b").head(7),
    "none": lambda rows: rows.head(0),
    "the count": lambda rows: rows.select(pl.len()),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_gives_what_it_gives_on_the_whole(
    query: Callable[[pl.LazyFrame], pl.LazyFrame],
) -> None:
    lazy = query(lazily(lambda: iter(PIECES), SCHEMA))
    expected = query(pl.concat(PIECES).lazy()).collect()
    assert lazy.collect().equals(expected)
    assert lazy.collect().equals(expected)  # it can be collected again


def test_asking_for_the_first_rows_makes_no_more_than_those() -> None:
    made = []

    def make() -> Iterator[pl.DataFrame]:
        for number, piece in enumerate(PIECES):
            made.append(number)
            yield piece

    assert lazily(make, SCHEMA).head(2).collect()["a"].to_list() == [0, 1]
    assert made == [0]
