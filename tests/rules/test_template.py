from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.errors import RuleError
from gateway_lab.events.event_type import EventType, Kind, Schema
from gateway_lab.rules.template import (
    MAX_DEPTH,
    MAX_TEXT,
    BodyTemplateError,
    Template,
    check_channel_template,
    check_text,
    parse_body,
    parse_template,
    template_references,
)
from gateway_lab.rules.tree import BOOLEAN, INTEGER, NUMBER, TEXT, Field, Literal, Span
from gateway_lab.rules.types import Scope

NOWHERE = Span(0, 0)
EVENT = EventType(
    name="Order",
    schema=Schema(
        type="object",
        properties={
            "tenant_id": Schema(type="string"),
            "count": Schema(type="integer"),
            "paid": Schema(type="boolean"),
            "amount": Schema(type="number"),
            "at": Schema(type="string", date_time=True),
            "tags": Schema(type="array", items=Schema(type="string")),
            "payload": Schema(type="object"),
        },
    ),
)
SCOPE = Scope(
    events={"Order": EVENT},
    settings={
        "prefix": Literal("eu.", TEXT, NOWHERE),
        "empty": Literal("", TEXT, NOWHERE),
        "size": Literal(3, INTEGER, NOWHERE),
        "rate": Literal(1.5, NUMBER, NOWHERE),
        "live": Literal(value=True, type=BOOLEAN, span=NOWHERE),
    },
)
TENANT = Field(("tenant_id",), TEXT, NOWHERE)


def parts(text: str) -> tuple[object, ...]:
    return parse_template(text, SCOPE).parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("a.{tenant_id}.b", ("a.", TENANT, ".b")),
        ("{tenant_id}{tenant_id}", (TENANT, TENANT)),
        ("{{}}", ("{}",)),
        ("{{{tenant_id}}}", ("{", TENANT, "}")),
        ("{ tenant_id }", (TENANT,)),
        ("{'}{'}x", ("}{x",)),
        ("{'it''s {'}!", ("it's {!",)),
        ("{settings.prefix}x.{tenant_id}", ("eu.x.", TENANT)),
        ("{settings.empty}x", ("x",)),
        ("n{settings.size}-{settings.live}", ("n3-true",)),
        ("{settings.prefix}", ("eu.",)),
        ("ü{tenant_id}\n", ("ü", TENANT, "\n")),
    ],
)
def test_a_template_is_fixed_text_and_trees(text, expected):
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{count}", Kind.INTEGER),
        ("{amount * 2}", Kind.NUMBER),
        ("{at}", Kind.TIMESTAMP),
        ("{payload}", Kind.OBJECT),
        ("{tags}", Kind.LIST),
        ("{settings.size}", Kind.INTEGER),
        ("n{count}", Kind.TEXT),
        ("plain", Kind.TEXT),
    ],
)
def test_alone_an_expression_keeps_its_type(text, kind):
    assert parse_template(text, SCOPE).type.kind is kind


@pytest.mark.parametrize(
    "text", ["x{amount}", "x{at}", "x{payload}", "x{tags}", "x{settings.rate}"]
)
def test_inside_text_only_what_has_one_spelling_may_stand(text):
    with pytest.raises(RuleError) as caught:
        parse_template(text, SCOPE)
    assert caught.value.code == "template-type"
    assert text[caught.value.start : caught.value.end] == text[2:-1]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "start"),
    [("a{", 1), ("a}", 1), ("{tenant_id", 0), ("a {}", 2), ("{a{b}}", 0), ("{'a}", 0), ("{{}", 2)],
)
def test_braces_that_cannot_be_read_are_refused_at_their_place(text, start):
    with pytest.raises(RuleError) as caught:
        parse_template(text, SCOPE)
    assert (caught.value.code, caught.value.start) == ("template-syntax", start)


@pytest.mark.parametrize("text", ["fixed {tenant}", "{{}} {tenant_id + 1}", "a {count >} b"])
def test_an_error_of_a_rule_points_into_the_template(text):
    with pytest.raises(RuleError) as caught:
        parse_template(text, SCOPE)
    assert caught.value.text == text
    assert caught.value.start > text.rindex("{")


def test_a_huge_template_is_refused():
    with pytest.raises(RuleError, match="at most"):
        parse_template("x" * (MAX_TEXT + 1), SCOPE)


@given(text=st.text(alphabet="{}'\"a ", max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        parse_template(text, SCOPE)
    except RuleError as error:
        assert 0 <= error.start <= len(text)  # noqa: PT017


@given(text=st.text(max_size=50))
def test_escaped_text_is_itself(text):
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert "".join(map(str, parts(escaped))) == text


@pytest.mark.parametrize("text", ["", "{tenant_id}", "{settings.empty}{tenant_id}.x"])
def test_a_channel_that_a_message_could_choose_is_refused(text):
    with pytest.raises(RuleError) as caught:
        check_channel_template(parse_template(text, SCOPE))
    assert caught.value.code == "channel-start"


@pytest.mark.parametrize("text", ["x", "a.{tenant_id}", "{settings.prefix}{tenant_id}"])
def test_a_channel_that_starts_with_fixed_text_is_good(text):
    check_channel_template(parse_template(text, SCOPE))


@pytest.mark.parametrize(
    ("text", "good"), [("{count}", True), ("{amount}", False), ("{at}", False)]
)
def test_a_key_or_header_gives_text(text, good):
    template = parse_template(text, SCOPE)
    if good:
        check_text(template)
    else:
        with pytest.raises(RuleError, match="only text, integer and boolean"):
            check_text(template)


def test_a_body_is_walked_and_keeps_its_order():
    body = parse_body({"b": ["{count}", 1], "a": {"x": None, "y": "fixed"}, "c": 1.5}, SCOPE)
    assert isinstance(body, dict)
    assert list(body) == ["b", "a", "c"]
    assert body["a"] == {"x": None, "y": Template(("fixed",), "fixed")}
    assert [each.type for each in template_references(body)] == [INTEGER]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"a": ["{nope}"]}, ("a", 0)),
        ({"a": {1: "x"}}, ("a",)),
        ({"a": float("nan")}, ("a",)),
        ({"a": 2**63}, ("a",)),
        ({"a": {1, 2}}, ("a",)),
        ([b"x"], (0,)),
    ],
)
def test_what_is_wrong_in_a_body_names_the_way_to_it(document, path):
    with pytest.raises(BodyTemplateError) as caught:
        parse_body(document, SCOPE)
    assert caught.value.path == path


def test_a_body_that_is_too_deep_or_too_large_is_refused():
    deep: object = "x"
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(BodyTemplateError, match="levels deep"):
        parse_body(deep, SCOPE)
    with pytest.raises(BodyTemplateError, match="values"):
        parse_body(list(range(2000)), SCOPE)


def test_references_are_distinct_and_in_order():
    first = parse_template("{count}-{tenant_id}", SCOPE)
    second = parse_template("{tenant_id}{message.key}", SCOPE)
    names = [
        each.path[0] if isinstance(each, Field) else each.name
        for each in template_references(first, second)
    ]
    assert names == ["count", "tenant_id", "key"]
