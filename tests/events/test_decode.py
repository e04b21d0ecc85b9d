"""The compiled decoder: values, verdicts and reasons. Random bodies are in tests/agree."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway_lab.errors import EventTypeError
from gateway_lab.events import express
from gateway_lab.events.decode import InvalidBody, compile_decoder
from gateway_lab.events.event_type import EventType, Path
from gateway_lab.events.schema import read_event_type
from gateway_lab.events.validity import Limits

BUSINESS: dict[str, Any] = {
    "type": "object",
    "required": ["event_type", "priority", "payload", "tenant_id"],
    "properties": {
        "event_type": {"type": "string"},
        "priority": {"enum": ["low", "medium", "high", "critical"]},
        "payload": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "amount": {"type": "number"}},
        },
        "tenant_id": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$", "x-private": True},
    },
}
START = b'{"event_type":"order","priority":"low","tenant_id":"t1",'


def event_type(**properties: Any) -> EventType:
    return read_event_type("Event", {"type": "object", "properties": properties})


def decode(properties: dict[str, Any], body: bytes, *paths: Path) -> tuple[Any, ...]:
    return compile_decoder(event_type(**properties), paths).decode(body)


def reason(properties: dict[str, Any], body: bytes | None, **limits: int) -> str:
    decoder = compile_decoder(event_type(**properties), [], Limits(**limits))
    with pytest.raises(InvalidBody) as caught:
        decoder.decode(body)
    assert decoder.decode_many([body]) == ([], {0: caught.value.reason})
    return caught.value.reason


def test_values_come_in_the_order_of_the_paths() -> None:
    paths: list[Path] = [("payload", "amount"), ("tenant_id",), ("priority",), ("payload",)]
    decoder = compile_decoder(read_event_type("BusinessEvent", BUSINESS), paths)
    body = START + b'"payload":{"amount" : 12}}'
    assert decoder.decode(body) == (12.0, "t1", "low", b'{"amount" : 12}')
    assert decoder.decode_many([body, b"no!!!", body]) == (
        [
            [12.0, None, 12.0],
            ["t1", None, "t1"],
            ["low", None, "low"],
            [b'{"amount" : 12}', None, b'{"amount" : 12}'],
        ],
        {1: "not JSON: invalid character at byte 1"},
    )


def test_a_path_that_is_not_declared_is_refused_with_a_hint() -> None:
    with pytest.raises(EventTypeError, match=r"no field payload\.amont") as caught:
        compile_decoder(read_event_type("BusinessEvent", BUSINESS), [("payload", "amont")])
    assert caught.value.hint == "did you mean 'payload.amount'?"


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, b'"\\u00e9\\ud83d\\ude00"', "é😀"),
        ({"type": "boolean"}, b"true", True),
        ({"type": "integer"}, b"-9223372036854775808", -(2**63)),
        ({"type": "integer"}, b"-0", 0),
        ({"type": "number"}, b"-0.0", -0.0),
        ({"type": "number"}, b"1", 1.0),
        ({"type": "number"}, b"1" * 100, float("1" * 100)),
        ({"type": "number", "enum": [1, 2.5]}, b"1.0", 1.0),
        ({"type": "string", "format": "date-time"}, b'"1970-01-01T00:00:01.5Z"', 1_500_000),
        ({"type": "string", "format": "date-time"}, b'"1970-01-01T01:00:00+01:00"', 0),
        ({"type": "array", "items": {"type": "number"}}, b"[1,-0.0]", [1.0, -0.0]),
        ({"type": "array", "items": {"type": ["string", "null"]}}, b'["a",null]', ["a", None]),
        ({"type": "array"}, b'[ 1 , {"a" : 1},null]', [b"1", b'{"a" : 1}', None]),
        ({"type": "array", "items": {"type": "array"}}, b"[[ 1 ],[]]", [b"[ 1 ]", b"[]"]),
        ({"type": "object"}, b'{"a" : [ ]}', b'{"a" : [ ]}'),
        ({}, b"1.50", b"1.50"),
        ({}, b"null", None),
        ({"type": ["integer", "null"]}, b"null", None),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, b'{"a":1}', b'{"a":1}'),
    ],
)
def test_a_value_is_held_as_its_kind_says(
    schema: dict[str, Any], text: bytes, value: object
) -> None:
    values = decode({"f": schema}, b'{"f": ' + text + b" }", ("f",))
    assert repr(values) == repr((value,))
    assert decode({"f": schema}, b"{}", ("f",)) == (None,)


def test_a_field_under_a_missing_or_null_object_is_none() -> None:
    leaf = {"type": ["object", "null"], "properties": {"c": {"type": "integer"}, "d": {}}}
    properties = {"a": {"type": "object", "properties": {"b": leaf}}}
    paths = ("a", "b", "c"), ("a", "b", "d"), ("a", "b")
    for body in (b"{}", b'{"a":{}}', b'{"a":{"b":null}}'):
        assert decode(properties, body, *paths) == (None, None, None)
    assert decode(properties, b'{"a":{"b":{"c":1,"d":[2]}}}', *paths)[:2] == (1, b"[2]")


def test_of_a_repeated_key_the_last_counts_and_all_must_meet_the_schema() -> None:
    properties = {"t": {"type": "string", "pattern": "^[a-z]$"}, "o": {"type": "object"}}
    assert decode(properties, b'{"t":"a","t":"b"}', ("t",)) == ("b",)
    assert reason(properties, b'{"t":"A","t":"b"}') == "t: 'A' does not match ^[a-z]$"
    assert reason(properties, b'{"o":1,"o":{}}') == "o: expected object, got integer"


def test_a_repeated_object_replaces_the_one_before() -> None:
    payload = {"type": "object", "properties": {"id": {"type": "string"}}}
    body = b'{"payload":{"id":"a"},"payload":{}}'
    assert decode({"payload": payload}, body, ("payload", "id"), ("payload",)) == (None, b"{}")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, "no body"),
        (b"", "empty body"),
        (b" ", "not JSON: input data was truncated"),
        (rb'{"skipped":"\ud800"}', "not JSON: half of a surrogate pair"),
        (rb'{"skipped":"\udc00\ud83d"}', "not JSON: half of a surrogate pair"),
        (rb'{"skipped":"\ud83d', "not JSON: input data was truncated"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8: byte 0"),
        (b'{"skipped":"\xed\xa0\x80"}', "not UTF-8: byte 12"),
        (b"\xef\xbb\xbf{}", "not JSON: invalid character at byte 0"),
        (b'{"skipped":NaN}', "not JSON: invalid character at byte 11"),
        (b'{"skipped":[1,]}', "not JSON: trailing comma in array at byte 14"),
        (b'{"skipped":"a\nb"}', "not JSON: invalid character at byte 13"),
        (b'{"skipped":"\\ud800 and more"}', "not JSON: half of a surrogate pair"),
        (b"{} {}", "not JSON: trailing characters at byte 4"),
        (b"[]", "expected object, got array"),
        (b"null", "expected object, got null"),
        (b"{" + b'"a":{' * 128 + b"}" * 129, "nested deeper than 128 levels"),
        (b"[" * 10_000 + b"]" * 10_000, "nested deeper than 128 levels"),
        (b'{"a":' * 10_000, "nested deeper than 128 levels"),
        (b'{"a":"' + b"x" * 10_000_000 + b'"}', "larger than 1,048,576 bytes: 10,000,008"),
        (b'{"i":%s}' % (b"1" * 100), "i: integer outside int64"),
        (b'{"i":%s}' % (b"1" * 100_000), "i: integer outside int64"),
        (b'{"i":1.0}', "i: expected integer, got number"),
        (b'{"i":1e3}', "i: expected integer, got number"),
        (b'{"i":true}', "i: expected integer, got boolean"),
        (b'{"i":null}', "i: expected integer, got null"),
        (b'{"n":1e400}', "n: number outside float64"),
        (b'{"n":%s}' % (b"1" * 400), "n: number outside float64"),
        (b'{"list":[1,"2"]}', "list[1]: expected integer, got string"),
        (b'{"list":[1,2,3,4]}', "list: more than 3 elements"),
    ],
)
def test_a_bad_body_is_refused_with_a_reason(body: bytes | None, expected: str) -> None:
    items = {"type": "array", "items": {"type": "integer"}, "maxItems": 3}
    properties = {"i": {"type": "integer"}, "n": {"type": "number"}, "list": items}
    assert reason(properties, body).startswith(expected)


def test_the_deepest_body_allowed_is_valid() -> None:
    body = b'{"a":' + b"[" * 127 + b"]" * 127 + b',"s":"' + b"[{" * 500 + b'\\"["}'
    assert decode({}, body) == ()


def test_limits_can_be_set() -> None:
    assert reason({}, b'{"a": 1}', max_bytes=5) == "larger than 5 bytes: 8"
    assert reason({}, b'{"a":{}}', max_levels=1) == "nested deeper than 1 levels"


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"enum": ["low", "high"]}, b'"urgent"', "'urgent' is not one of low, high"),
        ({"type": "number", "enum": [1, 2.5]}, b"3", "3.0 is not one of 1.0, 2.5"),
        ({"const": True}, b"false", "False is not one of True"),
        ({"type": "string", "minLength": 2}, '"é"'.encode(), "'é' is shorter than 2 characters"),
        ({"type": "string", "maxLength": 1}, b'"ab"', "'ab' is longer than 1 characters"),
        ({"type": "string", "pattern": "^t1$"}, b'"t1\\n"', r"'t1\n' does not match ^t1$"),
        ({"type": "integer", "minimum": 1}, b"0", "0 is below 1"),
        ({"type": "number", "exclusiveMaximum": 1}, b"1", "1.0 is not below 1.0"),
        ({"type": "number", "maximum": 1, "minimum": 0}, b"2", "2.0 is above 1.0"),
        ({"type": "integer", "exclusiveMinimum": 1}, b"1", "1 is not above 1"),
        (
            {"type": "string", "format": "date-time"},
            b'"2026-11-23"',
            "'2026-11-23' is no RFC 3339 date-time with seconds and offset",
        ),
        ({"type": "array", "minItems": 1}, b"[]", "fewer than 1 elements"),
        (
            {"type": "object", "additionalProperties": False},
            b'{"x":1}',
            "the field 'x' is not declared",
        ),
    ],
)
def test_a_reason_names_the_field_and_the_keyword(
    schema: dict[str, Any], text: bytes, expected: str
) -> None:
    assert reason({"f": schema}, b'{"f":' + text + b"}") == f"f: {expected}"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[a-z]$"},
        {"type": "string", "format": "date-time"},
        {"enum": ["a", "b"]},
        {"type": "string", "maxLength": 2},
        {"type": "integer"},
        {"type": "array", "items": {"type": "string", "maxLength": 1}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "additionalProperties": False},
    ],
)
def test_a_private_value_is_never_in_a_reason(schema: dict[str, Any]) -> None:
    texts = (b'"SECRET"', b'["SECRET"]', b'{"SECRET":"SECRET"}')
    for text in texts:
        decoder = compile_decoder(event_type(f=schema | {"x-private": True}), [])
        invalid = decoder.decode_many([b'{"f":' + text + b"}"])[1]
        assert "SECRET" not in str(invalid)


def test_a_long_value_is_cut_in_a_reason() -> None:
    assert len(reason({"f": {"enum": ["a"]}}, b'{"f":"' + b"x" * 10_000 + b'"}')) < 80


def test_a_required_field_that_is_missing_is_named() -> None:
    document = {"type": "object", "required": ["a"], "properties": {"a": {}}}
    decoder = compile_decoder(read_event_type("Event", document), [("a",)])
    assert decoder.decode(b'{"a":null}') == (None,)
    assert decoder.decode_many([b"{}"])[1] == {0: "a: required but missing"}


def test_thousands_of_bodies_keep_their_places() -> None:
    bodies = [b'{"i":%d}' % at if at % 7 else b'{"i":"%d"}' % at for at in range(5_000)]
    columns, invalid = compile_decoder(event_type(i={"type": "integer"}), [("i",)]).decode_many(
        bodies
    )
    assert columns == [[at if at % 7 else None for at in range(5_000)]]
    assert list(invalid) == list(range(0, 5_000, 7))


def test_the_garbage_collector_is_left_as_it_was() -> None:
    decoder = compile_decoder(event_type(i={"type": "integer"}), [("i",)])
    assert gc.isenabled()
    decoder.decode_many([b"{}", b"no", None])
    assert gc.isenabled()
    gc.disable()
    try:
        decoder.decode_many([b"{}"])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_texts_that_were_checked_are_forgotten_in_time() -> None:
    decoder = compile_decoder(event_type(t={"type": "string", "pattern": "^[a-z0-9]+$"}), [("t",)])
    columns, invalid = decoder.decode_many([b'{"t":"%d"}' % at for at in range(60_000)])
    assert columns[0] == [str(at) for at in range(60_000)]
    assert invalid == {}
    caches = [each for each in gc.get_objects() if type(each).__name__ == "_TextCache"]
    assert [len(each) for each in caches if "59999" in each] == [10_000]


def test_a_text_seen_first_after_thousands_of_bodies_is_judged_like_any_other() -> None:
    decoder = compile_decoder(
        event_type(t={"type": "string", "pattern": "^[a-z]+$"}, s={"type": "string"}),
        [("t",), ("s",)],
    )
    many = [b'{"t":"a","s":"x"}', b'{"t":"b"}', b'{"t":"A"}', b'{"s":null}'] * 5_000
    assert len(decoder.decode_many(many)[1]) == 10_000
    late = [b'{"t":"a","s":"new"}', b'{"t":"new"}', b'{"t":"NEW"}', b'{"t":"A","t":"a"}', b"{}"]
    for _ in range(3):
        columns, invalid = decoder.decode_many(late * 200)
        assert [column[:5] for column in columns] == [
            ["a", "new", None, None, None],
            ["new", None, None, None, None],
        ]
        assert [at for at in invalid if at < 5] == [2, 3]


def test_a_field_with_many_texts_is_not_learned() -> None:
    decoder = compile_decoder(event_type(s={"type": "string"}), [("s",)])
    bodies = [b'{"s":"%d"}' % at for at in range(30_000)]
    assert decoder.decode_many(bodies) == ([[str(at) for at in range(30_000)]], {})
    assert decoder._express.read is None


def test_threads_may_share_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(express, "LEARN_BODIES", 50)
    monkeypatch.setattr(express, "LEARN_MISSES", 1)
    monkeypatch.setattr(express, "MOST_TEXTS", 10_000)
    decoder = compile_decoder(event_type(s={"type": "string"}), [("s",)])
    texts = [[str(at) for at in range(start, start + 1_500)] for start in range(0, 6_000, 1_500)]
    bodies = [[b'{"s":"%s"}' % text.encode() for text in each] for each in texts]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(decoder.decode_many, bodies))
    finally:
        sys.setswitchinterval(interval)
    assert results == [([each], {}) for each in texts]
