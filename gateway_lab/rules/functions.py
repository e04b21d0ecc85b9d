"""The one list of the rule language's operators and functions: what they take, give and mean.

Both engines and the judge hold one entry for each name here, and the page about the language is
made from this table. The names are those of `tree.Call.function`.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from gateway_lab.rules.operators import OPERATORS
from gateway_lab.rules.signatures import NUMERIC, ORDERED, SCALARS, Function, read_signatures

TEXTS, CONVERSIONS, TIMES, LISTS = "Text", "Conversion", "Time", "Lists"
AGGREGATES = "Aggregates"

_ASCII = "DuckDB changes all letters of Unicode"
_NO_ELEMENT = "NULL elements do not count; NULL where there is no other."


def _text(name: str, usage: str, *signatures: str, meaning: str, deviation: str = "") -> Function:
    return Function(
        name=name,
        usage=usage,
        group=TEXTS,
        signatures=read_signatures(*signatures),
        meaning=meaning,
        deviation=deviation,
    )


def _cast(target: str, *signatures: str, meaning: str, deviation: str = "") -> Function:
    return Function(
        name=f"try_cast {target}",
        usage=f"try_cast(x as {target})",
        group=CONVERSIONS,
        signatures=read_signatures(*signatures),
        meaning=meaning,
        deviation=deviation,
        partial=True,
    )


def _part(name: str, meaning: str) -> Function:
    return Function(
        name=name,
        usage=f"{name}(time)",
        group=TIMES,
        signatures=read_signatures("timestamp -> integer"),
        meaning=f"{meaning}, in UTC.",
    )


def _list(
    name: str, usage: str, written: str, over: Iterable[str], meaning: str, deviation: str = ""
) -> Function:
    return Function(
        name=name,
        usage=usage,
        group=LISTS,
        signatures=read_signatures(written, over=over),
        meaning=meaning,
        deviation=deviation,
        partial=True,
    )


def _aggregate(
    name: str, usage: str, *written: str, over: Iterable[str] = ("",), meaning: str
) -> Function:
    return Function(
        name=name,
        usage=usage,
        group=AGGREGATES,
        signatures=read_signatures(*written, over=over),
        meaning=meaning,
        strict=False,
        partial=not name.startswith("count"),
    )


_FUNCTIONS = (
    _text("||", "x || y", "text, text... -> text", meaning="Texts joined."),
    _text(
        "like",
        "x like 'a%b_'",
        "text, text pattern -> boolean",
        "text, text pattern, text escape -> boolean",
        meaning="Whether the whole text fits: `%` is anything, `_` one character; "
        "`escape '!'` names the character that makes the next one literal.",
    ),
    _text(
        "ilike",
        "x ilike 'a%b_'",
        "text, text pattern -> boolean",
        "text, text pattern, text escape -> boolean",
        meaning="Like `like`, without regard to the case of ASCII letters.",
        deviation="DuckDB ignores the case of all letters of Unicode",
    ),
    _text("lower", "lower(x)", "text -> text", meaning="A-Z become a-z.", deviation=_ASCII),
    _text("upper", "upper(x)", "text -> text", meaning="a-z become A-Z.", deviation=_ASCII),
    _text(
        "trim",
        "trim(x[, 'chars'])",
        "text -> text",
        "text, text some -> text",
        meaning="Without the spaces (or the given characters) at both ends.",
        deviation="DuckDB takes all spaces of Unicode away where no characters are given",
    ),
    _text(
        "ltrim",
        "ltrim(x[, 'chars'])",
        "text -> text",
        "text, text some -> text",
        meaning="The same at the beginning only.",
    ),
    _text(
        "rtrim",
        "rtrim(x[, 'chars'])",
        "text -> text",
        "text, text some -> text",
        meaning="The same at the end only.",
    ),
    _text(
        "length",
        "length(x)",
        "text -> integer",
        "[any] -> integer",
        meaning="The number of code points of a text, or of elements of a list (NULL elements "
        "count; 0 for an empty list); `len` is the same.",
    ),
    _text(
        "substring",
        "substring(x, from[, count])",
        "text, integer position -> text",
        "text, integer position, integer count -> text",
        meaning="The code points from a position (the first is 1), all or some.",
    ),
    _text("left", "left(x, n)", "text, integer count -> text", meaning="The first n code points."),
    _text("right", "right(x, n)", "text, integer count -> text", meaning="The last n code points."),
    _text(
        "replace",
        "replace(x, 'old', 'new')",
        "text, text some, text value -> text",
        meaning="Every `old` replaced, from left to right.",
    ),
    _text(
        "starts_with", "starts_with(x, y)", "text, text -> boolean", meaning="Whether x begins so."
    ),
    _text("ends_with", "ends_with(x, y)", "text, text -> boolean", meaning="Whether x ends so."),
    _text("contains", "contains(x, y)", "text, text -> boolean", meaning="Whether y is in x."),
    _text(
        "strpos",
        "strpos(x, 'y')",
        "text, text some -> integer",
        meaning="The position of the first y in x in code points, from 1; 0 if there is none.",
    ),
    _text(
        "split_part",
        "split_part(x, ',', n)",
        "text, text some, integer position -> text",
        meaning="The n-th of the parts between separators, from 1; empty if there are fewer.",
    ),
    _text(
        "regexp_matches",
        "regexp_matches(x, 'regex')",
        "text, text regex -> boolean",
        meaning="Whether the regular expression is found anywhere in x.",
        deviation="DuckDB also takes `\\b`, flags and named groups",
    ),
    _text(
        "regexp_extract",
        "regexp_extract(x, 'regex'[, group])",
        "text, text regex -> text",
        "text, text regex, integer group -> text",
        meaning="What the first match (or its group) holds; empty if there is none.",
        deviation="DuckDB also takes `\\b`, flags and named groups",
    ),
    _cast(
        "integer",
        "text -> integer",
        "number -> integer",
        meaning="Text `-?[0-9]{1,19}` or a number (rounded, halves to even) as an integer; "
        "NULL for all else and out of range.",
        deviation="DuckDB also takes blanks, `1e3`, `1_000` and `+1`",
    ),
    _cast(
        "number",
        "text -> number",
        "integer -> number",
        meaning="Text such as `-12`, `1.50` or `2e3` (up to 30 digits before and after the point) or "
        "an integer as a number; NULL for all else and out of range.",
        deviation="DuckDB also takes blanks, `inf`, `.5` and `+1`",
    ),
    _cast(
        "boolean",
        "text -> boolean",
        meaning="`true` and `false`, in lower case; NULL for all else.",
        deviation="DuckDB also takes `t`, `1`, `yes` and any case",
    ),
    _cast(
        "text",
        "integer -> text",
        "boolean -> text",
        meaning="The digits of an integer; `true` or `false`.",
    ),
    Function(
        name="epoch_ms",
        usage="epoch_ms(time)",
        group=TIMES,
        signatures=read_signatures("timestamp -> integer"),
        meaning="Milliseconds since 1970, rounded down.",
        deviation="DuckDB rounds to the nearest",
    ),
    Function(
        name="date_trunc",
        usage="date_trunc('hour', time)",
        group=TIMES,
        signatures=read_signatures("text unit, timestamp -> timestamp"),
        meaning="The beginning of the second, minute, hour, day, week (Monday), month or year, "
        "in UTC.",
    ),
    _part("year", "The year"),
    _part("month", "The month, 1 to 12"),
    _part("day", "The day of the month"),
    _part("hour", "The hour, 0 to 23"),
    _part("minute", "The minute"),
    _part("second", "The whole second"),
    _part("dayofweek", "The day of the week, Sunday is 0"),
    _part("isodow", "The day of the week, Monday is 1 and Sunday 7"),
    _list(
        "= any",
        "x = any(list)",
        "T, [T] -> boolean",
        SCALARS,
        "Whether x equals an element; else NULL if an element is NULL. FALSE for an empty list.",
        "DuckDB says FALSE where the list is NULL, or x is NULL and the list empty",
    ),
    _list(
        "list_contains",
        "list_contains(list, x)",
        "[T], T -> boolean",
        SCALARS,
        "Whether x equals an element; NULL elements do not count. FALSE for an empty list.",
    ),
    _list(
        "[]",
        "list[n]",
        "[T], integer position -> T",
        SCALARS,
        "The n-th element, from 1; NULL if there are fewer.",
    ),
    _list("list_min", "list_min(list)", "[T] -> T", ORDERED, f"The least element. {_NO_ELEMENT}"),
    _list(
        "list_max", "list_max(list)", "[T] -> T", ORDERED, f"The greatest element. {_NO_ELEMENT}"
    ),
    _list(
        "list_sum",
        "list_sum(list)",
        "[T] -> T",
        NUMERIC,
        f"The exact sum; NULL on overflow. {_NO_ELEMENT}",
        "DuckDB adds numbers one by one and rounds each time; integers give HUGEINT",
    ),
    _list(
        "list_avg",
        "list_avg(list)",
        "[T] -> number",
        NUMERIC,
        f"The exact sum as a number, divided by the count. {_NO_ELEMENT}",
        "DuckDB adds one by one and rounds each time",
    ),
    _aggregate("count(*)", "count(*)", "-> integer", meaning="The number of messages."),
    _aggregate(
        "count",
        "count(x)",
        "T -> integer",
        over=(*SCALARS, "[any]", "object"),
        meaning="The number of messages where x is not NULL.",
    ),
    _aggregate(
        "sum",
        "sum(x)",
        "T -> T",
        over=NUMERIC,
        meaning="The exact sum of the values that are not NULL; NULL if none is, or on overflow.",
    ),
    _aggregate(
        "avg",
        "avg(x)",
        "T -> number",
        over=NUMERIC,
        meaning="The exact sum as a number, divided by the count; NULLs do not count.",
    ),
    _aggregate(
        "min",
        "min(x)",
        "T -> T",
        over=ORDERED,
        meaning="The least of the values that are not NULL; NULL if none is.",
    ),
    _aggregate(
        "max",
        "max(x)",
        "T -> T",
        over=ORDERED,
        meaning="The greatest of the values that are not NULL; NULL if none is.",
    ),
)


FUNCTIONS = MappingProxyType({function.name: function for function in (*OPERATORS, *_FUNCTIONS)})
"""Name in the tree to operator or function, in the order of the page."""

ALIASES = MappingProxyType({"len": "length"})
"""Other names that may be written."""

UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
"""What `date_trunc` takes."""
