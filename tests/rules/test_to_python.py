"""The Python engine: routers as one function."""

from __future__ import annotations

import ast
import gc
import linecache
import traceback
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_lab.errors import RuleError
from gateway_lab.events.event_type import EventType, Schema
from gateway_lab.rules.to_python import check_source, compile_router, compile_value
from gateway_lab.rules.tree import Node, references
from gateway_lab.rules.types import Scope, resolve
from gateway_lab.testing.awkward import random_rows
from gateway_lab.testing.strategies import conditions, seeds
from tests.examples import examples

_FIELDS = {
    "tenant": Schema(type="string"),
    "amount": Schema(type="number"),
    "count": Schema(type="integer"),
    "paid": Schema(type="boolean"),
    "labels": Schema(type="array", items=Schema(type="string")),
}
SCOPE = Scope({"E": EventType(name="E", schema=Schema(type="object", properties=_FIELDS))}, {})


def rules(*texts: str) -> list[Node | None]:
    return [resolve(text, SCOPE) if text else None for text in texts]


def decide(texts: list[str], match: Literal["first", "all"], **values: Any) -> Any:
    nodes = rules(*texts)
    inputs = references(*nodes)
    function = compile_router(nodes, inputs, match=match, name="test")
    return function(*(values.get(each.path[-1]) for each in inputs))  # type: ignore[union-attr]


def test_with_first_the_first_hit_ends_it() -> None:
    texts = ["tenant = 'a'", "amount > 1", "count > 1"]
    assert decide(texts, "first", tenant="b", amount=2.0, count=5) == ((1,), ())
    assert decide(texts, "first", tenant="b", amount=0.0, count=0) == ((), ())


def test_with_all_every_hit_counts() -> None:
    texts = ["tenant = 'a'", "amount > 1", "count > 1"]
    assert decide(texts, "all", tenant="a", amount=2.0, count=5) == ((0, 1, 2), ())


def test_no_condition_is_always_true() -> None:
    assert decide(["tenant = 'a'", "", "amount > 1"], "first", tenant="b") == ((1,), ())
    assert decide(["tenant = 'a'", "", "amount > 1"], "all", tenant="b") == ((1,), (2,))


def test_what_is_null_when_reached_is_reported() -> None:
    texts = ["tenant = 'a'", "amount > 1", "count > 1", "paid"]
    assert decide(texts, "first", amount=2.0) == ((1,), (0,))
    assert decide(texts, "all", amount=2.0) == ((1,), (0, 2, 3))
    assert decide(["9223372036854775807 < count + 1"], "first", count=2**63 - 1) == ((), (0,))


def test_null_in_one_part_does_not_make_a_decided_condition_undecided() -> None:
    assert decide(["tenant = 'a' or paid"], "first", paid=True) == ((0,), ())
    assert decide(["tenant = 'a' or paid"], "first", paid=False) == ((), (0,))
    assert decide(["tenant = 'a' and paid"], "first", paid=False) == ((), ())
    assert decide(["not (tenant = 'a' and paid)"], "first", paid=False) == ((0,), ())


def test_a_run_of_equalities_answers_like_its_conditions() -> None:
    texts = ["tenant = 'a'", "tenant in ('b', 'a')", "tenant = 'c'", "tenant = 'a'", "amount > 1"]
    assert decide(texts, "first", tenant="a", amount=2.0) == ((0,), ())
    assert decide(texts, "all", tenant="a", amount=2.0) == ((0, 1, 3, 4), ())
    assert decide(texts, "first", tenant="z", amount=2.0) == ((4,), ())
    assert decide(texts, "first", amount=2.0) == ((4,), (0, 1, 2, 3))
    assert decide(texts, "all") == ((), (0, 1, 2, 3, 4))


def test_ten_thousand_equalities_are_one_look_up() -> None:
    nodes = rules(*(f"tenant = 't{n}'" for n in range(10_000)))
    function = compile_router(nodes, references(*nodes), match="first", name="tenants")
    assert function("t9999") == ((9999,), ())
    assert len(linecache.getlines(function.__code__.co_filename)) < 10


def test_zero_has_no_sign_in_a_look_up() -> None:
    texts = ["amount = 0.0", "amount = 1.0", "amount = 2.0", "amount = 3.0"]
    assert decide(texts, "first", amount=-0.0) == ((0,), ())


def test_a_router_without_conditions_matches_nothing() -> None:
    assert compile_router([], (), match="all", name="empty")() == ((), ())


@given(
    texts=st.lists(
        conditions(SCOPE, max_depth=2)
        | st.sampled_from(["tenant = 'a'", "tenant in ('a', 'b')", "tenant = 'high'"]),
        min_size=1,
        max_size=8,
    ),
    seed=seeds(),
    match=st.sampled_from(["first", "all"]),
)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_router_decides_as_its_conditions_do_one_by_one(
    texts: list[str], seed: int, match: Literal["first", "all"]
) -> None:
    nodes = []
    for text in texts:
        try:
            nodes.append(resolve(text, SCOPE))
        except RuleError:
            continue
    inputs = references(*nodes)
    router = compile_router(nodes, inputs, match=match, name="test")
    single = [compile_value(node, inputs, name="test") for node in nodes]
    for row in random_rows(inputs, 20, seed):
        answers = [value(*row) for value in single]
        hits = tuple(index for index, answer in enumerate(answers) if answer)
        reached = hits[0] if hits and match == "first" else len(answers)
        nulls = tuple(i for i, answer in enumerate(answers[:reached]) if answer is None)
        assert router(*row) == (hits[:1] if match == "first" else hits, nulls)


# --- the source ---


def test_a_traceback_shows_the_source_of_the_router() -> None:
    function = compile_router(
        rules("amount > 1"), references(*rules("amount > 1")), match="first", name="tenants"
    )
    with pytest.raises(TypeError) as caught:
        function("text where a number belongs")
    shown = "".join(traceback.format_exception(caught.value))
    assert '"<router tenants ' in shown
    assert "f0 > k" in shown


def test_the_source_is_forgotten_with_the_function() -> None:
    function = compile_value(rules("amount > 1")[0], references(*rules("amount > 1")), name="gone")  # type: ignore[arg-type]
    filename = function.__code__.co_filename
    assert filename in linecache.cache
    del function
    gc.collect()
    assert filename not in linecache.cache


def test_a_compiled_function_has_no_builtins() -> None:
    function = compile_value(rules("amount > 1")[0], references(*rules("amount > 1")), name="x")  # type: ignore[arg-type]
    assert function.__globals__["__builtins__"] == {}


@pytest.mark.parametrize(
    "source",
    [
        "def decide(f0):\n    return f0.upper",
        "def decide(f0):\n    return f0[0]",
        "def decide(f0):\n    return open(f0)",
        "def decide(f0):\n    import os",
        "def decide(f0):\n    return 'text'",
        "def decide(f0):\n    return (lambda: f0)()",
        "def decide(f0):\n    return [each for each in f0]",
        "def decide(f0):\n    return length(f0, key=f0)",
        "def decide(f0):\n    __x = f0",
        "def decide(f0):\n    global f1",
    ],
)
def test_source_beyond_the_list_is_refused(source: str) -> None:
    with pytest.raises(AssertionError, match="may not stand"):
        check_source(ast.parse(source), frozenset())


def test_the_deepest_rule_compiles() -> None:
    for text in (
        "not " * 20 + "paid",
        "(" * 19 + "count" + " + 1)" * 19 + " > 0",
        "case when paid then " * 19 + "1" + " else 2 end" * 19 + " = 1",
        "coalesce(" * 19 + "tenant" + ", tenant)" * 19 + " = 'a'",
        " and ".join(["(tenant = 'a' or paid)"] * 150),
        "tenant in (" + ", ".join(f"'{n}'" for n in range(500)) + ")",
    ):
        node = resolve(text, SCOPE)
        inputs = references(node)
        compile_value(node, inputs, name="deep")(*[None] * len(inputs))
        compile_router([node], inputs, match="first", name="deep")(*[None] * len(inputs))
