"""Runs of equalities over one field."""

from __future__ import annotations

from gateway_lab.events.event_type import EventType, Schema
from gateway_lab.rules.dispatch import find_runs
from gateway_lab.rules.tree import TEXT, Field, Node, Span
from gateway_lab.rules.types import Scope, resolve

_FIELDS = {name: Schema(type="string") for name in ("tenant", "region")}
SCOPE = Scope(
    {"E": EventType(name="E", schema=Schema(type="object", properties=_FIELDS))},
    {},
)
TENANT = Field(("tenant",), TEXT, Span(0, 0))


def rules(*texts: str) -> list[Node | None]:
    return [resolve(text, SCOPE) if text else None for text in texts]


def test_neighbouring_equalities_over_one_field_are_a_run() -> None:
    (run,) = find_runs(
        rules("tenant = 'a'", "'b' = tenant", "tenant in ('c', 'a', 'c')", "tenant = 'd'")
    )
    assert run.reference == TENANT
    assert run.indexes == range(4)
    assert run.table == {"a": (0, 2), "b": (1,), "c": (2,), "d": (3,)}


def test_another_field_or_another_condition_ends_a_run() -> None:
    texts = [f"tenant = '{n}'" for n in range(4)]
    runs = find_runs(rules(*texts, "region = 'x'", *texts, "tenant <> 'x'", *texts[:3], "", *texts))
    assert [run.indexes for run in runs] == [range(4), range(5, 9), range(14, 18)]


def test_a_short_run_is_not_worth_a_table() -> None:
    assert find_runs(rules(*["tenant = 'a'"] * 3)) == ()


def test_what_compares_more_than_a_field_is_no_equality() -> None:
    assert find_runs(rules(*["lower(tenant) = 'a'"] * 4, *["tenant = region"] * 4)) == ()
