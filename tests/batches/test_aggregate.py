from __future__ import annotations

import math
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.batches.aggregate import compile_aggregates
from gateway_lab.events.schema import read_event_type
from gateway_lab.rules.tree import references
from gateway_lab.rules.types import Scope, resolve

METRIC = read_event_type(
    "Metric",
    {
        "type": "object",
        "properties": {
            "value": {"type": "number"},
            "count": {"type": "integer"},
            "host": {"type": "string"},
            "ts": {"type": "string", "format": "date-time"},
            "labels": {"type": "array", "items": {"type": "string"}},
        },
    },
)
SCOPE = Scope({"Metric": METRIC}, aggregates=True)
BIG = 2**63 - 1
DATABASE = duckdb.connect()


def aggregate(rule: str, *messages: Any) -> Any:
    """Aggregate messages that are given by the value of the one field that the rule reads."""
    node = resolve(rule, SCOPE)
    inputs = references(node)
    assert len(inputs) <= 1
    compiled = compile_aggregates([node], inputs, name="test")
    return compiled([(message,) if inputs else () for message in messages])[0]


def test_count_star_counts_messages_and_count_counts_values() -> None:
    assert aggregate("count(*)", 1.0, None, 3.0) == 3
    assert aggregate("count(value)", 1.0, None, 3.0) == 2
    assert aggregate("count(labels)", ["a"], None, []) == 2


def test_nulls_do_not_count() -> None:
    assert aggregate("avg(value)", 1.0, None, 3.0) == 2.0
    assert aggregate("min(value)", None, 2.0, 1.0) == 1.0
    assert aggregate("max(host)", None, "a", "b") == "b"
    assert aggregate("sum(count)", 1, None, 2) == 3


@pytest.mark.parametrize("rule", ["sum(value)", "avg(value)", "min(value)", "max(host)"])
def test_of_nothing_but_null_an_aggregate_is_null(rule: str) -> None:
    assert aggregate(rule, None, None) is None


def test_sums_are_exact() -> None:
    assert aggregate("sum(value)", *[0.1] * 10) == 1.0
    assert aggregate("sum(value)", 1e308, 1.0, -1e308) == 1.0
    assert aggregate("avg(value)", 1e16, 1.0, -1e16, 2.0) == 0.75


def test_overflow_is_null() -> None:
    assert aggregate("sum(value)", 1.7e308, 1.7e308) is None
    assert aggregate("avg(value)", 1.7e308, 1.7e308) is None
    assert aggregate("sum(count)", BIG, 1) is None
    assert aggregate("sum(count)", BIG, 1, -1) == BIG


def test_the_average_of_large_integers_does_not_overflow() -> None:
    assert aggregate("avg(count)", BIG, BIG) == float(BIG)


def test_expressions_stand_inside_and_around_aggregates() -> None:
    assert aggregate("sum(value) / count(*)", 1.0, None, 3.0) == 4.0 / 3
    assert aggregate("sum(value * 2) + 1", 1.0, 3.0) == 9.0
    assert aggregate("max(value) - min(value)", 5.0, 2.0) == 3.0
    assert aggregate("sum(case when value > 1 then 1 end)", 0.5, 2.0, 3.0) == 2
    assert aggregate("coalesce(sum(value), 0.0)", None) == 0.0
    assert aggregate("sum(value) / (count(value) - 1)", 7.0) is None
    assert aggregate("round(avg(value))", 1.0, 2.0) == 2.0


def test_times_have_a_first_and_a_last() -> None:
    assert aggregate("min(ts)", 7, 5, None) == 5
    assert aggregate("max(epoch_ms(ts))", 7_000, 5_000) == 7


def test_what_several_expressions_aggregate_is_the_same() -> None:
    nodes = [resolve(rule, SCOPE) for rule in ("sum(value)", "sum(value) / count(*)", "2")]
    compiled = compile_aggregates(nodes, references(*nodes), name="test")
    assert compiled([(1.0,), (3.0,)]) == (4.0, 2.0, 2)


VALUES = st.lists(
    st.none() | st.floats(-1e6, 1e6).map(lambda value: round(value * 8) / 8), min_size=1, max_size=8
)


@given(values=VALUES)
def test_aggregates_are_those_of_a_database(values: list[float | None]) -> None:
    """Eighths, since a database's sum depends on the order where it has to round."""
    rules = ["count(*)", "count(value)", "sum(value)", "avg(value)", "min(value)", "max(value)"]
    nodes = [resolve(rule, SCOPE) for rule in rules]
    ours = compile_aggregates(nodes, references(*nodes), name="test")([(each,) for each in values])
    metric = pl.DataFrame({"value": values}, schema={"value": pl.Float64}).to_arrow()
    (theirs,) = DATABASE.from_arrow(metric).aggregate(", ".join(rules)).fetchall()
    for mine, its in zip(ours, theirs, strict=True):
        assert mine == its or math.isclose(float(str(mine)), its, rel_tol=1e-15)
