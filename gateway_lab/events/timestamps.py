"""RFC 3339 date-times as µs since 1970, UTC: strictly, and fast enough for every message."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):", re.ASCII
)
_OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_SECONDS: Final = {f"{second:02d}": second * 1_000_000 for second in range(60)}
_CACHED: Final = 100_000


class _Minutes(dict[str, int]):
    """µs of texts such as `2026-11-23T10:15:`; only valid ones are kept."""

    def __missing__(self, text: str) -> int:
        found = _MINUTE.fullmatch(text)
        if found is None:
            raise ValueError(text)
        since = datetime.fromisoformat(found[1]).replace(tzinfo=UTC) - _EPOCH
        minutes = (since.days * 24 + int(found[2])) * 60 + int(found[3])
        if len(self) >= _CACHED:
            self.clear()
        self[text] = minutes * 60_000_000
        return self[text]


class _Offsets(dict[str, int]):
    """µs east of UTC of texts such as `+02:00`; there are fewer than 3,000."""

    def __missing__(self, text: str) -> int:
        found = _OFFSET.fullmatch(text)
        if found is None:
            raise ValueError(text)
        minutes = int(found[2]) * 60 + int(found[3])
        self[text] = (minutes if found[1] == "+" else -minutes) * 60_000_000
        return self[text]


_minutes = _Minutes()
_offsets = _Offsets({"Z": 0, "z": 0})


def parse_date_time(text: str) -> int:
    """Read `2026-11-23T10:15:00.25+01:00` as µs since 1970, UTC.

    Seconds and an offset must be there; at most 6 digits of a second; no leap seconds; the years
    0001 to 9999; `T` and `Z` in any case.

    Raises:
        ValueError: It is not such a text.
    """
    try:
        micros = _minutes[text[:17]] + _SECONDS[text[17:19]]
        if text[19:20] != ".":
            return micros - _offsets[text[19:]]
        end = -1 if text[-1] in "Zz" else -6
        digits = text[20:end]
        if not (0 < len(digits) <= 6 and digits.isascii() and digits.isdigit()):
            raise ValueError(text)
        return micros + int(digits.ljust(6, "0")) - _offsets[text[end:]]
    except KeyError:
        raise ValueError(text) from None
