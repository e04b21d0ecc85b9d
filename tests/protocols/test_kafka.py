from __future__ import annotations

import pytest

from gateway_lab.protocols.kafka import check_channel, check_pattern, is_control, matches


@pytest.mark.parametrize("name", [".", "..", "__consumer_offsets", "a/b", "ä", "x" * 250])
def test_a_topic_that_kafka_refuses_or_owns_is_refused(name):
    assert check_channel(name)


def test_the_longest_topic_is_good():
    assert check_channel("x" * 249) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("orders.*", "anchored"),
        ("^orders", "anchored"),
        ("^a|b$", "parentheses"),
        (r"^\d+$", "only escape"),
        ("^a\\", "anchored"),
        ("^(a$", "not a regular expression"),
        ("^(?=a)$", "the character `=`"),
        ("^(?a)$", "not a regular expression"),
        ("^a b$", "a space"),
        ("^" + "a" * 300 + "$", "long"),
    ],
)
def test_a_pattern_that_engines_read_differently_is_refused(pattern, problem):
    assert problem in (check_pattern(pattern) or "")


def test_a_pattern_takes_in_whole_names_but_none_of_kafkas_own():
    pattern = r"^(orders|users)\.[a-z]+$"
    assert check_pattern(pattern) is None
    assert matches(pattern, "orders.eu")
    assert not matches(pattern, "orders.eu2")
    assert not matches("^.*$", "__consumer_offsets")


def test_a_catastrophic_pattern_answers_at_once():
    assert check_pattern("^(a+)+$") is None
    assert not matches("^(a+)+$", "a" * 240 + "!")


def test_headers_of_connect_stay():
    assert is_control("__connect.errors.topic")
