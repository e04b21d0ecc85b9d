"""Event types guessed from traffic: every body that was looked at is valid under them."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.errors import EventTypeError
from gateway_lab.events.decode import compile_decoder
from gateway_lab.events.infer import infer_schema
from gateway_lab.events.schema import read_event_type

WEBHOOKS = Path(__file__).parents[2] / "../shared/data/github-webhooks.ndjson.gz"


def infer(*events: Any) -> Any:
    return infer_schema([json.dumps(event).encode() for event in events])


def field_schema(*values: Any) -> Any:
    return infer(*({"f": value} for value in values))["properties"]["f"]


def test_fields_that_are_always_there_are_required() -> None:
    assert infer({"a": 1, "b": 2}, {"a": 3}) == {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    }


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([1, 2], {"type": "integer"}),
        ([1, 2.5], {"type": "number"}),
        ([1, 2**63], {"type": "number"}),
        ([1, None], {"type": ["integer", "null"]}),
        ([None], {}),
        ([1, "a"], {}),
        ([True, False], {"type": "boolean"}),
        ([True, 1], {}),
        (["a b", "c d"], {"type": "string"}),
        (
            ["2026-11-23T10:15:00Z", "2026-11-23T10:15:00.5+01:00"],
            {"type": "string", "format": "date-time"},
        ),
        (["2026-11-23T10:15:00Z", "soon"], {"type": "string"}),
        (["low"] * 30 + ["high"] * 10, {"type": "string", "enum": ["high", "low"]}),
        (["low"] * 19, {"type": "string"}),
        (["low"] * 20 + [None], {"type": ["string", "null"], "enum": ["low", None]}),
        (["two words"] * 100, {"type": "string"}),
        ([[], []], {"type": "array"}),
        ([[1], [None]], {"type": "array", "items": {"type": ["integer", "null"]}}),
        ([[1], ["a"]], {"type": "array"}),
        ([{}, {}], {"type": "object"}),
        (
            [[{"a": 1}], [{"a": 2, "b": "x y"}]],
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["a"],
                    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
                },
            },
        ),
        (
            [{'a"b': 1, "c": 2}],
            {"type": "object", "required": ["c"], "properties": {"c": {"type": "integer"}}},
        ),
    ],
)
def test_a_field_has_the_narrowest_schema_of_its_values(values: list[Any], schema: Any) -> None:
    assert field_schema(*values) == schema


def test_an_object_whose_names_are_data_is_opaque() -> None:
    assert field_schema(*({f"user-{at}": 1} for at in range(300))) == {"type": "object"}


def test_a_field_deep_down_is_opaque() -> None:
    event: Any = {"leaf": 1}
    for _ in range(40):
        event = {"a": event}
    schema = infer(event)
    assert schema["type"] == "object"
    assert (
        compile_decoder(read_event_type("Event", schema), []).decode(json.dumps(event).encode())
        == ()
    )


def test_bodies_that_are_no_json_objects_do_not_count() -> None:
    bodies = [b"no", b"[1]", b"\xff", b"", None, b'{"a":NaN}', b"[" * 10_000, b'{"a":1}']
    assert infer_schema(bodies) == {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "integer"}},
    }


def test_nothing_to_infer_from_is_an_error() -> None:
    with pytest.raises(EventTypeError, match="no body is a JSON object"):
        infer_schema([b"no", None])


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["a", "low", "2026-11-23T10:15:00Z", ""]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", 'q"', "é"]), inner, max_size=3)
    ),
    max_leaves=8,
)
events = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)


@given(st.lists(events, min_size=1, max_size=25))
def test_all_bodies_are_valid_under_what_was_inferred_from_them(seen: list[Any]) -> None:
    bodies = [json.dumps(event).encode() for event in seen]
    event_type = read_event_type("Event", infer_schema(bodies, tolerance=0))
    assert compile_decoder(event_type, []).decode_many(bodies)[1] == {}


def test_each_occurrence_of_a_repeated_key_counts() -> None:
    bodies = [b'{"a":1,"a":"x"}']
    assert compile_decoder(read_event_type("E", infer_schema(bodies)), []).decode(bodies[0]) == ()


@pytest.mark.skipif(not WEBHOOKS.exists(), reason="the webhook deliveries are not here")
def test_real_webhooks_are_valid_under_their_inferred_event_types() -> None:
    by_type: dict[str, list[bytes]] = defaultdict(list)
    with gzip.open(WEBHOOKS) as lines:
        for line in lines:
            delivery = json.loads(line)
            by_type[delivery["headers"]["X-GitHub-Event"]].append(
                json.dumps(delivery["body"]).encode()
            )
    assert len(by_type) == 58
    for name, bodies in by_type.items():
        event_type = read_event_type(name, infer_schema(bodies))
        paths = [path for path, _ in event_type.paths()]
        decoder = compile_decoder(event_type, paths)
        columns, invalid = decoder.decode_many(bodies)
        assert invalid == {}, name
        assert [tuple(row) for row in zip(*columns, strict=True)] == [
            decoder.decode(b) for b in bodies
        ]


def test_what_few_bodies_say_is_taken_for_broken() -> None:
    good = [b'{"id": 1, "state": "open"}', b'{"id": 2, "state": "shut"}'] * 200
    broken = [b'{"id": "3", "state": "open"}', b'{"id": 4}', b'{"id": 5, "state": "?!", "x": 1}']
    assert infer_schema(good + broken) == {
        "type": "object",
        "required": ["id", "state"],
        "properties": {
            "id": {"type": "integer"},
            "state": {"type": "string", "enum": ["open", "shut"]},
        },
    }


def test_without_tolerance_broken_bodies_are_to_be_valid_too() -> None:
    bodies = [b'{"id": 1}'] * 999 + [b'{"id": "2"}']
    assert infer_schema(bodies, tolerance=0) == {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {}},
    }
