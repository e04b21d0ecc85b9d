"""RFC 3339 date-times as µs since 1970, UTC: strictly, and fast enough for every message."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])", re.ASCII
)
_REST: Final = re.compile(
    r"(?:\.([0-9]{1,6}))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))", re.ASCII
)
FIRST_MICROS: Final = -62_135_596_800_000_000
LAST_MICROS: Final = 253_402_300_799_999_999
"""The first and the last µs of the years 1 to 9999 in UTC: beyond them no engine has a calendar."""

_CACHED: Final = 100_000
"""Seconds and rests kept, some 10 MB each; a day has 86,400 seconds."""


class OutsideYearsError(ValueError):
    """A date-time that its offset moves out of the years 1 to 9999 in UTC."""


class _Seconds(dict[str, int]):
    """µs of texts such as `2026-11-23T10:15:00`; only valid ones are kept."""

    def __missing__(self, text: str) -> int:
        found = _SECOND.fullmatch(text)
        if found is None:
            raise ValueError(text)
        date, hours, minutes, seconds = found.groups()
        since = datetime.fromisoformat(date).replace(tzinfo=UTC) - _EPOCH
        whole = ((since.days * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)
        return _keep(self, text, whole * 1_000_000)


class _Rests(dict[str, int]):
    """µs to add for texts such as `.25+01:00`; only valid ones are kept."""

    def __missing__(self, text: str) -> int:
        found = _REST.fullmatch(text)
        if found is None:
            raise ValueError(text)
        fraction, sign, hours, minutes = found.groups("0")
        east = (int(hours) * 60 + int(minutes)) * 60_000_000
        return _keep(self, text, int(fraction.ljust(6, "0")) + (east if sign == "-" else -east))


def _keep(cache: dict[str, int], text: str, micros: int) -> int:
    if len(cache) >= _CACHED:
        cache.clear()
    cache[text] = micros
    return micros


_seconds = _Seconds()
_rests = _Rests()


def parse_date_time(text: str) -> int:
    """Read `2026-11-23T10:15:00.25+01:00` as µs since 1970, UTC.

    Seconds and an offset must be there; at most 6 digits of a second; no leap seconds; the years
    0001 to 9999, as written and in UTC; `T` and `Z` in any case.

    Raises:
        ValueError: It is not such a text.
        OutsideYearsError: It is one, but in UTC lies outside these years.
    """
    micros = _seconds[text[:19]]
    digits = text[20:26]
    if text[19::7] == ".Z" and len(text) == 27 and digits.isdigit() and digits.isascii():
        return micros + int(digits)  # spares the many different microseconds the look-up
    micros += _rests[text[19:]]
    if FIRST_MICROS <= micros <= LAST_MICROS:
        return micros
    raise OutsideYearsError(text)
