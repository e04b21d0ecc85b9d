from __future__ import annotations

from pathlib import Path

import pytest

from gateway_lab.config.load import parse_config, read_config
from gateway_lab.errors import ConfigError
from gateway_lab.routing.tests import TestResult, run_tests
from tests.routing.shop import ROUTERS, config

DATA = Path(__file__).parents[2] / "data"


def run(test: str, routers: str = ROUTERS) -> TestResult:
    (result,) = run_tests(config(f"{routers}\ntests:\n  - {{name: t, source: orders, {test}}}\n"))
    return result


BIG = "message: {key: k, headers: {a: '1'}, event: {kind: x, tenant: t, amount: 101}}"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_tests_of_every_shipped_config_pass(path):
    results = run_tests(read_config(path))
    assert results
    assert [str(each) for each in results if not each.passed] == []


@pytest.mark.parametrize(
    "expect",
    [
        "[kafka, rabbit]",
        "[]",
        "[{target: kafka, channel: shop.t, key: k, headers: {A: '1'}, route: big, router: first}]",
        "[{target: rabbit, body: {kind: x, tenant: t, amount: 101}}]",
        "[{route: big}, kafka]",
        "[kafka, {route: big}]",
    ],
)
def test_expectations_that_hold_pass(expect):
    assert run(f"{BIG}, expect: {expect}").passed


def test_a_drop_is_not_something_else():
    assert run(f"{BIG}, expect: [kafka, rabbit], only: true").passed
    assert run(f"{BIG}, expect: [drop, kafka, rabbit], only: true").passed


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("[redis]", "expected a delivery with target 'redis', there is none"),
        ("[kafka, kafka]", "expected a delivery with target 'kafka', there is none"),
        (
            "[{target: kafka, channel: shop.x}]",
            "the nearest differs: channel is 'shop.t', expected 'shop.x'",
        ),
        ("[{target: kafka, headers: {b: x}}]", "header b is None, expected 'x'"),
        ("[{target: kafka, key: other}]", "key is 'k', expected 'other'"),
        ("[{target: kafka, body: [1]}]", "expected [1]"),
        ("[{target: kafka, outcome: dead_lettered}]", "outcome is 'delivered'"),
        ("[dead_letter]", "expected a dead letter"),
        ("[kafka], only: true", "not expected: first / big → rabbit delivered on work.t.x (work)"),
    ],
)
def test_a_failure_says_what_was_expected_and_what_happened(expect, problem):
    result = run(f"{BIG}, expect: {expect}")
    assert not result.passed
    assert problem in str(result)
    assert "what happened:\n  first / big → kafka delivered on shop.t (stream)" in str(result)


def test_an_invalid_message_is_told_with_its_reason():
    result = run("message: {body: '{}'}, expect: [kafka]")
    assert "the message is invalid: kind: " in str(result)
    assert run("message: {body: '{}'}, expect: [{outcome: dead_lettered, reason: kind}]").passed


def test_a_message_that_cannot_be_made_fails_its_test_only():
    result = run("message: {timestamp: yesterday, event: {kind: x}}, expect: []")
    assert "'yesterday' is not a timestamp" in str(result)


def test_the_event_of_a_source_with_a_handler_is_what_it_returned():
    text = """
gateway_lab: 1
name: handled
brokers: {here: memory}
events:
  Command: {type: object, required: [id], properties: {id: {type: integer}}}
  User: {type: object, required: [active], properties: {active: {type: boolean}}}
sources: {commands: {broker: here, channel: c, event: Command, handler: {returns: User}}}
targets: {out: {broker: here, channel: out}}
routers: {r: {source: commands, match: first, routes: [{name: on, when: active, to: [out]}], unmatched: drop}}
dead_letter: {broker: here, channel: letters}
tests:
  - {name: returned, source: commands, message: {event: {active: true}}, expect: [out], only: true}
  - {name: arrived, source: commands, message: {event: {id: 1}}, expect: [dead_letter], only: true}
"""
    assert [str(each) for each in run_tests(parse_config(text))] == [
        "passed: returned",
        "passed: arrived",
    ]


def test_a_config_with_errors_runs_no_tests():
    broken = ROUTERS.replace("amount > 100", "amont > 100")
    with pytest.raises(ConfigError, match="amont"):
        run_tests(config(broken))
