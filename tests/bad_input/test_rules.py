"""Rules that cannot be: the line and column in the file, what is wrong, and what to write."""

from __future__ import annotations

import pytest

import gateway_lab as gl
from tests.bad_input.small import CONFIG, RULE, capture_of, rule_refused, worst

SINGLE = "single quotes"
NULL = "`x is null` or `x is not null`"


@pytest.mark.parametrize(
    ("rule", "code", "hint"),
    [
        # other languages
        ("priority == 'high'", "rule-syntax", "use `=`"),
        ("priority === 'high'", "rule-syntax", "use `=`"),
        ("paid && priority = 'high'", "rule-syntax", "use `and`"),
        ("paid || count > 1", "type-mismatch", "use `or`"),
        ("!paid", "rule-syntax", "use `not`"),
        ('priority = "high"', "unknown-name", SINGLE),
        ("priority = `high`", "rule-syntax", "double quotes"),
        ("priority = “high”", "rule-syntax", SINGLE),
        ("priority != null", "null-comparison", NULL),
        ("priority = null", "null-comparison", NULL),
        ("priority in ('high', null)", "null-comparison", NULL),
        ("priority isnull", "unsupported-syntax", "`x is null`"),
        ("priority is None", "rule-syntax", "`x is null`"),
        ("paid ? count : 1", "rule-syntax", "settings.name"),
        ("tenant.startswith('a')", "unsupported-function", "starts_with(name, 'a')"),
        ("tenant.length > 5", "unknown-name", "length(tenant)"),
        ("tenant in ['a', 'b']", "rule-syntax", "in ('a', 'b')"),
        ("'a' in labels", "rule-syntax", "any(list)"),
        ("labels contains 'a'", "unsupported-syntax", "any(list)"),
        ("count => 5", "rule-syntax", "use `>=`"),
        ("count ≥ 5", "rule-syntax", "use `>=`"),
        ("count ** 2 > 5", "rule-syntax", "multiplication"),
        ("tenant ~ 'a'", "rule-syntax", "regexp_matches"),
        ("tenant rlike 'a'", "unsupported-syntax", "regexp_matches"),
        ("{tenant} = 'a'", "rule-syntax", "the bare name"),
        ("$tenant = 'a'", "rule-syntax", "settings.name"),
        ("payload->'id' = 'a'", "rule-syntax", "payload.id"),
        ("tenant = 'a' # why", "rule-syntax", "`description`"),
        ("tenant = 'a' -- why", "rule-syntax", "`description`"),
        ("tenant =\u00a0'a'", "rule-syntax", "cannot be seen"),
        # does not parse
        ("priority = 'high", "rule-syntax", "doubled"),
        ("priority = high", "unknown-name", ""),
        ("priority =", "rule-syntax", "missing at the end"),
        ("(priority = 'high'", "rule-syntax", "every `(`"),
        ("priority = 'high')", "rule-syntax", "no `(`"),
        ("priority 'high'", "rule-syntax", SINGLE),
        ("1 < count < 3", "rule-syntax", "1 < x and x < 3"),
        ("tenant = 'a'; drop table x", "rule-syntax", "leave the `;` out"),
        # mixes types
        ("count = '5'", "type-mismatch", "without quotes"),
        ("tenant = 5", "type-mismatch", "try_cast(x as integer)"),
        ("paid = 1", "type-mismatch", "true or false"),
        ("paid = 'true'", "type-mismatch", "without quotes"),
        ("at > '2026-01-31'", "type-mismatch", "timestamp '2026-01-31T12:00:00Z'"),
        ("priority = 'high' or 'low'", "type-mismatch", "compare the rest"),
        ("count", "type-mismatch", "compare it"),
        ("labels = 'a'", "type-mismatch", "any(list)"),
        # names missing fields
        ("prioriti = 'high'", "unknown-name", "'priority'"),
        ("Priority = 'high'", "unknown-name", "'priority'"),
        ("payload.amount > 5", "unknown-name", "amount"),
        ("settings.bigg > 5", "unknown-name", "'big'"),
        ("message.kee = 'a'", "unknown-name", "'key'"),
        ("headers['x'] = 'a'", "unknown-name", "message.headers['x']"),
        # divides by zero, overflows
        ("count / 0 > 1", "division-by-zero", "case"),
        ("count % (1 - 1) = 1", "division-by-zero", "case"),
        ("count > 9223372036854775808", "bad-constant", "64 bits"),
        ("9223372036854775807 + 1 > count", "always-null", "overflows"),
        ("amount > 1e999", "bad-constant", "float64"),
        # regular expressions
        ("regexp_matches(tenant, '(a')", "bad-regex", "close it"),
        ("regexp_matches(tenant, '(?=a)')", "bad-regex", "(?: … )"),
        (r"regexp_matches(tenant, '(a)\1')", "bad-regex", "second time"),
        (r"regexp_matches(tenant, '\bx')", "bad-regex", "border"),
        ("regexp_matches(tenant, '((a{1,1000}){1,1000}){1,1000}')", "bad-regex", "* or +"),
        ("regexp_matches(tenant, '" + "a" * 1_001 + "')", "bad-regex", "split it"),
        ("regexp_matches(tenant, tenant)", "not-constant", "literal"),
        # nests 1,000 deep
        ("(" * 1_000 + "paid" + ")" * 1_000, "rule-too-deep", "several routes"),
        ("not " * 1_000 + "paid", "rule-too-deep", "several routes"),
        ("lower(" * 500 + "tenant" + ")" * 500 + " = 'a'", "rule-too-deep", "several routes"),
        ("count" + " + 1" * 1_000 + " > 1", "rule-too-deep", "several routes"),
        ("tenant = '" + "x" * 5_000 + "'", "rule-too-long", "in (…)"),
        # SQL beyond the list
        ("select 1", "rule-syntax", "without queries"),
        ("count in (select 1)", "rule-syntax", "without queries"),
        ("where paid", "rule-syntax", "without `where`"),
        ("cast(count as text) = '1'", "rule-syntax", "try_cast"),
        ("count::text = '1'", "rule-syntax", "try_cast"),
        ("nvl(tenant, 'a') = 'a'", "unsupported-function", "coalesce"),
        ("now() > at", "unsupported-function", "message.received"),
        ("at > interval '1 day'", "unsupported-syntax", "epoch_ms"),
        ("extract(year from at) = 2026", "unsupported-syntax", "year(t)"),
        ("round(amount, 2) = 1.5", "type-mismatch", "round(x * 100) / 100"),
        ("random() > 0.5", "unsupported-function", "replays"),
        ("count(*) > 5", "unsupported-function", "batch"),
        ("sum(amount) over () > 5", "unsupported-syntax", "batch"),
        ("tenant = 'a' 'b'", "rule-syntax", "||"),
        ("tenant = e'a'", "unsupported-syntax", "no prefix"),
        ("count = 0x1F", "rule-syntax", "12, 1.5 or 2e3"),
        ("tenant collate nocase = 'a'", "unsupported-syntax", "lower(x)"),
        ("count = +1", "rule-syntax", "leave it out"),
        ("case count when 1 then true end", "unsupported-syntax", "case when"),
    ],
)
def test_a_rule_that_cannot_be_is_a_finding_with_place_and_hint(
    rule: str, code: str, hint: str
) -> None:
    finding = rule_refused(rule)
    assert finding.code == code
    assert hint in finding.hint
    assert (finding.file, finding.line) == ("routes.yaml", 28)
    assert finding.offset is not None
    assert finding.column == 11 + finding.offset  # where the block begins, and how far in it


def test_the_place_is_found_in_the_second_line_of_a_rule() -> None:
    finding = rule_refused("paid\nand prioriti = 'high'")
    assert (finding.line, finding.column) == (29, 15)


@pytest.mark.parametrize("rule", ["priority = 'hihg'", "priority in ('high', 'hihg')"])
def test_a_value_that_an_enum_does_not_have_is_a_warning_with_the_one_that_was_meant(
    rule: str,
) -> None:
    findings = gl.check(gl.parse_config(CONFIG.replace("priority = 'high'", rule)))
    (finding,) = [each for each in findings if each.code == "value-cannot-occur"]
    assert finding.hint == "did you mean 'high'?"


def test_a_catastrophic_pattern_hangs_neither_engine() -> None:
    config = gl.parse_config(
        CONFIG.replace("priority = 'high'", "regexp_matches(tenant, '(a+)+$')")
    )
    capture = capture_of([b'{"tenant":"' + b"a" * 100_000 + b'!"}'] * 3)
    routers = gl.replay(config, capture).routers()
    assert routers["unmatched"].to_list() == [3]
    assert gl.explain(config, capture.message(0)).decisions[0].result == "unmatched"


def test_what_overflows_or_divides_by_zero_in_a_message_is_undecided_and_never_an_error() -> None:
    rule = '"count * 2 > 1 or 1 / (amount - 1) > 0"'
    config = gl.parse_config(CONFIG.replace(RULE, rule))
    bodies = [b'{"tenant":"a","count":9223372036854775807,"amount":1}'] * 2
    result = gl.replay(config, capture_of(bodies))
    assert result.routers().select("unmatched", "undecided").rows() == [(2, 2)]


def test_a_rule_made_in_python_is_held_to_the_same() -> None:
    config = gl.parse_config(CONFIG).add_route("by_priority", "x", when="a == 1", to=["high"])
    (finding,) = [each for each in gl.check(config) if each.severity == "error"]
    assert finding.where == "routers.by_priority.routes.1.when"
    assert finding.hint == "use `=`, not `==`"


@pytest.mark.parametrize(
    ("template", "code", "hint"),
    [
        ("{tenant}", "channel-start", "fixed name in front"),
        ("high.{}", "template-syntax", "name a field"),
        ("high.{tenant", "template-syntax", "`{{`"),
        ("high.tenant}", "template-syntax", "`}}`"),
        ("high.{tennant}", "unknown-name", "'tenant'"),
        ("high.{amount}", "template-type", "integer"),
        ("high.{tenant = }", "rule-syntax", "at the end"),
    ],
)
def test_a_template_that_cannot_be_is_a_finding_with_a_hint(
    template: str, code: str, hint: str
) -> None:
    finding = worst(CONFIG.replace("channel: high}", f'channel: "{template}"}}'))
    assert finding.code == code
    assert hint in finding.hint
    assert (finding.line, finding.column is not None) == (20, True)
