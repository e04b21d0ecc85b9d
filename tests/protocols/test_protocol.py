from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.protocols.protocol import check_value, describe
from gateway_lab.protocols.registry import PROTOCOLS


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "an empty value"),
        ("a.b", "a value with a dot"),
        ("$JS.API.STREAM.DELETE", "a value with the character `$`"),
        ("_INBOX.x", "a value with a dot"),
        ("*", "a value with the wildcard `*`"),
        ("#", "a value with the wildcard `#`"),
        (">", "a value with the wildcard `>`"),
        ("a b", "a value with a space"),
        ("a\0b", "a value with a NUL character"),
        ("acme\n", "a value with a line break"),
        ("a\u2028", "a value with the character U+2028"),
        ("\ud800", "a value with the character U+D800"),
        ("\x1b[31m", "a value with the character U+001B"),
        ("ünal", "a value with the character U+00FC"),
        ("{tag}", "a value with the character `{`"),
        ("x" * 300, "a value of more than 64 characters"),
    ],
)
def test_a_hostile_value_is_refused_and_not_shown(value, reason):
    assert check_value(value) == reason


@pytest.mark.parametrize("value", ["acme", "order_created", "a-b", "0", "_", "x" * 64])
def test_a_plain_value_is_good(value):
    assert check_value(value) is None


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
@given(value=st.text(max_size=80))
def test_a_value_that_passes_stays_one_token_of_a_legal_name(protocol, value):
    if check_value(value) is None:
        assert protocol.check_channel(f"tenant.{value}") is None
        assert f"tenant.{value}".count(".") == 1


@given(character=st.characters())
def test_a_described_character_is_harmless_in_a_log(character):
    assert describe(character).isprintable()
