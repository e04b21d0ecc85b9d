from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway_lab.protocols.nats import (
    SourceOptions,
    check_channel,
    check_header,
    check_pattern,
    is_control,
    matches,
)


@pytest.mark.parametrize(
    "name", ["$JS.API.STREAM.DELETE.x", "_INBOX.a", "a..b", ".a", "a.", "a.>", "*.a", "ä"]
)
def test_a_subject_of_the_server_or_with_wildcards_is_refused(name):
    assert check_channel(name)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("orders", "no wildcard"),
        ("orders.a*", "whole token"),
        ("orders.>.eu", "only at the end"),
        (">", "every subject"),
        ("$JS.>", "belong to the broker"),
        ("orders..*", "empty token"),
    ],
)
def test_a_pattern_that_means_something_else_is_refused(pattern, problem):
    assert problem in (check_pattern(pattern) or "")


@pytest.mark.parametrize(
    ("pattern", "channel", "taken"),
    [
        ("orders.*", "orders.eu", True),
        ("orders.*", "orders.eu.de", False),
        ("orders.*", "orders", False),
        ("orders.>", "orders.eu.de", True),
        ("orders.>", "orders", False),
        ("*.eu", "orders.eu", True),
        ("*.eu", "$JS.eu", False),
    ],
)
def test_a_pattern_takes_in_what_nats_would(pattern, channel, taken):
    assert check_pattern(pattern) is None
    assert matches(pattern, channel) is taken


@pytest.mark.parametrize("name", ["nats-rollup", "nats-expected-stream", "nats-msg-id"])
def test_headers_that_command_the_server_never_pass(name):
    assert is_control(name)


@pytest.mark.parametrize("name", ["a b", "a:b", "ä", "a\r\nNats-Rollup", ""])
def test_a_header_name_that_breaks_the_line_is_refused(name):
    assert check_header(name)


def test_core_nats_has_no_stream():
    with pytest.raises(ValidationError, match="neither stream nor durable"):
        SourceOptions(delivery="at_most_once", stream="ORDERS")
