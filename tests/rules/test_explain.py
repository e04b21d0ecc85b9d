from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.rules.explain import changes_needed, evaluate, explain_condition
from gateway_lab.rules.tree import Node, Reference, references
from gateway_lab.rules.types import resolve
from tests.rules.test_template import SCOPE

EVENT = {"tenant_id": "acme", "count": 5, "paid": False}


def bind(node: Node, event: dict[str, Any]) -> dict[Reference, Any]:
    return {each: event.get(each.path[0]) for each in references(node)}  # type: ignore[union-attr]


def explain(text: str, **event: Any) -> list[tuple[str, bool | None, bool]]:
    node = resolve(text, SCOPE)
    clauses = explain_condition(node, text, bind(node, event or EVENT))
    return [(each.text, each.result, each.decided) for each in clauses]


def test_a_condition_of_one_clause_is_decided_by_it():
    assert explain("tenant_id = 'acme'") == [("tenant_id = 'acme'", True, True)]


def test_the_first_false_clause_decides_an_and():
    assert explain("tenant_id = 'acme' and count > 9 and paid") == [
        ("tenant_id = 'acme'", True, False),
        ("count > 9", False, True),
        ("paid", False, False),
    ]


def test_all_clauses_decide_an_and_that_is_true():
    assert [decided for _, _, decided in explain("count > 1 and tenant_id = 'acme'")] == [
        True,
        True,
    ]


def test_the_first_true_clause_decides_an_or():
    assert explain("count > 9 or tenant_id = 'acme' or count = 5") == [
        ("count > 9", False, False),
        ("tenant_id = 'acme'", True, True),
        ("count = 5", True, False),
    ]


def test_null_clauses_decide_what_is_null():
    assert explain("amount > 1 and count > 1") == [
        ("amount > 1", None, True),
        ("count > 1", True, False),
    ]
    assert explain("amount > 1 or count > 9") == [
        ("amount > 1", None, True),
        ("count > 9", False, False),
    ]


def test_clauses_inside_parentheses_and_not_are_shown_as_written():
    assert explain("not (count > 9 or lower(tenant_id) = 'x') and (paid)") == [
        ("count > 9", False, False),
        ("lower(tenant_id) = 'x'", False, False),
        ("(paid)", False, True),
    ]


def test_not_of_one_clause_is_a_clause():
    assert explain("not paid and count not in (1, 2)") == [
        ("not paid", True, True),
        ("count not in (1, 2)", True, True),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tenant_id = 'acme'", []),
        ("count > 9 and paid", [("count > 9", True), ("paid", True)]),
        ("(count > 9 and paid) or tenant_id = 'b'", [("tenant_id = 'b'", True)]),
        (
            "not (tenant_id = 'acme' or count > 1)",
            [("tenant_id = 'acme'", False), ("count > 1", False)],
        ),
        ("not (tenant_id = 'acme' and count > 1)", [("tenant_id = 'acme'", False)]),
        ("amount > 1", [("amount > 1", True)]),
        ("paid and (paid or count > 9)", [("paid", True)]),
    ],
)
def test_a_smallest_set_of_changes_is_found(text, expected):
    node = resolve(text, SCOPE)
    changes = changes_needed(node, text, bind(node, EVENT))
    assert [(each.text, each.wanted) for each in changes] == expected


CLAUSES = st.sampled_from(["paid", "count > 3", "tenant_id = 'a'", "amount is null"])
CONDITIONS = st.recursive(
    CLAUSES,
    lambda inner: (
        st.builds("({} and {})".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("(not {})".format, inner)
    ),
    max_leaves=6,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "paid": st.booleans(),
        "count": st.integers(0, 6),
        "tenant_id": st.sampled_from("ab"),
        "amount": st.just(1.5),
    },
)


@given(text=CONDITIONS, event=EVENTS)
def test_something_decides_and_changes_are_needed_just_where_it_is_not_true(text, event):
    node = resolve(text, SCOPE)
    bound = bind(node, event)
    clauses = explain_condition(node, text, bound)
    assert any(each.decided for each in clauses)
    assert bool(changes_needed(node, text, bound)) is (evaluate(node, bound) is not True)
