"""The Python engine, the Polars engine and DuckDB give the same answer, NULLs included.

`AGREE_PAIRS=2000000 pytest tests/agree/test_engines.py` tries so many pairs of a rule and an
event, each time other ones; without it some ten thousand, the same each time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from gateway_lab.errors import RuleError
from gateway_lab.events.event_type import EventType, Kind, Schema
from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.to_polars import dtype, to_polars
from gateway_lab.rules.to_python import compile_router, compile_value
from gateway_lab.rules.to_sql import MACROS, sql_type, to_sql
from gateway_lab.rules.tree import Node, Reference, Value, column_name, references
from gateway_lab.rules.types import Scope, resolve
from gateway_lab.testing.awkward import random_rows
from gateway_lab.testing.strategies import calls_of, conditions, seeds

ROWS = 200
PAIRS = int(os.environ.get("AGREE_PAIRS", "60000"))
FEW = 100_000
"""Below so many pairs the same ones are tried each time."""

FOUND = (
    "n1 / 1.5 > 0",  # Polars multiplies with the inverse of a constant
    "n1 / 1.5 = n2",
    "0.0 - n1 = 0.0",  # Polars makes -x of it, and so another zero
    "0 = coalesce(0, i1)",  # Polars: one row instead of a column
    "timestamp '1970-01-01T00:00:00Z' = case when (i1 between 0 and (-1)) then ts1 end",
    "t1 like '_a%'",
    "t1 = any(list_t)",  # where the list or the value is NULL
    "epoch_ms(ts1) = -1",  # DuckDB rounds
    "trim(t1) = ''",  # DuckDB takes all spaces of Unicode
    "list_avg(list_i) > 0",  # exact sums beyond 2**53
    "i1 // i2 = i1 % i2",
    "greatest(n1, n2, 0.0) = 0.0",
)
"""Rules that once had different answers, or look as if they could."""

_SCALARS = {
    "t": Schema(type="string"),
    "b": Schema(type="boolean"),
    "i": Schema(type="integer"),
    "n": Schema(type="number"),
    "ts": Schema(type="string", date_time=True),
}
_FIELDS = {
    **{f"{name}{index}": schema for name, schema in _SCALARS.items() for index in (1, 2, 3)},
    **{f"list_{name}": Schema(type="array", items=each) for name, each in _SCALARS.items()},
    "o": Schema(type="object"),
}
SCOPE = Scope({"E": EventType(name="E", schema=Schema(type="object", properties=_FIELDS))}, {})


@pytest.fixture(scope="module")
def judge() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    for macro in MACROS:
        connection.execute(macro)
    return connection


def by_python(node: Node, inputs: Sequence[Reference], rows: Sequence[tuple[Value, ...]]) -> Any:
    function = compile_value(node, inputs, name="agree")
    answers = [function(*row) for row in rows]
    if node.type.kind is Kind.BOOLEAN:
        router = compile_router([node], inputs, match="first", name="agree")
        assert [router(*row) for row in rows] == [ROUTED[answer] for answer in answers]  # type: ignore[index]
    return answers


ROUTED = {True: ((0,), ()), False: ((), ()), None: ((), (0,))}
"""What a router of one condition says of its answer."""


def frame_of(inputs: Sequence[Reference], rows: Sequence[tuple[Value, ...]]) -> pl.DataFrame:
    columns = zip(inputs, zip(*rows, strict=True), strict=True) if inputs else ()
    series = [
        pl.Series(column_name(each), values, dtype=dtype(each.type)) for each, values in columns
    ]
    return pl.DataFrame([pl.Series("row", range(len(rows))), *series])


def by_polars(node: Node, frame: pl.DataFrame) -> Any:
    answers = frame.with_columns(to_polars(node).alias("answer"))["answer"]
    assert answers.dtype == dtype(node.type)
    return answers.to_list()


def by_duckdb(
    node: Node, inputs: Sequence[Reference], frame: pl.DataFrame, judge: duckdb.DuckDBPyConnection
) -> Any:
    columns = {each: f"c{index}" for index, each in enumerate(inputs)}
    casts = []
    for each, name in columns.items():
        times = Kind.TIMESTAMP in {each.type.kind, each.type.item}
        lists = each.type.kind is Kind.LIST
        value = f'"{column_name(each)}"'
        if times:
            value = (
                f"list_transform({value}, lambda v: make_timestamp(v))"
                if lists
                else f"make_timestamp({value})"
            )
        casts.append(f"CAST({value} AS {sql_type(each.type)}) AS {name}")
    sql = to_sql(node, columns)
    answer = f"epoch_us({sql})" if node.type.kind is Kind.TIMESTAMP else sql
    judge.register("source", frame.to_arrow())
    source = f"SELECT {', '.join(['row', *casts])} FROM source"  # noqa: S608
    relation = judge.sql(f"SELECT {answer} AS answer FROM ({source}) ORDER BY row")  # noqa: S608
    assert [str(each) for each in relation.types] == [
        "BIGINT" if node.type.kind is Kind.TIMESTAMP else sql_type(node.type)
    ]
    return [row[0] for row in relation.fetchall()]


def same(left: Any, right: Any, *, signed: bool) -> bool:
    if isinstance(left, float) and isinstance(right, float) and signed:
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return type(left) is type(right) and left == right


def check(rule: str, seed: int, judge: duckdb.DuckDBPyConnection, rows: int = ROWS) -> Node:
    """Compare the three answers for some events; name the first event where they differ."""
    try:
        node = resolve(rule, SCOPE)
    except RuleError as error:
        if error.code in {"always-null", "division-by-zero", "rule-too-long", "rule-too-deep"}:
            reject()
        raise
    inputs = references(node)
    events = random_rows(inputs, rows, seed)
    frame = frame_of(inputs, events)
    python, polars = by_python(node, inputs, events), by_polars(node, frame)
    duck = by_duckdb(node, inputs, frame, judge)
    for event, mine, offline, third in zip(events, python, polars, duck, strict=True):
        values = {column_name(each): value for each, value in zip(inputs, event, strict=True)}
        assert same(mine, offline, signed=True), (rule, values, mine, offline, third)
        assert same(mine, third, signed=False), (rule, values, mine, offline, third)
    return node


_SETTINGS = settings(
    max_examples=max(10, PAIRS // ROWS),
    deadline=None,
    derandomize=PAIRS < FEW,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("rule", FOUND)
def test_engines_and_judge_agree_where_they_once_did_not(
    judge: duckdb.DuckDBPyConnection, rule: str
) -> None:
    for seed in range(5):
        check(rule, seed, judge)


@pytest.mark.timeout(0)
@given(rule=conditions(SCOPE), seed=seeds())
@_SETTINGS
def test_engines_and_judge_agree_on_random_conditions(
    judge: duckdb.DuckDBPyConnection, rule: str, seed: int
) -> None:
    check(rule, seed, judge)


@pytest.mark.parametrize(
    "name", [each.name for each in FUNCTIONS.values() if not each.is_aggregate]
)
@pytest.mark.timeout(0)
def test_engines_and_judge_agree_on_every_function(
    judge: duckdb.DuckDBPyConnection, name: str
) -> None:
    function = FUNCTIONS[name]
    kinds = [each.returns for each in function.signatures] or [
        schema.value_type for schema in _SCALARS.values()
    ]
    rules = st.sampled_from(list(dict.fromkeys(kinds))).flatmap(
        lambda kind: calls_of(SCOPE, function, kind, max_depth=1)
    )

    @given(rule=rules, seed=seeds())
    @settings(_SETTINGS, max_examples=max(8, PAIRS // ROWS // 40))
    def agree(rule: str, seed: int) -> None:
        check(rule, seed, judge)

    agree()
