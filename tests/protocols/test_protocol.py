from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.protocols.protocol import NOT_PLAIN, check_value, describe, is_plain
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


def test_columns_and_messages_mean_the_same_by_plain_text():
    signs = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for texts in (signs, [f"{sign}a" for sign in signs], [f"a{sign}" for sign in signs]):
        columns = pl.Series(texts).str.contains(NOT_PLAIN)
        assert [not is_plain(each.encode()) for each in texts] == columns.to_list()


@pytest.mark.parametrize("value", [b"\xff", b" a", b"a ", b"a\n", "a\u00a0".encode(), b"a\0b"])
def test_what_nats_would_change_is_not_plain(value):
    assert not is_plain(value)


@pytest.mark.parametrize("value", [b"", b"a b: c", "grün".encode()])
def test_words_are_plain(value):
    assert is_plain(value)
