"""Names, types and constants: what a rule may say about an event, and how it is told off."""

from __future__ import annotations

import pytest

from gateway_lab.errors import RuleError
from gateway_lab.events.event_type import EventType, Kind, Schema, ValueType
from gateway_lab.rules.codes import RULE_CODES
from gateway_lab.rules.to_python import compile_value
from gateway_lab.rules.tree import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIMESTAMP,
    Call,
    Field,
    Header,
    Literal,
    Meta,
    Span,
    references,
)
from gateway_lab.rules.types import Scope, resolve

ORDER = EventType(
    name="Order",
    schema=Schema(
        type="object",
        properties={
            "priority": Schema(type="string", enum=("low", "high")),
            "payload": Schema(type="object", properties={"amount": Schema(type="number")}),
            "count": Schema(type="integer"),
            "paid": Schema(type="boolean"),
            "at": Schema(type="string", date_time=True),
            "labels": Schema(type="array", items=Schema(type="string")),
            "lines": Schema(type="array", items=Schema(type="object")),
            "extra": Schema(type="object"),
            "message": Schema(type="string"),
            "order": Schema(type="string"),
        },
    ),
)
USER = EventType(
    name="User",
    schema=Schema(
        type="object",
        properties={
            "priority": Schema(type="integer"),
            "name": Schema(type="string"),
            "count": Schema(type="integer"),
        },
    ),
)
SETTINGS = {
    "big": Literal(1000.0, NUMBER, Span(0, 1)),
    "prefix": Literal("eu", TEXT, Span(0, 1)),
    "regex": Literal("^a", TEXT, Span(0, 1)),
}
SCOPE = Scope({"Order": ORDER}, SETTINGS)
BOTH = Scope({"Order": ORDER, "User": USER}, SETTINGS)
AGGREGATES = Scope({"Order": ORDER}, SETTINGS, aggregates=True)
HERE = Span(0, 0)


def refused(text: str, scope: Scope = SCOPE, expect: Kind | None = None) -> RuleError:
    with pytest.raises(RuleError) as caught:
        resolve(text, scope, expect=expect)
    assert caught.value.code in RULE_CODES
    return caught.value


# --- names ---


@pytest.mark.parametrize(
    ("text", "leaf"),
    [
        ("count", Field(("count",), INTEGER, HERE)),
        ("payload.amount", Field(("payload", "amount"), NUMBER, HERE)),
        ("event.count", Field(("count",), INTEGER, HERE)),
        ("event.message", Field(("message",), TEXT, HERE)),
        ('"order"', Field(("order",), TEXT, HERE)),
        ("at", Field(("at",), TIMESTAMP, HERE)),
        ("labels", Field(("labels",), ValueType(Kind.LIST, Kind.TEXT), HERE)),
        ("extra", Field(("extra",), ValueType(Kind.OBJECT), HERE)),
        ("message.key", Meta("key", TEXT, HERE)),
        ("message.received", Meta("received", TIMESTAMP, HERE)),
        ("message.headers['X-Id']", Header("x-id", HERE)),
        ("settings.big", Literal(1000.0, NUMBER, HERE)),
    ],
)
def test_a_name_means_a_field_a_part_of_the_message_or_a_setting(text: str, leaf: object) -> None:
    assert resolve(text, SCOPE) == leaf


def test_a_field_of_some_event_types_is_known_where_its_type_is_the_same() -> None:
    assert resolve("name", BOTH) == Field(("name",), TEXT, HERE)
    assert resolve("count", BOTH).type == INTEGER


def test_a_name_that_no_event_type_has_names_them_all() -> None:
    with pytest.raises(RuleError, match=r"none of .+, .+ has a field 'nam'"):
        resolve("nam = 'a'", BOTH)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("prioriti = 'high'", "unknown-name", "did you mean 'priority'?"),
        ('priority = "high"', "unknown-name", "single quotes: 'high'"),
        ("Priority = 'high'", "unknown-name", "'priority'"),
        ("payload.amounts > 1", "unknown-name", "'payload.amount'"),
        ("extra.x = 1", "opaque-object", "declare properties of extra in the event type"),
        ("extra = 1", "opaque-object", "is null"),
        ("labels.x = 1", "unknown-name", "labels[1]"),
        ("count.x = 1", "unknown-name", "no fields"),
        ("lines[1] is null", "opaque-object", "is null"),
        ("settings.bigg > 1", "unknown-name", "'big'"),
        ("setting.big > 1", "unknown-name", "did you mean 'settings.big'?"),
        ("key = 'a'", "unknown-name", "message.key"),
        ("current_date > at", "unknown-name", "message.received"),
        ("message.kee = 'a'", "unknown-name", "event.message"),
        ("message.headers = 'a'", "unknown-name", "message.headers['x']"),
        ("message.headers[count] = 'a'", "not-constant", "constant"),
    ],
)
def test_a_name_that_means_nothing_comes_with_a_hint(text: str, code: str, words: str) -> None:
    error = refused(text)
    assert (error.code, words in str(error)) == (code, True), str(error)


def test_a_field_with_two_types_asks_for_the_events_of_the_route() -> None:
    error = refused("priority = 'high'", BOTH)
    assert error.code == "ambiguous-name"
    assert "text in Order, integer in User" in str(error)
    assert "events: […]" in error.hint


def test_without_an_event_type_only_the_message_is_known() -> None:
    scope = Scope({}, {})
    assert resolve("message.key = 'a'", scope).type == BOOLEAN
    assert "declare `event:`" in refused("priority = 'high'", scope).hint


def test_a_scope_may_do_without_the_message() -> None:
    assert refused("message.key = 'a'", Scope({}, {}, message=False)).code == "unknown-name"


# --- types ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("priority = 1", "integer"),
        ("count = '1'", "without quotes"),
        ("priority > count", "try_cast(x as integer)"),
        ("priority > payload.amount", "try_cast(x as number)"),
        ("paid = 'true'", "without quotes"),
        ("paid > true", "boolean"),
        ("at > '2026-01-01'", "timestamp '2026"),
        ("labels = 'bug'", "x = any(list)"),
        ("1 = any(labels)", "any"),
        ("paid || paid", "use `or`"),
        ("priority and paid", "takes boolean"),
        ("count % 1.5 = 1", "integer"),
        ("lower(count) = 'a'", "text"),
        ("lower(priority, priority) = 'a'", "2 arguments"),
        ("round(payload.amount, 2) = 1.5", "round(x * 100) / 100"),
        ("paid = 1", "true or false"),
        ("at - at > 1", "epoch_ms"),
        ("priority + 'a' = 'b'", "`||`"),
        ("case when count then 1 end = 1", "takes boolean"),
        ("case when paid then 1 else 'a' end = 1", "integer and text"),
        ("coalesce(count, 'a') = 1", "coalesce"),
        ("try_cast(at as integer) = 1", "timestamp"),
    ],
)
def test_unlike_types_are_an_error_with_a_hint(text: str, words: str) -> None:
    error = refused(text)
    assert (error.code, words in str(error)) == ("type-mismatch", True), str(error)


def test_a_condition_is_boolean() -> None:
    assert "compare it" in refused("count", expect=Kind.BOOLEAN).hint
    assert resolve("paid", SCOPE, expect=Kind.BOOLEAN).type == BOOLEAN


def test_an_integer_becomes_a_number_where_one_is_expected() -> None:
    assert resolve("count", SCOPE, expect=Kind.NUMBER).type == NUMBER
    assert resolve("1", SCOPE, expect=Kind.NUMBER) == Literal(1.0, NUMBER, HERE)


def test_integers_meet_numbers_as_numbers() -> None:
    node = resolve("count > payload.amount", SCOPE)
    assert isinstance(node, Call)
    assert node.args[0] == Call(
        "try_cast number", (Field(("count",), INTEGER, HERE),), NUMBER, HERE
    )
    literal = resolve("payload.amount > 1000", SCOPE)
    assert isinstance(literal, Call)
    assert literal.args[1] == Literal(1000.0, NUMBER, HERE)


def test_settings_are_constants() -> None:
    assert resolve("payload.amount > settings.big", SCOPE) == resolve(
        "payload.amount > 1000", SCOPE
    )
    assert resolve("regexp_matches(priority, settings.regex)", SCOPE).type == BOOLEAN


# --- functions and constants ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nvl(priority, 'a') = 'a'", "coalesce"),
        ("lowr(priority) = 'a'", "did you mean 'lower'?"),
        ("to_char(at) = 'a'", "no function"),
        ("now() > at", "message.received"),
        ("random() > 0.5", "replays"),
        ("negate(count) > 1", "no function"),
        ("is(count)", "cannot stand here"),
        ("count(count) > 1", "batch"),
        ("sum(count) > 1", "batch"),
    ],
)
def test_a_function_that_is_not_listed_is_refused(text: str, words: str) -> None:
    error = refused(text)
    assert words in str(error)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("count / 0 > 1", "division-by-zero", "NULL"),
        ("count // 0 > 1", "division-by-zero", "NULL"),
        ("payload.amount / 0.0 > 1", "division-by-zero", "NULL"),
        ("9223372036854775807 + 1 > count", "always-null", "NULL"),
        ("1e308 * 10 > 1", "always-null", "NULL"),
        ("try_cast('x' as integer) = count", "always-null", "NULL"),
        ("priority in (priority)", "not-constant", "any(list)"),
        ("priority like priority", "not-constant", "literal"),
        ("regexp_matches(priority, priority)", "not-constant", "literal"),
        ("regexp_matches(priority, '(')", "bad-regex", "closed"),
        ("regexp_matches(priority, '(?=a)')", "bad-regex", "look-ahead"),
        (r"regexp_matches(priority, '(a)\1')", "bad-regex", "back-references"),
        (r"regexp_matches(priority, '\bfoo')", "bad-regex", "border"),
        ("regexp_matches(priority, '(?i)a')", "bad-regex", "inline flags"),
        ("regexp_matches(priority, '(a{1000}){1000}')", "bad-regex", "repeats"),
        ("regexp_extract(priority, '(a)', 2) = 'a'", "bad-constant", "1 groups"),
        ("priority like 'a!' escape '!'", "bad-constant", "nothing follows"),
        ("priority like 'a' escape '!!'", "bad-constant", "one character"),
        ("labels[0] = 'a'", "bad-constant", "from 1"),
        ("labels[-1] = 'a'", "bad-constant", "from 1"),
        ("substring(priority, 0) = 'a'", "bad-constant", "from 1"),
        ("left(priority, -1) = 'a'", "bad-constant", "from 0"),
        ("replace(priority, '', 'a') = 'a'", "bad-constant", "empty"),
        ("date_trunc('fortnight', at) = at", "bad-constant", "second, minute"),
    ],
)
def test_a_constant_that_cannot_be_is_refused(text: str, code: str, words: str) -> None:
    error = refused(text)
    assert (error.code, words in str(error)) == (code, True), str(error)


def test_the_error_shows_the_place() -> None:
    text = "paid and prioriti = 'high'"
    error = refused(text)
    assert text[error.start : error.end] == "prioriti"
    assert "\n  paid and prioriti = 'high'\n           ^^^^^^^^\n" in str(error)


def test_constant_expressions_are_computed_once() -> None:
    assert resolve("upper('a') || 'b' = priority", SCOPE) == resolve("'Ab' = priority", SCOPE)
    assert resolve("1 + 2 = 3", SCOPE) == Literal(value=True, type=BOOLEAN, span=HERE)


def test_a_catastrophic_regex_is_harmless() -> None:
    node = resolve("regexp_matches(priority, '^(a+)+$')", SCOPE)
    assert compile_value(node, references(node), name="test")("a" * 50_000 + "b") is False


# --- aggregates ---


def test_aggregates_are_for_many_messages() -> None:
    node = resolve("sum(payload.amount) / count(*)", AGGREGATES)
    assert node.type == NUMBER
    assert resolve("max(count)", AGGREGATES).type == INTEGER
    assert "inside an aggregate" in str(refused("count > 1", AGGREGATES))
    assert refused("sum(max(count))", AGGREGATES).code == "unsupported-function"


def test_every_code_of_an_error_is_listed_with_a_sentence() -> None:
    assert all(code == code.lower() and text.endswith(".") for code, text in RULE_CODES.items())


def test_the_values_of_a_case_meet_as_numbers() -> None:
    node = resolve("case when paid then count else 2.5 end", SCOPE)
    assert node.type == NUMBER
    assert compile_value(node, references(node), name="test")(True, 3) == 3.0
