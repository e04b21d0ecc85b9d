"""The grammar: DuckDB's own parser is the judge of what binds how."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from gateway_lab.errors import RuleError
from gateway_lab.rules.codes import RULE_CODES
from gateway_lab.rules.parse import parse
from gateway_lab.rules.syntax import Name, Syntax
from gateway_lab.rules.tree import Literal
from tests.examples import examples


def shape(tree: Syntax) -> Any:
    """Write a tree as nested tuples: ("and", "a", ("not", "b"))."""
    if isinstance(tree, Name):
        return ".".join(tree.parts)
    if isinstance(tree, Literal):
        return tree.value
    return (tree.function, *map(shape, tree.args))


def refused(text: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        parse(text)
    assert caught.value.code in RULE_CODES
    assert 0 <= caught.value.start < caught.value.end
    return caught.value


# --- what is read ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("priority = 'it''s'", ("=", "priority", "it's")),
        ("a != 1", ("<>", "a", 1)),
        ("payload.amount > 1.5", (">", "payload.amount", 1.5)),
        ('"order".total = 1', ("=", "order.total", 1)),
        ('"say ""hi"""', 'say "hi"'),
        ("größe = 1", ("=", "größe", 1)),
        ("a and b and c or d", ("or", ("and", "a", "b", "c"), "d")),
        ("(a and b) and c", ("and", ("and", "a", "b"), "c")),
        ("not a = b", ("not", ("=", "a", "b"))),
        ("a = b is null", ("is null", ("=", "a", "b"))),
        ("a is not null", ("not", ("is null", "a"))),
        ("a is distinct from b", ("not", ("is not distinct from", "a", "b"))),
        ("a not in (1, 2)", ("not", ("in", "a", 1, 2))),
        ("a not between 1 and 2", ("not", ("between", "a", 1, 2))),
        ("a like 'x!%' escape '!'", ("like", "a", "x!%", "!")),
        ("'bug' = any(labels)", ("= any", "bug", "labels")),
        ("labels[1] = 'x'", ("=", ("[]", "labels", 1), "x")),
        ("message.headers['X']", ("[]", "message.headers", "X")),
        ("- a * b", ("*", ("negate", "a"), "b")),
        ("a - -1", ("-", "a", -1)),
        ("-9223372036854775808", -(2**63)),
        ("a || 'b' || c", ("||", "a", "b", "c")),
        ("try_cast(a as integer)", ("try_cast integer", "a")),
        ("TRY_CAST(a AS BigInt)", ("try_cast integer", "a")),
        ("case when a then 1 else 2 end", ("case", "a", 1, 2)),
        ("timestamp '1970-01-01T01:00:00+01:00'", 0),
        ("timestamp > 5", (">", "timestamp", 5)),
        ("count(*) > 5", (">", ("count(*)",), 5)),
        ("Lower(a) = 'x'", ("=", ("lower", "a"), "x")),
        (" \n\ta\r\n", "a"),
        (".5 = 1.", ("=", 0.5, 1.0)),
    ],
)
def test_a_rule_is_read_as_sql(text: str, expected: Any) -> None:
    assert shape(parse(text)) == expected


@pytest.mark.parametrize("text", ["(a or b) and c", " ( a ) = b ", "lower( a ) = 'x'", "a in (1)"])
def test_the_place_of_a_tree_is_all_of_its_text(text: str) -> None:
    tree = parse(text)
    assert text[tree.span.start : tree.span.end] == text.strip()


# --- precedence and associativity are DuckDB's ---

_OPERATORS = (
    *("=", "<>", "<", ">=", "and", "or", "+", "-", "*", "/", "//", "%", "||", "like"),
    *("is not distinct from", "is distinct from"),
)
_SUFFIXES = ("is null", "is not null", "in (1, 2)", "not in (1, 2)", "between 1 and 2")
_PREFIXES = ("not", "-")


@st.composite
def token_rules(draw: st.DrawFn) -> str:
    """Give rules without any parentheses, so that only precedence decides."""
    words = [draw(st.sampled_from("abcd"))]
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 3)) == 0:
            words.append(draw(st.sampled_from(_SUFFIXES)))
            continue
        words.append(draw(st.sampled_from(_OPERATORS)))
        if draw(st.integers(0, 3)) == 0:
            words.append(draw(st.sampled_from(_PREFIXES)))
        words.append(draw(st.sampled_from("abcd")))
    return " ".join(words)


_DUCKDB = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_NOT_DISTINCT_FROM": "is not distinct from",
    "COMPARE_BETWEEN": "between",
    "COMPARE_IN": "in",
    "OPERATOR_IS_NULL": "is null",
    "OPERATOR_NOT": "not",
    "~~": "like",
}


def judged(text: str) -> Any:
    """Let DuckDB parse; None where it refuses."""
    sql = duckdb.execute("SELECT json_serialize_sql(?)", [f"SELECT {text}"]).fetchall()[0][0]
    parsed = json.loads(sql)
    if parsed["error"]:
        return None
    return _shape_of(parsed["statements"][0]["node"]["select_list"][0])


def _shape_of(node: dict[str, Any]) -> Any:  # noqa: PLR0911  # one a class of DuckDB's nodes
    children = [
        *node.get("children", ()),
        *(each["expression"] for each in node.get("arguments", ())),
    ]
    children += [
        node[name] for name in ("left", "right", "input", "lower", "upper") if name in node
    ]
    args = [_shape_of(child) for child in children]
    match node["class"], node["type"]:
        case "COLUMN_REF", _:
            return ".".join(node["column_names"])
        case "CONSTANT", _:
            return int(node["literal"]["text"])
        case "CONJUNCTION", kind:
            return _flat(kind.removeprefix("CONJUNCTION_").lower(), args)
        case _, "OPERATOR_IS_NOT_NULL":
            return ("not", ("is null", *args))
        case _, "COMPARE_DISTINCT_FROM":
            return ("not", ("is not distinct from", *args))
        case "FUNCTION", _:
            name = node["function_name"]
            name = "negate" if name == "-" and len(args) == 1 else _DUCKDB.get(name, name)
            return _flat(name, args) if name == "||" else (name, *args)
        case _, kind:
            return (_DUCKDB[kind], *args)


def _flat(word: str, args: list[Any]) -> Any:
    """Make one node of a chain, as the parser does."""
    parts = (arg[1:] if isinstance(arg, tuple) and arg[0] == word else (arg,) for arg in args)
    return (word, *(each for part in parts for each in part))


@given(text=token_rules())
@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
def test_precedence_is_that_of_duckdb(text: str) -> None:
    expected = judged(text)
    try:
        tree = shape(parse(text))
    except RuleError:
        reject()  # stricter is allowed
    assert tree == expected


# --- what is refused ---


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "rule-syntax", "empty"),
        ("  ", "rule-syntax", "empty"),
        ("a ==1", "rule-syntax", "use `=`, not `==`"),
        ("a = 1 && b", "rule-syntax", "use `and`"),
        ("a = 'x", "rule-syntax", "not closed"),
        ('a = "x', "rule-syntax", "not closed"),
        ("a = `x`", "rule-syntax", "double quotes"),
        ("1 < x < 3", "rule-syntax", "1 < x and x < 3"),
        ("'a' 'b'", "rule-syntax", "two strings"),
        ("e'a'", "unsupported-syntax", "no prefix"),
        ("x'ff'", "unsupported-syntax", "no prefix"),
        ("0x1F = a", "rule-syntax", "not a number"),
        ("1_000 = a", "rule-syntax", "not a number"),
        ("1a = a", "rule-syntax", "not a number"),
        ("1.2.3", "rule-syntax", "not a number"),
        ("a -- comment", "rule-syntax", "comments"),
        ("a /* comment */", "rule-syntax", "comments"),
        ("a; drop table b", "rule-syntax", "one expression"),
        ("a::int = 1", "rule-syntax", "try_cast"),
        ("a = ?", "rule-syntax", "settings"),
        ("a = $1", "rule-syntax", "settings"),
        ("{a} = 1", "rule-syntax", "braces"),
        ("a ~ 'x'", "rule-syntax", "regexp_matches"),
        ("a = 1 b", "rule-syntax", "operator is missing"),
        ("a =", "rule-syntax", "too early"),
        ("(a = 1", "rule-syntax", "`)` is missing"),
        ("a = 1)", "rule-syntax", "cannot stand here"),
        ("order = 1", "rule-syntax", '"order"'),
        ("end", "rule-syntax", '"end"'),
        ("select 1", "rule-syntax", "without queries"),
        ("cast(a as int)", "rule-syntax", "try_cast"),
        ("any(a) = 1", "rule-syntax", "on the right"),
        ("a = null", "null-comparison", "is null"),
        ("a in (1, null)", "null-comparison", "is null"),
        ("case a when 1 then 2 end = 1", "unsupported-syntax", "case when"),
        ("a <> any(b)", "unsupported-syntax", "not x = any"),
        ("(a, b) = (1, 2)", "unsupported-syntax", "behind `in`"),
        ("lower(a) over ()", "unsupported-syntax", "over"),
        ("count(a order by b)", "unsupported-syntax", "order"),
        ("try_cast(a as date)", "unsupported-syntax", "integer, number"),
        ("a.lower(b)", "unsupported-function", "dots"),
        ("a isnull", "unsupported-syntax", "write `x is null`"),
        ("interval '1 day' > a", "unsupported-syntax", "epoch_ms"),
        ("a > date '2026-01-31'", "unsupported-syntax", "timestamp '2026-01-31T00:00:00Z'"),
        ("extract(year from a) = 1", "unsupported-syntax", "year(t)"),
        ("substring(a from 1)", "unsupported-syntax", "commas"),
        ("a contains 'x'", "unsupported-syntax", "contains(x, 'part')"),
        ("'x' in a", "rule-syntax", "any(list)"),
        ("a in ()", "rule-syntax", "a value is missing"),
        ("= 1", "rule-syntax", "in front of it"),
        ("a = “x”", "rule-syntax", "single quotes"),
        ("a ≠ 1", "rule-syntax", "use `<>`"),
        ("a => 1", "rule-syntax", "use `>=`"),
        ("a->'b' = 1", "rule-syntax", "payload.id"),
        ("a =\u00a01", "rule-syntax", "U+00A0"),
        ("a = '\ud800'", "rule-syntax", "surrogate"),
        ("a is 5", "rule-syntax", "distinct from"),
        ("a not 5", "rule-syntax", "`not` here"),
        ("a = not b", "rule-syntax", "parentheses"),
        ("+a", "rule-syntax", "no use"),
        ("a.", "rule-syntax", "behind the dot"),
        ("a # b", "rule-syntax", "no meaning"),
        ("a = 1\0", "rule-syntax", "no meaning"),
        ("9223372036854775808", "bad-constant", "out of range"),
        ("-9223372036854775809", "bad-constant", "out of range"),
        ("1e999", "bad-constant", "out of range"),
        ("1" * 400 + ".0", "bad-constant", "out of range"),
        ("timestamp '2026-01-31'", "bad-constant", "Z or an offset"),
        ("timestamp '2026-01-31T12:00:00'", "bad-constant", "Z or an offset"),
        ("timestamp '2026-02-30T12:00:00Z'", "bad-constant", "not a time"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_a_hint(
    text: str, code: str, words: str
) -> None:
    error = refused(text)
    assert (error.code, words in str(error)) == (code, True), str(error)


def test_a_long_rule_is_refused_before_it_is_read() -> None:
    assert refused("a" * 4097).code == "rule-too-long"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1000 + "a" + ")" * 1000,
        "not " * 1000 + "a",
        "- " * 1000 + "a",
        "lower(" * 600 + "a" + ")" * 600,
        "a[" * 1000 + "1" + "]" * 1000,
        "case when " * 300 + "a",
        "a in (" * 500 + "1" + ")" * 500,
        " + ".join("a" * 1000),
        "try_cast(" * 300,
        "(" * 2000,
    ],
)
def test_a_thousand_levels_are_a_clear_error(text: str) -> None:
    error = refused(text[:4096])
    assert error.code == "rule-too-deep"
    assert "20 levels" in error.problem


def test_twenty_levels_and_long_chains_of_and_are_fine() -> None:
    parse("(" * 20 + "a" + ")" * 20)
    assert len(shape(parse(" and ".join("a" * 500)))) == 501


@given(
    text=st.text(
        alphabet="ab=<>'\"()[].,-+*/|% \n1e_\\!{}andornotinlikeiscasewhenthend", max_size=60
    )
)
@settings(max_examples=examples(300), deadline=None)
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        tree = parse(text)
    except RuleError:
        assert str(refused(text))
    else:
        assert text[tree.span.start : tree.span.end].strip()
