"""The strategies keep their promises: rules are well-typed, events are valid."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_lab.errors import RuleError
from gateway_lab.events.decode import compile_decoder
from gateway_lab.events.event_type import EventType, Kind
from gateway_lab.events.schema import read_event_type
from gateway_lab.rules.tree import references
from gateway_lab.rules.types import Scope, resolve
from gateway_lab.testing.awkward import random_rows
from gateway_lab.testing.strategies import conditions, events, seeds

ORDER: EventType = read_event_type(
    "Order",
    {
        "type": "object",
        "required": ["id", "paid"],
        "properties": {
            "id": {"type": "string"},
            "paid": {"type": ["boolean", "null"]},
            "count": {"type": "integer"},
            "priority": {"enum": ["low", "high"]},
            "at": {"type": "string", "format": "date-time"},
            "payload": {"type": "object", "properties": {"amount": {"type": "number"}}},
            "labels": {"type": "array", "items": {"type": "string"}},
        },
    },
)
SCOPE = Scope({"Order": ORDER}, {})


@given(rule=conditions(SCOPE, max_depth=3))
def test_a_rule_is_well_typed(rule: str) -> None:
    try:
        assert resolve(rule, SCOPE).type.kind is Kind.BOOLEAN
    except RuleError as error:
        assert error.code in {"always-null", "division-by-zero", "rule-too-long"}, str(error)  # noqa: PT017


@given(event=events(ORDER.schema))
def test_an_event_is_valid(event: Any) -> None:
    decoder = compile_decoder(ORDER, [("id",), ("payload", "amount")])
    values = decoder.decode(json.dumps(event).encode())
    assert values == (event["id"], event.get("payload", {}).get("amount"))


@given(seed=seeds(), rule=st.sampled_from(["count = 1 and id = 'a' and 'x' = any(labels)"]))
@settings(max_examples=10)
def test_rows_are_the_same_for_the_same_seed(seed: int, rule: str) -> None:
    inputs = references(resolve(rule, SCOPE))
    rows = random_rows(inputs, 20, seed)
    assert rows == random_rows(inputs, 20, seed)
    assert {len(row) for row in rows} == {3}
