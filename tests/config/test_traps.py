"""YAML's own traps are findings: the config is read, and the place is told."""

from __future__ import annotations

import pytest

from gateway_lab.config.load import parse_config
from gateway_lab.findings import Finding, Severity

HEAD = "gateway_lab: 1\nname: x\n"
ROUTE = (
    "routers:\n  r:\n    source: s\n    match: all\n    unmatched: drop\n    routes:\n"
    "      - name: a\n        to: [t]\n        when: "
)


def traps(text: str) -> tuple[Finding, ...]:
    return parse_config(HEAD + text + "\n", file="f.yaml").traps


def test_a_comment_that_cut_a_rule_is_an_error() -> None:
    (trap,) = traps(ROUTE + "title = 'issue #5'")
    assert (trap.code, trap.severity) == ("comment-cut-text", Severity.ERROR)
    assert (trap.line, trap.column) == (11, 15)
    assert "quote" in trap.hint


@pytest.mark.parametrize(
    "text", ["amount > 5 # five euros", "\"title = 'issue #5'\" # all of them", "title = 'issue#5'"]
)
def test_a_comment_behind_a_whole_rule_is_just_a_comment(text: str) -> None:
    assert traps(ROUTE + text) == ()


def test_a_comment_that_may_have_cut_a_channel_is_a_warning() -> None:
    (trap,) = traps("targets:\n  t:\n    broker: b\n    channel: orders #5")
    assert (trap.code, trap.severity) == ("comment-cut-text", Severity.WARNING)


def test_a_when_without_a_rule_is_an_error() -> None:
    (trap,) = traps(ROUTE)
    assert (trap.code, trap.severity, trap.line) == ("no-value", Severity.ERROR, 11)
    assert "leave `when` out" in trap.hint
    assert traps(ROUTE + "null") == ()


def test_unquoted_braces_are_told_and_read_as_they_were_meant() -> None:
    config = parse_config(HEAD + "targets: {t: {broker: b, channel: {tenant_id}}}\n")
    (trap,) = config.traps
    assert config.targets["t"].channel == "{tenant_id}"
    assert (trap.code, trap.severity, trap.column) == ("braces-became-mapping", Severity.ERROR, 35)
    assert trap.hint == 'quote it: "{tenant_id}"'


def test_unquoted_braces_deep_in_a_body_are_found() -> None:
    config = parse_config(
        HEAD + "targets: {t: {broker: b, channel: c, body: [{a: {id}}, {b: {c: 1}}]}}\n"
    )
    assert config.targets["t"].body == [{"a": "{id}"}, {"b": {"c": 1}}]
    assert [trap.path for trap in config.traps] == [("targets", "t", "body", 0, "a")]


def test_a_mapping_that_was_meant_stays_one() -> None:
    config = parse_config(HEAD + "targets: {t: {broker: b, channel: c, body: {a: {id: null}}}}\n")
    assert config.targets["t"].body == {"a": {"id": None}}
    assert config.traps == ()


@pytest.mark.parametrize("word", ["no", "No", "NO", "yes", "on", "Off"])
def test_an_unquoted_boolean_of_older_yaml_is_told(word: str) -> None:
    (trap,) = traps(f"events: {{E: {{enum: [dk, {word}, se]}}}}")
    assert (trap.code, trap.severity) == ("unquoted-yes-or-no", Severity.WARNING)
    assert trap.path == ("events", "E", "enum", 1)


def test_so_is_one_that_is_a_key() -> None:
    (trap,) = traps("events: {E: {properties: {on: {type: string}}}}")
    assert trap.path == ("events", "E", "properties", "on")


@pytest.mark.parametrize("word", ["'no'", '"on"', "nO", "n", "none"])
def test_what_every_reader_takes_for_text_is_left_alone(word: str) -> None:
    assert traps(f"events: {{E: {{enum: [dk, {word}]}}}}") == ()
