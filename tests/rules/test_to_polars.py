"""The Polars engine: what agreement on values does not say, and traps that once were bugs."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from gateway_lab.events.event_type import EventType, Schema
from gateway_lab.rules.to_polars import dtype, to_polars
from gateway_lab.rules.to_python import compile_value
from gateway_lab.rules.tree import column_name, references
from gateway_lab.rules.types import Scope, resolve

_FIELDS = {
    "t": Schema(type="string"),
    "n": Schema(type="number"),
    "i": Schema(type="integer"),
    "j": Schema(type="integer"),
    "b": Schema(type="boolean"),
    "at": Schema(type="string", date_time=True),
    "ts": Schema(type="array", items=Schema(type="string")),
    "ns": Schema(type="array", items=Schema(type="number")),
}
SCOPE = Scope({"E": EventType(name="E", schema=Schema(type="object", properties=_FIELDS))}, {})

RULES = (
    *("true", "b", "t = 'a' and n > 1", "i + j * 2 > 3", "i // j = 1", "i % 3 = 1", "n / 1.5 > n"),
    *("case when b then 'x' else t end = 'x'", "coalesce('a', t) = 'a'", "0.0 - n > 0"),
    *("(0 = case when (i between 0 and (-1)) then j end)", "t like '_a%'", "t ilike 'A%'"),
    *(
        "'a' = any(ts)",
        "list_contains(ts, t)",
        "ts[1] = 'a'",
        "list_sum(ns) > 1",
        "list_avg(ns) > 1",
    ),
    *("split_part(t, ',', 2) = ''", "strpos(t, 'a') > 1", "greatest(i, j, 1) > 1", "true or b"),
    *("try_cast(t as integer) = 1", "try_cast(t as number) = 1", "try_cast(t as boolean)"),
    *("regexp_extract(t, '(a)', 1) = 'a'", "hour(at) = 1", "date_trunc('week', at) = at"),
)


def frame(**columns: Any) -> pl.DataFrame:
    """Make the columns of some fields, None where nothing is given."""
    height = max(map(len, columns.values()), default=0)
    return pl.DataFrame(
        [
            pl.Series(
                f"event.{name}", columns.get(name, [None] * height), dtype=dtype(schema.value_type)
            )
            for name, schema in _FIELDS.items()
        ]
    )


def answers(rule: str, **columns: Any) -> list[Any]:
    return (
        frame(**columns)
        .with_columns(to_polars(resolve(rule, SCOPE)).alias("answer"))["answer"]
        .to_list()
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("height", [0, 1, 3])
def test_an_expression_has_the_height_of_its_frame(rule: str, height: int) -> None:
    found = frame(t=[None] * height).with_columns(to_polars(resolve(rule, SCOPE)).alias("answer"))
    assert found["answer"].dtype == pl.Boolean
    assert found.height == height


@pytest.mark.parametrize("rule", RULES)
def test_an_expression_streams(rule: str) -> None:
    rows = frame(t=["a", "b"] * 500, i=[1, 2] * 500, b=[True, None] * 500)
    lazy = rows.lazy().with_columns(to_polars(resolve(rule, SCOPE)).alias("answer"))
    assert (
        lazy.collect(engine="streaming")["answer"].to_list() == lazy.collect()["answer"].to_list()
    )


def test_every_reference_is_a_column_of_its_name() -> None:
    node = resolve("t = message.headers['X-Id'] and message.timestamp = at", SCOPE)
    assert set(to_polars(node).meta.root_names()) == {
        column_name(each) for each in references(node)
    }


def test_dividing_by_a_constant_rounds_once() -> None:
    assert answers("n / 1.5 > 0", n=[-1.5885683833830998e-36]) == [False]
    number = -1.5885683833830998e-36
    assert answers(f"n / 1.5 = ({number / 1.5!r})", n=[number]) == [True]


def test_integers_do_not_wrap() -> None:
    big = 2**63 - 1
    assert answers("i + 1 > 0", i=[big, 1]) == [None, True]
    assert answers("i * j > 0", i=[big, 2], j=[big, 2]) == [None, True]
    assert answers("i // j > 0", i=[-(2**63), -(2**63)], j=[-1, 0]) == [None, None]
    assert answers("abs(i) > 0", i=[-(2**63)]) == [None]


def test_a_constant_in_front_does_not_lose_the_height() -> None:
    assert answers("0 = coalesce(0, i)", i=[1, 2, None]) == [True] * 3
    rule = "0 = case when i between 0 and (-1) then j end"
    assert answers(rule, i=[1, 2], j=[0, 0]) == [None, None]


def test_dollars_are_no_groups_in_a_replacement() -> None:
    assert answers("replace(t, 'a', '$0') = '$0b'", t=["ab"]) == [True]


def test_nested_arithmetic_stays_small() -> None:
    nested = "(" * 18 + "n" + " * 1.01)" * 18 + " > 0"
    expression = to_polars(resolve(nested, SCOPE))
    assert len(expression.meta.serialize(format="binary")) < 40_000
    assert answers(nested, n=[1.0]) == [True]


def test_the_largest_regex_is_taken_by_both_engines() -> None:
    for pattern in ("[^a]{1000}", "(?:[a-z]|é){900}$", "(?:(?:a|b)*a(?:a|b){100})", "_" * 900):
        rule = f"regexp_matches(t, '{pattern}')"
        node = resolve(rule, SCOPE)
        text = "ab" * 2000
        assert answers(rule, t=[text]) == [compile_value(node, references(node), name="x")(text)]
    rule = f"t like '{'_' * 900}%'"
    assert answers(rule, t=["é" * 899, "é" * 900]) == [False, True]
