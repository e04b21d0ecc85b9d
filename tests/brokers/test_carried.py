from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway_lab.brokers.carried import read_time, write_time


def test_a_time_comes_back_as_it_was() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert read_time(write_time(time)) == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "\xff",
        "2026-01-01T00:00:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_what_is_no_time_of_a_calendar_is_none_whoever_wrote_it(text: str) -> None:
    assert read_time(text) is None
