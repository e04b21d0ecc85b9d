"""RFC 3339 date-times: all that is one, nothing else, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway_lab.events.timestamps import OutsideYearsError, parse_date_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC) - EPOCH, datetime.max.replace(tzinfo=UTC) - EPOCH
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.datetimes(), offsets, st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"])
)
def test_what_python_writes_is_read_exactly(moment: datetime, zone: timezone, digits: str) -> None:
    text = moment.replace(tzinfo=zone).isoformat(timespec=digits)
    assume(FIRST <= datetime.fromisoformat(text) - EPOCH <= LAST)
    since = datetime.fromisoformat(text) - EPOCH
    assert parse_date_time(text) == since // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.5z", 1_500_000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.1-00:00", 100_000),
        ("1970-01-01T01:30:00.25+01:30", 250_000),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
    ],
)
def test_a_date_time_is_microseconds_since_1970(text: str, micros: int) -> None:
    assert parse_date_time(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "2026-11-23",
        "2026-11-23T10:15Z",
        "2026-11-23T10:15:00",
        "2026-11-23 10:15:00Z",
        "2026-11-23T10:15:00Z ",
        "2026-11-23T10:15:00Z\n",
        "2026-11-23T10:15:00.Z",
        "2026-11-23T10:15:00,5Z",
        "2026-11-23T10:15:00.1234567Z",
        "2026-11-23T10:15:00.123456Zx",
        "2026-11-23T10:15:00.123456Z+01:00",
        "2026-11-23T10:15:00.12345\u0663Z",
        "2026-11-23T10:15:00.12345\u00b2Z",
        "2026-11-23T10:15:00.1_3456Z",
        "2026-11-23T10:15:60Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T10:60:00Z",
        "2026-11-23T10:15:00+24:00",
        "2026-11-23T10:15:00+01:60",
        "2026-11-23T10:15:00+0100",
        "2026-11-31T10:15:00Z",
        "2023-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-W47-1T10:15:00Z",
        "+2026-11-23T10:15:00",
        "\u0662026-11-23T10:15:00Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_date_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59.999999-00:01",
        "9999-12-31T23:00:00-01:00",
        "0001-01-01T00:00:00+23:59",
        "0001-01-01T00:59:59.999999+01:00",
    ],
)
def test_a_date_time_outside_the_years_1_to_9999_in_utc_is_refused(text: str) -> None:
    with pytest.raises(OutsideYearsError):
        parse_date_time(text)


@pytest.mark.parametrize(
    ("text", "edge"),
    [
        ("9999-12-31T23:59:59.999999Z", LAST),
        ("9999-12-31T22:59:59.999999-01:00", LAST),
        ("0001-01-01T00:00:00Z", FIRST),
        ("0001-01-01T01:00:00+01:00", FIRST),
    ],
)
def test_the_first_and_last_moment_of_these_years_are_read(text: str, edge: timedelta) -> None:
    assert parse_date_time(text) == edge // timedelta(microseconds=1)
