from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.rules.fill import compile_alone, compile_json, compile_text
from gateway_lab.rules.template import parse_body, parse_template, template_references
from tests.rules.test_template import SCOPE


def fill(text: str, **event: Any) -> str | None:
    template = parse_template(text, SCOPE)
    inputs = template_references(template)
    return compile_text(template, inputs, name="test")(values(inputs, event))


def write(document: Any, **event: Any) -> bytes:
    body = parse_body(document, SCOPE)
    inputs = template_references(body)
    return compile_json(body, inputs, name="test")(values(inputs, event))


def values(inputs: Any, event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event.get(each.path[0]) for each in inputs)


@pytest.mark.parametrize(
    ("text", "event", "expected"),
    [
        ("fixed", {}, "fixed"),
        ("{tenant_id}", {"tenant_id": "acme"}, "acme"),
        ("{count}", {"count": -3}, "-3"),
        ("{paid}", {"paid": False}, "false"),
        ("a.{tenant_id}.{count}", {"tenant_id": "b", "count": 1}, "a.b.1"),
        ("{upper(tenant_id)}!", {"tenant_id": "b"}, "B!"),
        ("{settings.size}", {}, "3"),
    ],
)
def test_values_are_written_in_the_text(text, event, expected):
    assert fill(text, **event) == expected


@pytest.mark.parametrize("text", ["{tenant_id}", "a.{tenant_id}", "{count}.{tenant_id}"])
def test_one_null_makes_the_whole_null(text):
    assert fill(text, count=1) is None


def test_alone_a_value_keeps_its_type():
    template = parse_template("{count}", SCOPE)
    assert compile_alone(template, template_references(template), name="test")((3,)) == 3


@pytest.mark.parametrize(
    ("document", "event", "expected"),
    [
        ("{payload}", {"payload": b'{ "z":1,"a":[]}'}, b'{ "z":1,"a":[]}'),
        ("{payload}", {}, b"null"),
        ({"b": 1, "a": []}, {}, b'{"b":1,"a":[]}'),
        ({}, {}, b"{}"),
        ([None, True, "{count}"], {"count": 2}, b"[null,true,2]"),
        ({"n": "{amount}"}, {"amount": -0.0}, b'{"n":-0.0}'),
        ({"n": "{amount}"}, {"amount": 2.0}, b'{"n":2.0}'),
        ({"t": "{at}"}, {"at": 0}, b'{"t":"1970-01-01T00:00:00Z"}'),
        ({"t": "{at}"}, {"at": -1}, b'{"t":"1969-12-31T23:59:59.999999Z"}'),
        ({"t": "{at}"}, {"at": 2**62}, b'{"t":null}'),
        ({"x": "a {tenant_id}"}, {}, b'{"x":null}'),
        ({"x": "{tags}"}, {"tags": ["a", None]}, b'{"x":["a",null]}'),
        ({'"': "{{}}"}, {}, b'{"\\"":"{}"}'),
        ({"n": "{settings.rate}"}, {}, b'{"n":1.5}'),
    ],
)
def test_a_body_is_written_as_json(document, event, expected):
    assert write(document, **event) == expected


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(document=JSON, tenant=st.none() | st.text())
def test_any_body_is_json_that_reads_back_as_written(document, tenant):
    escaped = _escape(document)
    assert json.loads(write([escaped, "{tenant_id}"], tenant_id=tenant)) == [document, tenant]


def _escape(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, list):
        return [_escape(each) for each in value]
    if isinstance(value, dict):
        return {key: _escape(each) for key, each in value.items()}
    return value
