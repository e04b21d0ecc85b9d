"""What the Python engine's compiled functions call: one function for each that is no operator.

None of them sees NULL, except as elements of lists; they return None where the rule gives NULL.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
FLOAT_MAX = 1.7976931348623157e308

# --- arithmetic ---


def divide(x: float, y: float) -> float | None:
    """Divide; None by zero and on overflow."""
    if y == 0:
        return None
    result = x / y
    return result if -FLOAT_MAX <= result <= FLOAT_MAX else None


def divide_integers(x: int, y: int) -> int | None:
    """Divide towards zero; None by zero and on overflow."""
    if y == 0:
        return None
    result = abs(x) // abs(y)
    result = result if (x < 0) == (y < 0) else -result
    return result if result <= INT_MAX else None


def remainder(x: int, y: int) -> int | None:
    """Give what `divide_integers` leaves, with the sign of x; None by zero."""
    if y == 0:
        return None
    result = abs(x) % abs(y)
    return -result if x < 0 else result


def round_away(x: float) -> float:
    """Round to a whole number, halves away from zero."""
    whole = math.trunc(x) if abs(x) < 2**52 else x
    up = abs(x - whole) >= 0.5
    return math.copysign(abs(whole) + up, x)


def floor(x: float) -> float:
    """Round down; the sign of zero stays."""
    return math.copysign(float(math.floor(x)), x)


def ceil(x: float) -> float:
    """Round up; the sign of zero stays."""
    return math.copysign(float(math.ceil(x)), x)


def sign(x: float) -> int:
    """Give -1, 0 or 1."""
    return (x > 0) - (x < 0)


# --- text ---

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TO_LOWER = str.maketrans(_UPPER, _UPPER.lower())
_TO_UPPER = str.maketrans(_UPPER.lower(), _UPPER)


def lower(text: str) -> str:
    """Make A-Z lower case."""
    return text.lower() if text.isascii() else text.translate(_TO_LOWER)


def upper(text: str) -> str:
    """Make a-z upper case."""
    return text.upper() if text.isascii() else text.translate(_TO_UPPER)


def substring(text: str, start: int, count: int | None = None) -> str:
    """Cut a text from a position, which counts from 1."""
    return text[start - 1 :] if count is None else text[start - 1 : start - 1 + count]


def left(text: str, count: int) -> str:
    """Give the first characters."""
    return text[:count]


def right(text: str, count: int) -> str:
    """Give the last characters."""
    return text[-count:] if count else ""


def strpos(text: str, part: str) -> int:
    """Give the position of a part, from 1; 0 if it is not there."""
    return text.find(part) + 1


def split_part(text: str, separator: str, index: int) -> str:
    """Give a part between separators, from 1; empty if there are fewer."""
    parts = text.split(separator, index)
    return parts[index - 1] if index <= len(parts) else ""


# --- conversion ---

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,4})?")


def text_to_integer(text: str) -> int | None:
    """Read an integer."""
    if not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if INT_MIN <= value <= INT_MAX else None


def text_to_number(text: str) -> float | None:
    """Read a number."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if -FLOAT_MAX <= value <= FLOAT_MAX else None


def number_to_integer(value: float) -> int | None:
    """Round to an integer, halves to even."""
    result = round(value)
    return result if INT_MIN <= result <= INT_MAX else None


text_to_boolean = {"true": True, "false": False}.get


def boolean_to_text(value: bool) -> str:  # noqa: FBT001
    """Write a boolean as JSON does."""
    return "true" if value else "false"


# --- time: µs since 1970, UTC ---

_SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86_400 * _SECOND
_EPOCH = date(1970, 1, 1).toordinal()


def _date(time: int) -> date:
    return date.fromordinal(time // _DAY + _EPOCH)


def _from_date(day: date) -> int:
    return (day.toordinal() - _EPOCH) * _DAY


def epoch_ms(time: int) -> int:
    """Give milliseconds, rounded down."""
    return time // 1000


def year(time: int) -> int:
    """Give the year."""
    return _date(time).year


def month(time: int) -> int:
    """Give the month from 1."""
    return _date(time).month


def day(time: int) -> int:
    """Give the day of the month."""
    return _date(time).day


def hour(time: int) -> int:
    """Give the hour."""
    return time // _HOUR % 24


def minute(time: int) -> int:
    """Give the minute."""
    return time // _MINUTE % 60


def second(time: int) -> int:
    """Give the whole second."""
    return time // _SECOND % 60


def isodow(time: int) -> int:
    """Give the day of the week, Monday is 1."""
    return (time // _DAY + 3) % 7 + 1


def dayofweek(time: int) -> int:
    """Give the day of the week, Sunday is 0."""
    return (time // _DAY + 4) % 7


_UNITS = {"second": _SECOND, "minute": _MINUTE, "hour": _HOUR, "day": _DAY}


def date_trunc(unit: str, time: int) -> int:
    """Give the beginning of a unit."""
    if unit in _UNITS:
        return time - time % _UNITS[unit]
    if unit == "week":
        return (time // _DAY - (time // _DAY + 3) % 7) * _DAY
    start = _date(time).replace(day=1)
    return _from_date(start if unit == "month" else start.replace(month=1))


# --- lists ---


def is_any(value: Any, items: Sequence[Any]) -> bool | None:
    """Say whether a value is in a list; None if an element is NULL and none is equal."""
    if value in items:
        return True
    return None if None in items else False


def contains_item(items: Sequence[Any], value: Any) -> bool:
    """Say whether a value is in a list."""
    return value in items


def item(items: Sequence[Any], index: int) -> Any:
    """Give an element, from 1; None if there are fewer."""
    return items[index - 1] if index <= len(items) else None


def least_item(items: Sequence[Any]) -> Any:
    """Give the least element."""
    return min((each for each in items if each is not None), default=None)


def greatest_item(items: Sequence[Any]) -> Any:
    """Give the greatest element."""
    return max((each for each in items if each is not None), default=None)


def sum_integers(items: Sequence[int | None]) -> int | None:
    """Add integers; None if there are none, or on overflow."""
    values = [each for each in items if each is not None]
    result = sum(values)
    return result if values and INT_MIN <= result <= INT_MAX else None


def sum_numbers(items: Sequence[float | None]) -> float | None:
    """Add numbers exactly; None if there are none, or on overflow."""
    values = [each for each in items if each is not None]
    try:
        return math.fsum(values) if values else None
    except OverflowError:
        return None


def average(items: Sequence[float | None]) -> float | None:
    """Give the exact sum as a number, divided by the count."""
    values = [each for each in items if each is not None]
    total = sum_numbers(values)
    return None if total is None else total / len(values)


# --- choice ---


def greatest(*values: Any) -> Any:
    """Give the greatest value that is not NULL, the first of equal ones."""
    return max((each for each in values if each is not None), default=None)


def least(*values: Any) -> Any:
    """Give the least value that is not NULL, the first of equal ones."""
    return min((each for each in values if each is not None), default=None)


def between(value: Any, low: Any, high: Any) -> bool | None:
    """Give `value >= low and value <= high` with its NULLs."""
    if value is None:
        return None
    above = None if low is None else value >= low
    below = None if high is None else value <= high
    if above is False or below is False:
        return False
    return None if above is None or below is None else True


# --- aggregates: over the values of one expression for all messages ---


def count(items: Sequence[Any]) -> int:
    """Count what is not NULL."""
    return sum(each is not None for each in items)


RUNTIME: dict[str, Callable[..., Any]] = {
    "absolute": abs,
    "as_number": float,
    "length": len,
    "as_text": str,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
    "strip": str.strip,
    "strip_left": str.lstrip,
    "strip_right": str.rstrip,
    "replace": str.replace,
    "text_to_boolean": text_to_boolean,
    **{
        each.__name__: each
        for each in (
            divide,
            divide_integers,
            remainder,
            round_away,
            floor,
            ceil,
            sign,
            lower,
            upper,
            substring,
            left,
            right,
            strpos,
            split_part,
            text_to_integer,
            text_to_number,
            number_to_integer,
            boolean_to_text,
            epoch_ms,
            year,
            month,
            day,
            hour,
            minute,
            second,
            isodow,
            dayofweek,
            date_trunc,
            is_any,
            contains_item,
            item,
            least_item,
            greatest_item,
            sum_integers,
            sum_numbers,
            average,
            greatest,
            least,
            between,
            count,
        )
    },
}
"""Every name that a compiled function may call, besides its own constants."""
