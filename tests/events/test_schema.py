"""Reading event types: the keywords of the list, and a clear refusal of the rest."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway_lab.errors import EventTypeError
from gateway_lab.events.event_type import Kind, Schema, ValueType
from gateway_lab.events.schema import read_event_type


def read_field(schema: Any, **definitions: Any) -> Schema:
    document = {"type": "object", "properties": {"f": schema}, "$defs": definitions}
    found = read_event_type("Event", document).find(("f",))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ({}, Schema(nullable=True)),
        (True, Schema(nullable=True)),
        ({"type": "string", "minLength": 1}, Schema(type="string", min_length=1)),
        ({"type": ["null", "integer"]}, Schema(type="integer", nullable=True)),
        ({"enum": ["a", "b"]}, Schema(type="string", enum=("a", "b"))),
        ({"enum": ["a", None]}, Schema(type="string", nullable=True, enum=("a",))),
        ({"type": "string", "enum": ["a", None]}, Schema(type="string", enum=("a",))),
        ({"type": ["string", "null"], "enum": ["a"]}, Schema(type="string", enum=("a",))),
        ({"const": True}, Schema(type="boolean", enum=(True,))),
        ({"enum": [1, 2]}, Schema(type="integer", enum=(1, 2))),
        ({"enum": [1, 2.5]}, Schema(type="number", enum=(1.0, 2.5))),
        ({"type": "number", "minimum": 1}, Schema(type="number", minimum=1.0)),
        ({"type": "array", "items": {}}, Schema(type="array")),
        (
            {"type": "array", "items": {"type": "boolean"}},
            Schema(type="array", items=Schema(type="boolean")),
        ),
        ({"$ref": "#/$defs/A"}, Schema(type="string", max_length=3)),
        (
            {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
            Schema(type="string", nullable=True, max_length=3),
        ),
        (
            {"$ref": "#/$defs/A", "x-private": True},
            Schema(type="string", max_length=3, private=True),
        ),
        ({"type": "string", "title": "T", "default": 1, "x-team": "a"}, Schema(type="string")),
    ],
)
def test_a_schema_is_read(written: Any, schema: Schema) -> None:
    assert read_field(written, A={"type": "string", "maxLength": 3}) == schema


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ({"type": "string", "format": "date-time"}, ValueType(Kind.TIMESTAMP)),
        ({"type": "array", "items": {"type": "number"}}, ValueType(Kind.LIST, Kind.NUMBER)),
        ({"type": "array", "items": {"type": "array"}}, ValueType(Kind.LIST, Kind.OBJECT)),
        ({"type": "array"}, ValueType(Kind.LIST, Kind.OBJECT)),
        ({}, ValueType(Kind.OBJECT)),
    ],
)
def test_a_rule_sees_a_type(written: Any, kind: ValueType) -> None:
    assert read_field(written).value_type == kind


def test_all_that_a_private_object_holds_is_private() -> None:
    inner = {"type": "object", "properties": {"g": {"type": "array", "items": {"type": "string"}}}}
    schema = read_field(inner | {"x-private": True})
    assert schema.properties is not None
    items = schema.properties["g"].items
    assert items is not None
    assert items.private


@pytest.mark.parametrize(
    ("written", "where", "problem"),
    [
        ({"type": "strin"}, "type", "no type 'strin'"),
        ({"type": 3}, "type", "no type 3"),
        ({"type": ["string", "integer"]}, "type", "one type"),
        ({"type": "null"}, "type", "one type"),
        ({"type": "string", "patern": "a"}, "patern", "patern is not supported"),
        ({"type": "string", "nullable": True}, "nullable", "nullable is not supported"),
        ({"type": "number", "multipleOf": 2}, "multipleOf", "multipleOf is not supported"),
        ({"oneOf": []}, "oneOf", "oneOf is not supported"),
        ({"allOf": []}, "allOf", "allOf is not supported"),
        ({"not": {}}, "not", "not is not supported"),
        ({"if": {}}, "if", "if is not supported"),
        ({"type": "integer", "minLength": 1}, "minLength", "no meaning for integer"),
        ({"pattern": "a"}, "pattern", "pattern needs a type"),
        ({"properties": {}}, "properties", "properties needs a type"),
        (
            {"type": "string", "pattern": "a(?=b)"},
            "pattern",
            "look-ahead is not supported (character 2)",
        ),
        ({"type": "string", "pattern": 1}, "pattern", "pattern is text"),
        ({"type": "string", "format": "uuid"}, "format", "format 'uuid' is not checked"),
        ({"type": "string", "minLength": -1}, "minLength", "minLength is a count"),
        ({"type": "string", "minLength": True}, "minLength", "minLength is a count"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "maxLength", "below the minimum"),
        ({"type": "integer", "minimum": "1"}, "minimum", "minimum is a number"),
        ({"type": "integer", "minimum": 2**63}, "minimum", "outside int64"),
        ({"type": "number", "minimum": 2**53 + 1}, "minimum", "no float64"),
        ({"type": "number", "maximum": float("nan")}, "maximum", "maximum is a number"),
        ({"enum": []}, "enum", "enum is a list"),
        ({"enum": "a"}, "enum", "enum is a list"),
        ({"enum": ["a", 1]}, "enum", "enum mixes integer and string"),
        ({"enum": [True, 1]}, "enum", "enum mixes boolean and integer"),
        ({"enum": [["a"]]}, "enum", "texts, numbers or booleans"),
        ({"const": None}, "const", "texts, numbers or booleans"),
        ({"const": 1, "enum": [1]}, "const", "cannot stand together"),
        ({"type": "string", "enum": [1]}, "enum", "1 is no string"),
        ({"type": "integer", "enum": [1.5]}, "enum", "1.5 is no integer"),
        ({"enum": [2**63]}, "enum", "outside int64"),
        ({"type": "string", "enum": ["ab"], "maxLength": 1}, "enum", "no value of enum"),
        ({"$ref": "other.json"}, "$ref", "points into $defs"),
        ({"$ref": "#/$defs/Nod"}, "$ref", "no Nod in $defs"),
        ({"$ref": "#/$defs/Node"}, "properties.next.$ref", "Node contains itself"),
        ({"$ref": "#/$defs/Node", "type": "object"}, "type", "beside $ref"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "anyOf", "anyOf is one schema"),
        ({"anyOf": 1}, "anyOf", "anyOf is one schema"),
        ({"type": "object", "required": ["a"]}, "required", "a is required but not in properties"),
        ({"type": "object", "required": "a"}, "required", "required is a list of names"),
        ({"type": "object", "properties": []}, "properties", "properties is a mapping"),
        ({"type": "object", "properties": {'a"b': {}}}, "properties", "cannot be named"),
        ({"type": "object", "properties": {"": {}}}, "properties", "cannot be named"),
        ({"type": "object", "properties": {"a": 3}}, "properties.a", "a schema is a mapping"),
        (
            {"type": "object", "additionalProperties": "no"},
            "additionalProperties",
            "a schema is a mapping",
        ),
        ({"type": "array", "items": [{}]}, "items", "a schema is a mapping"),
        ({"x-private": "yes"}, "x-private", "true or false"),
        ({1: 2}, "", "a keyword is text"),
        (False, "", "a schema is a mapping"),
    ],
)
def test_what_is_outside_the_list_is_refused_with_its_place(
    written: Any, where: str, problem: str
) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    with pytest.raises(EventTypeError, match=re.escape(problem)) as caught:
        read_field(written, Node=node)
    assert caught.value.where == f"Event.properties.f.{where}".rstrip(".")


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ({"type": "strin"}, "did you mean 'string'?"),
        ({"type": "string", "patern": "a"}, "did you mean 'pattern'?"),
        ({"type": "string", "nullable": True}, 'write type: [string, "null"]'),
        ({"type": "integer", "minLength": 1}, "it belongs to type: string"),
        ({"$ref": "#/$defs/Nod"}, "did you mean 'Node'?"),
    ],
)
def test_a_refusal_says_what_to_do(written: Any, hint: str) -> None:
    with pytest.raises(EventTypeError) as caught:
        read_field(written, Node={})
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "top", [{}, {"type": "string"}, {"type": ["object", "null"]}, {"$ref": "#/$defs/A"}]
)
def test_an_event_is_an_object(top: dict[str, Any]) -> None:
    with pytest.raises(EventTypeError, match="an event is a JSON object"):
        read_event_type("Event", top | {"$defs": {"A": {"type": "string"}}})


def test_references_that_multiply_are_stopped() -> None:
    definitions: dict[str, Any] = {"L0": {"type": "string"}}
    for level in range(1, 30):
        names = {name: {"$ref": f"#/$defs/L{level - 1}"} for name in "abcd"}
        definitions[f"L{level}"] = {"type": "object", "properties": names}
    with pytest.raises(EventTypeError, match="more than 5000 fields"):
        read_field({"$ref": "#/$defs/L29"}, **definitions)


def test_a_schema_nested_1000_deep_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(1_000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(EventTypeError, match="32 levels"):
        read_field(schema)
