"""The table of functions: complete, documented, known to both engines and the judge."""

from __future__ import annotations

import pytest

from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.rules import python_code, to_polars, to_sql
from gateway_lab.rules.functions import ALIASES, FUNCTIONS
from gateway_lab.rules.operators import OPERATORS
from gateway_lab.rules.signatures import LIST, Parameter, read_signatures
from gateway_lab.rules.tree import BOOLEAN, INTEGER, TEXT

SCALAR = {name for name, function in FUNCTIONS.items() if not function.is_aggregate}


@pytest.mark.parametrize("names", [python_code.NAMES, to_polars.NAMES, to_sql.NAMES])
def test_both_engines_and_the_judge_know_every_function_and_no_other(names: frozenset[str]) -> None:
    assert names == SCALAR


def test_no_name_is_listed_twice() -> None:
    assert len(FUNCTIONS) == len(OPERATORS) + sum(f not in OPERATORS for f in FUNCTIONS.values())
    assert set(ALIASES.values()) <= set(FUNCTIONS)
    assert not set(ALIASES) & set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_every_function_says_how_it_is_written_and_what_it_means(function: object) -> None:
    assert getattr(function, "meaning", "").endswith(".")
    assert getattr(function, "usage", "")


def test_a_signature_is_read_for_each_type() -> None:
    signatures = read_signatures("T, [T], text unit... -> T", over=("text", "integer"))
    assert [each.returns for each in signatures] == [TEXT, INTEGER]
    assert signatures[1].parameters == (
        Parameter(INTEGER),
        Parameter(ValueType(Kind.LIST, Kind.INTEGER)),
        Parameter(TEXT, "unit"),
    )


def test_a_variadic_signature_repeats_its_last_parameter() -> None:
    (signature,) = read_signatures("boolean, boolean... -> boolean")
    assert signature.expand(1) is None
    assert signature.expand(4) == (Parameter(BOOLEAN),) * 4
    (fixed,) = read_signatures("text -> text")
    assert fixed.expand(2) is None


def test_any_list_is_taken_where_the_elements_do_not_matter() -> None:
    assert Parameter(LIST).takes(ValueType(Kind.LIST, Kind.OBJECT))
    assert not Parameter(LIST).takes(TEXT)
