from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from gateway_lab.events.decode import compile_decoder
from gateway_lab.events.event_type import Kind
from gateway_lab.events.regex import compile_search
from gateway_lab.events.schema import read_event_type
from gateway_lab.proof.domain import everything, with_prefix
from gateway_lab.proof.example import choices, example, matching_text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "string", "minLength": 4},
        {"type": "string", "maxLength": 0},
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^[a-z0-9-]{3,32}$", "minLength": 5},
        {"type": "string", "pattern": "^$"},
        {"type": ["string", "null"]},
        {"enum": ["b", "a"]},
        {"type": "string", "enum": ["ab", "b"], "pattern": "^b"},
        {"const": True},
        {"type": "boolean"},
        {"type": "integer", "minimum": 5, "exclusiveMaximum": 7},
        {"type": "integer", "maximum": -5},
        {"type": "integer", "exclusiveMaximum": 0},
        {"type": "number", "exclusiveMinimum": 2.5, "maximum": 2.75},
        {"type": "number", "maximum": -0.5},
        {"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 2},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {}}},
        {},
    ],
)
def test_an_example_is_valid(schema: Any) -> None:
    document = {"type": "object", "required": ["x"], "properties": {"x": schema}}
    event_type = read_event_type("T", document)
    body = json.dumps(example(event_type.schema)).encode()
    compile_decoder(event_type, [("x",)]).decode(body)


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z0-9-]{1,32}$",
        "^(a|b)+$",
        r"\d{3}-\d{4}",
        r"^v\d+\.\d+$",
        "^(?:PAY|INV)-[0-9]{2,4}$",
        r"[^\s]{3,}",
        r"[^a-z]x?",
        r"[\w.]+@[\w.]+",
        r"\u{e4}\n[\]\\-]*?",
        ".*",
        "",
        r"^[^ax0A_ \n]$",
    ],
)
@pytest.mark.parametrize("more", [0, 1, 3])
def test_a_matching_text_matches(pattern: str, more: int) -> None:
    assert compile_search(pattern)(matching_text(pattern, more))


def test_choices_are_in_the_set_and_the_plain_ones_come_first() -> None:
    for kind in Kind:
        whole = everything(kind)
        assert all(value in whole for value in choices(whole.cuts, kind))
    assert list(islice(choices(with_prefix("ab"), Kind.TEXT), 2)) == ["ab", "aba"]
    assert next(choices(("a\0",), Kind.TEXT)) == "x"
    assert next(choices(("a\0", "b"), Kind.TEXT)) == "aa"
    assert next(choices((7.000000000000001, 9.0), Kind.NUMBER)) == 8.0
    assert next(choices((5, 8), Kind.INTEGER)) == 5
    assert set(choices((0, 2), Kind.BOOLEAN)) == {0, 1}
