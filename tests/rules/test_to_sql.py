"""The judge's SQL is written from the tree: no name or text of a rule stands in it bare."""

from __future__ import annotations

import duckdb
import pytest

from gateway_lab.events.event_type import EventType, Kind, Schema, ValueType
from gateway_lab.rules.to_sql import MACROS, quote, sql_type, to_sql
from gateway_lab.rules.tree import references
from gateway_lab.rules.types import Scope, resolve

_FIELDS = {
    "Name": Schema(type="string"),
    "name": Schema(type="string"),
    "i": Schema(type="integer"),
    "at": Schema(type="string", date_time=True),
}
SCOPE = Scope({"E": EventType(name="E", schema=Schema(type="object", properties=_FIELDS))}, {})


def sql(rule: str) -> str:
    node = resolve(rule, SCOPE)
    return to_sql(node, {each: f"c{index}" for index, each in enumerate(references(node))})


def test_names_that_differ_in_case_are_two_columns() -> None:
    assert sql("Name = name") == "(c0 = c1)"


def test_integers_are_computed_wide_and_narrowed() -> None:
    assert (
        sql("i + 1 > 0") == "(narrow(wide(c0) + wide(CAST('1' AS BIGINT))) > CAST('0' AS BIGINT))"
    )


@pytest.mark.parametrize(
    "text", ["", "it's", "\0", "a\0b\0", "\\", "--", "'; DROP TABLE x; --", "😀"]
)
def test_any_text_is_quoted(text: str) -> None:
    assert duckdb.execute(f"SELECT {quote(text)}").fetchall() == [(text,)]


def test_the_macros_are_what_they_say() -> None:
    connection = duckdb.connect()
    for macro in MACROS:
        connection.execute(macro)
    row = connection.execute(
        "SELECT finite('inf'::DOUBLE), finite(1.5), narrow(wide(9223372036854775807) + 1), "
        "ascii_lower('ÄA'), ascii_upper('äa'), floor_1000(-1)"
    ).fetchall()[0]
    assert row == (None, 1.5, None, "Äa", "äA", -1)


def test_a_list_of_times_has_a_type() -> None:
    assert sql_type(ValueType(Kind.LIST, Kind.TIMESTAMP)) == "TIMESTAMP[]"
