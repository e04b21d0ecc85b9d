from __future__ import annotations

from gateway_lab.messages.headers import header_text


def test_the_last_of_repeated_values_counts_in_any_case():
    headers = (("X-Id", b"1"), ("x-id", b"2"), ("other", b"3"))
    assert header_text(headers, "x-id") == "2"


def test_a_header_that_is_absent_or_not_utf8_is_null():
    assert header_text((), "x-id") is None
    assert header_text((("x-id", b"good"), ("x-id", b"\xff")), "x-id") is None
