"""The compiled decoder against `jsonschema` plus the written rules, on random and awkward bodies.

The rules of validity are written here a second time, plainly and from their text: nothing of
`gateway_lab.events` is used for the reference. `AGREE_PAIRS=2000000 pytest tests/agree` takes two million bodies.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from gateway_lab.events import express
from gateway_lab.events.decode import Decoder, InvalidBody, compile_decoder
from gateway_lab.events.event_type import Kind
from gateway_lab.events.schema import read_event_type

ROUNDS = int(os.environ.get("AGREE_PAIRS", "45000")) // 750
SCHEMAS_A_ROUND = 25
BODIES_A_SCHEMA = 30

# --- the reference ---


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its repeated keys."""


def read(body: bytes) -> Any:
    """Read one RFC 8259 value of at most 128 levels in UTF-8, or raise ValueError."""
    if len(body) > 1024 * 1024:
        raise ValueError("size")
    text = body.decode()
    if text.startswith("\ufeff"):
        raise ValueError("byte order mark")

    def refuse(word: str) -> None:
        raise ValueError(word)

    value = json.loads(text, object_pairs_hook=Pairs, parse_constant=refuse, parse_int=as_integer)
    check_texts_and_levels(value, 1)
    return value


def as_integer(text: str) -> int | float:
    return int(text) if len(text) < 1000 else math.inf  # Python reads no more than 4,300 digits


def check_texts_and_levels(value: Any, level: int) -> None:
    if isinstance(value, str):
        value.encode()  # half a surrogate pair is no text
    elif isinstance(value, list):
        if level > 128:
            raise ValueError("levels")
        for each in value:
            for part in each if isinstance(value, Pairs) else [each]:
                check_texts_and_levels(part, level + 1)


def variants(value: Any) -> Iterator[Any]:
    """Yield the value once for every choice among the occurrences of repeated keys."""
    if isinstance(value, Pairs):
        by_key: dict[str, list[Any]] = {}
        for key, each in value:
            by_key.setdefault(key, []).extend(variants(each))
        for chosen in itertools.product(*by_key.values()):
            yield dict(zip(by_key, chosen, strict=True))
    elif isinstance(value, list):
        for elements in itertools.product(*(list(variants(each)) for each in value)):
            yield list(elements)
    else:
        yield value


def last(value: Any) -> Any:
    if isinstance(value, Pairs):
        return {key: last(each) for key, each in value}
    return [last(each) for each in value] if isinstance(value, list) else value


PATTERNS = {
    r"^[a-z0-9-]{1,4}$": re.compile(r"\A[a-z0-9-]{1,4}\Z"),
    r"b": re.compile("b"),
    r"^\d+$|^\w$": re.compile(r"\A[0-9]+\Z|\A[A-Za-z0-9_]\Z"),
    r"é.\s?": re.compile(r"é[^\n][ \t-\r]?"),
}


def is_number(_checker: object, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_integer(_checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def check_pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(value, str) and not PATTERNS[pattern].search(value):
        yield jsonschema.ValidationError("pattern")


FORMATS = jsonschema.FormatChecker(["date-time"])


def micros_since_1970(text: str) -> int:
    since = datetime.fromisoformat(text.upper()) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


FIRST_MICRO = micros_since_1970("0001-01-01T00:00:00Z")
LAST_MICRO = micros_since_1970("9999-12-31T23:59:59.999999Z")


def check_format(_validator: Any, _format: str, value: Any, _schema: Any) -> Iterator[Any]:
    written = isinstance(value, str) and (
        not FORMATS.conforms(value, "date-time")
        or value.endswith("\n")
        or re.search(r"\.[0-9]{7}", value)
        or not FIRST_MICRO <= micros_since_1970(value) <= LAST_MICRO
    )
    if written:
        yield jsonschema.ValidationError("format")


def of_float64(keyword: Any) -> Any:
    """Compare numbers as float64, integers as they are."""

    def check(validator: Any, bound: Any, value: Any, schema: Any) -> Any:
        if "number" in schema["type"] and is_number(None, value):
            value = float(value)
        return keyword(validator, bound, value, schema)

    return check


BASE = jsonschema.Draft202012Validator
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum")
Reference = jsonschema.validators.extend(
    BASE,
    {"pattern": check_pattern, "format": check_format}
    | {word: of_float64(BASE.VALIDATORS[word]) for word in BOUNDS},
    type_checker=BASE.TYPE_CHECKER.redefine("number", is_number).redefine("integer", is_integer),
)


def is_valid(schema: Any, body: bytes | None) -> bool:
    if body is None:
        return False
    try:
        value = read(body)
    except (ValueError, RecursionError):
        return False
    validator = Reference(schema)
    return all(validator.is_valid(each) for each in variants(value))


def expected_value(value: Any, path: tuple[str, ...], kind: Kind, item: Kind | None) -> Any:
    for name in path:
        value = None if value is None else value.get(name)
    if kind is Kind.LIST and value is not None:
        return [convert(each, item) for each in value]
    return convert(value, kind)


def convert(value: Any, kind: Kind | None) -> Any:
    if value is None:
        return None
    if kind is Kind.TIMESTAMP:
        return micros_since_1970(value)
    return float(value) if kind is Kind.NUMBER else value


def same(actual: Any, expected: Any, kind: Kind, item: Kind | None) -> bool:
    if kind is Kind.LIST and isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(
            same(a, e, item or Kind.OBJECT, None) for a, e in zip(actual, expected, strict=True)
        )
    if kind is Kind.OBJECT and actual is not None:
        return isinstance(actual, bytes) and repr(last(read(actual))) == repr(expected)
    return repr(actual) == repr(expected)  # tells 1 from 1.0 and True, and -0.0 from 0.0


# --- random schemas ---

NAMES = ["a", "b", "é", "id", "a.b", "x y", "payload"]


def a_schema(rng: random.Random, depth: int) -> dict[str, Any]:
    kinds = ["string", "string", "integer", "number", "boolean", "any"]
    kinds += ["object", "array"] if depth else []
    make = MAKERS[rng.choice(kinds)]
    schema = make(rng, depth)
    if "type" in schema and rng.random() < 0.3:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if rng.random() < 0.1:
        schema["x-private"] = True
    return schema


def some(rng: random.Random, **keywords: Any) -> dict[str, Any]:
    return {word: value for word, value in keywords.items() if rng.random() < 0.3}


def a_string(rng: random.Random, _depth: int) -> dict[str, Any]:
    match rng.randrange(5):
        case 0:
            return {"type": "string", "format": "date-time"} | some(rng, maxLength=25)
        case 1:
            return {"type": "string", "enum": ["low", "high", "", "é"]} | some(rng, maxLength=3)
        case 2:
            return {"type": "string", "pattern": rng.choice(list(PATTERNS))} | some(
                rng, minLength=2
            )
        case _:
            return {"type": "string"} | some(rng, minLength=1, maxLength=3)


def an_integer(rng: random.Random, _depth: int) -> dict[str, Any]:
    if rng.random() < 0.2:
        return {"type": "integer", "enum": [0, 1, 7, -(2**63)]}
    bounds = {"minimum": rng.choice([0, -1.5]), "maximum": rng.choice([7, 7.5])}
    bounds |= {
        "exclusiveMinimum": rng.choice([-2, 0.5]),
        "exclusiveMaximum": rng.choice([100, 8.5]),
    }
    return {"type": "integer"} | some(rng, **bounds)


def a_number(rng: random.Random, _depth: int) -> dict[str, Any]:
    if rng.random() < 0.2:
        return {"type": "number", "enum": [0, 1.5, 7, 1e300]}
    bounds = {"minimum": rng.choice([0, -1.5]), "maximum": rng.choice([7, 2**53])}
    bounds |= {
        "exclusiveMinimum": rng.choice([-2, 0.5]),
        "exclusiveMaximum": rng.choice([100, 8.5]),
    }
    return {"type": "number"} | some(rng, **bounds)


def a_boolean(rng: random.Random, _depth: int) -> dict[str, Any]:
    return {"type": "boolean", "enum": [True]} if rng.random() < 0.2 else {"type": "boolean"}


def anything(_rng: random.Random, _depth: int) -> dict[str, Any]:
    return {}


def an_array(rng: random.Random, depth: int) -> dict[str, Any]:
    schema = {"type": "array"} | some(rng, minItems=1, maxItems=2)
    return schema | ({"items": a_schema(rng, depth - 1)} if rng.random() < 0.8 else {})


def an_object(rng: random.Random, depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if rng.random() < 0.85:
        names = rng.sample(NAMES, rng.randint(0, 4))
        schema["properties"] = {name: a_schema(rng, depth - 1) for name in names}
        schema["required"] = [name for name in names if rng.random() < 0.4]
    if rng.random() < 0.3:
        extra = a_schema(rng, depth - 1)
        schema["additionalProperties"] = rng.choice([True, False, False, extra])
    return schema


MAKERS = {
    "string": a_string,
    "integer": an_integer,
    "number": a_number,
    "boolean": a_boolean,
    "any": anything,
    "array": an_array,
    "object": an_object,
}

# --- random bodies, as text ---

TIMES = ["2026-11-23T10:15:00Z", "2026-11-23t10:15:00.25+01:00", "0001-01-01T01:00:00+01:00"]
TIMES += [
    "9999-12-31T23:59:59.999999z",
    "9999-12-31T22:59:59-01:00",
    "2024-02-29T00:00:00.123456Z",
    "1969-12-31T23:59:59.5-00:00",
]
NO_TIMES = [
    "2026-11-23 10:15:00Z",
    "2026-11-23T10:15:00",
    "2026-11-23T10:15Z",
    "2023-02-29T00:00:00Z",
]
NO_TIMES += [
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-11-23T10:15:60Z",
    "2026-11-23T24:00:00Z",
    "2026-11-23T10:15:00.1234567Z",
    "2026-1-1",
]
NO_TIMES += [
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-11-23T10:15:00.Z",
    "2026-11-23T10:15:00+0100",
    "2026-11-23T10:15:00Z\\n",
    "2026-W01-1",
]
NO_TIMES += [
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "0000-01-01T00:00:00Z",
    "\u0662026-11-23T10:15:00Z",
    "2026-11-23T10:15:00.\u0661Z",
    "10:15:00Z",
]
NO_TIMES += [
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-11-23T10:15:00.123456+24:00",
    "2026-11-23T10:15:00,5Z",
    "2026-11-23T10:15:00.123456Z+1",
    "2026-11-23T10:15:00.12345\uff16Z",
]
TEXTS = [
    "",
    "a",
    "low",
    "high",
    "é",
    "éx",
    "b1",
    "12",
    "t1\\n",
    "\u0663",
    "toolong",
    "\\u00e9",
    "\\ud83d\\ude00",
]
TEXTS += ["😀", "\\/", "\\u0000", "a b", "\\u0061"]
INTEGERS = ["0", "1", "7", "8", "-1", "-2", "-0", "9223372036854775807", "-9223372036854775808"]
NUMBERS = ["0.0", "-0.0", "1.5", "7.0", "8.5", "1e300", "1E-400", "0.1", "100", "9007199254740993"]
NUMBERS += ["4.9e-324", "2.2250738585072011e-308", "123456789012345678901234567890", "7e0", "0.5"]
AWKWARD = ["9223372036854775808", "-9223372036854775809", "1" * 100, "1" * 400, "1e400", "-1e400"]
AWKWARD += [
    "1.0",
    "1e2",
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    "+1",
    ".5",
    "1.",
    "0x1",
    "nul",
    "True",
]
AWKWARD += [
    '"\\ud800"',
    '"\\udc00x"',
    '"\udcff"',
    '"\udced\udca0\udc80"',
    '"\x01"',
    '"a\nb"',
    '"\\x"',
]
AWKWARD += ['"', "[", "{", "[1,]", '{"a":1,}', "{a:1}", "'a'", "//", "", "[" * 130 + "]" * 130, "-"]
AWKWARD += [
    '{"a":' * 128 + "1" + "}" * 128,
    "[" * 126 + "]" * 126,
    '"' + "[{" * 200 + '"',
    "1" * 5000,
]
AWKWARD += ['{"k":"\\\\"}', '{"k":"\\"[["}', "[" * 127 + "]" * 127, '"\x7f\u2028"', "1_0", "tru"]
SPACES = ["", "", "", " ", "\n\t\r ", "\x0c", "\u00a0"]


def a_text(rng: random.Random, schema: dict[str, Any]) -> str:
    """Write a value that mostly meets a schema."""
    chance = rng.random()
    if chance < 0.02:
        return rng.choice(AWKWARD)
    if chance < 0.05:
        return rng.choice(["null", "true", "0", "1.5", '"a"', "[]", "{}"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        if rng.random() < 0.2:
            return "null"
        kind = kind[0]
    return str(WRITERS[kind](rng, schema))


def write_string(rng: random.Random, schema: dict[str, Any]) -> str:
    if "format" in schema:
        return f'"{rng.choice(TIMES * 4 + NO_TIMES)}"'
    return f'"{rng.choice(TEXTS)}"'


def write_object(rng: random.Random, schema: dict[str, Any]) -> str:
    pairs = [
        (name, a_text(rng, child))
        for name, child in schema.get("properties", {}).items()
        for _ in range(rng.choice([0, 1, 1, 1, 1, 1, 1, 1, 2]))
    ]
    extra = schema.get("additionalProperties", True)
    if rng.random() < 0.2:
        pairs.append(
            (rng.choice(["other", *NAMES]), a_text(rng, extra if isinstance(extra, dict) else {}))
        )
    if rng.random() < 0.2:
        rng.shuffle(pairs)
    inside = ",".join(f"{a_key(rng, name)}:{a_space(rng)}{text}" for name, text in pairs)
    return f"{{{inside}{a_space(rng)}}}"


def a_key(rng: random.Random, name: str) -> str:
    if rng.random() < 0.05:
        name = "".join(f"\\u{ord(char):04x}" for char in name)
    return f'"{name}"'


def a_space(rng: random.Random) -> str:
    return rng.choice(SPACES) if rng.random() < 0.04 else ""


def write_array(rng: random.Random, schema: dict[str, Any]) -> str:
    items = schema.get("items", {})
    return f"[{','.join(a_text(rng, items) for _ in range(rng.choice([0, 1, 1, 2, 3])))}]"


def write_anything(rng: random.Random, _schema: dict[str, Any]) -> str:
    return rng.choice(["null", "1", '"a"', '{"a" : [1, {"b":null}]}', "[ ]", "1e5", "0.10"])


WRITERS = {
    "string": write_string,
    "integer": lambda rng, _: rng.choice(INTEGERS),
    "number": lambda rng, _: rng.choice(INTEGERS + NUMBERS),
    "boolean": lambda rng, _: rng.choice(["true", "false"]),
    "any": write_anything,
    "array": write_array,
    "object": write_object,
}


def a_body(rng: random.Random, schema: dict[str, Any]) -> bytes | None:
    text = write_object(rng, schema) if rng.random() < 0.98 else a_text(rng, schema)
    chance = rng.random()
    if chance < 0.01:
        return None
    if chance < 0.04:
        text = rng.choice(
            ["\ufeff" + text, text + "x", text[:-1], text + text, " " + text + "\n", text + "\0"]
        )
    return text.encode("utf-8", "surrogateescape")


# --- the comparison ---


@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_decoder_says_what_jsonschema_and_the_written_rules_say(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(express, "LEARN_BODIES", BODIES_A_SCHEMA // 2)
    monkeypatch.setattr(express, "LEARN_MISSES", 3)
    rng = random.Random(seed)  # noqa: S311 - not a secret
    valid = 0
    for _ in range(SCHEMAS_A_ROUND):
        schema = an_object(rng, 3)
        bodies = [a_body(rng, schema) for _ in range(BODIES_A_SCHEMA)]
        valid += compare(schema, bodies)
    share = valid / (SCHEMAS_A_ROUND * BODIES_A_SCHEMA)
    assert 0.2 < share < 0.9, "bodies that are nearly all valid, or invalid, test little"


def compare(schema: dict[str, Any], bodies: list[bytes | None]) -> int:
    """Compare verdicts and values, one by one and all at once; return how many were valid."""
    event_type = read_event_type("Event", schema)
    paths = [path for path, _ in event_type.paths()]
    decoder = compile_decoder(event_type, paths)
    half = len(bodies) // 2
    decoder.decode_many(bodies[:half])  # learns the texts of the first half
    columns, invalid = decoder.decode_many(bodies)
    assert decoder.decode_many(bodies) == (columns, invalid)
    assert [len(column) for column in columns] == [len(bodies)] * len(paths)
    for at, body in enumerate(bodies):
        told = f"\nschema: {json.dumps(schema)}\nbody: {body!r}"
        assert (at not in invalid) == is_valid(schema, body), f"{invalid.get(at)}{told}"
        values, reason = decode(decoder, body, len(paths))
        assert reason == invalid.get(at), told
        assert reason != "not valid", told
        assert repr(values) == repr(tuple(column[at] for column in columns)), told
        if body is not None and at not in invalid:
            compare_values(event_type, paths, values, last(read(body)), told)
    return len(bodies) - len(invalid)


def decode(decoder: Decoder, body: bytes | None, width: int) -> tuple[tuple[Any, ...], str | None]:
    try:
        return decoder.decode(body), None
    except InvalidBody as error:
        return (None,) * width, error.reason


def compare_values(event_type: Any, paths: Any, values: Any, event: Any, told: str) -> None:
    for path, value in zip(paths, values, strict=True):
        kind = event_type.find(path).value_type
        expected = expected_value(event, path, kind.kind, kind.item)
        assert same(value, expected, kind.kind, kind.item), f"{path}: {value!r}, {expected!r}{told}"
