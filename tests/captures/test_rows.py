from __future__ import annotations

from gateway_lab.captures.rows import headers_column, message_of
from tests.captures.made import HEADERS, a_frame


def test_the_column_of_headers_is_what_polars_would_make() -> None:
    lists = [*HEADERS, *HEADERS[::-1]]
    assert headers_column(lists).equals(a_frame(8, headers=lists)["headers"])


def test_no_headers_at_all_are_empty_lists() -> None:
    assert headers_column([None, []]).to_list() == [[], []]
    assert headers_column([]).dtype == a_frame()["headers"].dtype


def test_null_columns_become_what_a_message_has_instead() -> None:
    row = a_frame(1).to_dicts()[0] | {"broker": None, "kind": None, "channel": None}
    message = message_of(row | {"headers": None})
    assert (message.broker, message.protocol, message.channel) == ("", "", "")
    assert message.headers == ()


def test_a_header_without_a_value_is_empty() -> None:
    row = a_frame(1).to_dicts()[0] | {"headers": [{"name": "x", "value": None}]}
    assert message_of(row).headers == (("x", b""),)
