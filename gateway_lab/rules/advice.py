"""What people write from habit, in SQL or another language, and what to write in a rule instead."""

from __future__ import annotations

from types import MappingProxyType

_NULL = "write `x is null` or `x is not null`"
_REGEX = "write regexp_matches(x, 'regex')"
_PARTS = "write year(time), month(time), day(time), hour(time) and so on"
_MILLISECONDS = "there are no intervals: compare milliseconds, epoch_ms(a) - epoch_ms(b) > 60000"
_MOMENT = "write timestamp '2026-01-31T00:00:00Z'"
_PREFIX = "texts have no prefix: 'critical'"
_IN_LIST = "to find a value in a list, write `'value' = any(list)`"
_REPLAY = "a rule sees only the message; compare with message.received"
_DECLARE = "declare the field in the event type and name it: payload.id"
_CASE = "write `case when … then … else … end`"
_COMMAS = "arguments are separated by commas; parts of a time are year(t), month(t), hour(t)"

OPERATORS = MappingProxyType(
    {
        "isnull": "write `x is null`",
        "notnull": "write `x is not null`",
        "contains": "write contains(x, 'part'); in a list `'value' = any(list)`",
        "has": _IN_LIST,
        "startswith": "write starts_with(x, 'begin')",
        "endswith": "write ends_with(x, 'end')",
        "similar": _REGEX,
        "glob": "write `like` with `%` and `_`",
        "xor": "write `a <> b`",
        "mod": "write `x % y`",
        "div": "write `x // y`",
        "where": "a rule is one condition, without queries",
        "then": _CASE,
        "else": _CASE,
    }
    | dict.fromkeys(("regexp", "rlike", "matches"), _REGEX)
    | dict.fromkeys(("eq", "equals"), "write `=`")
)
"""Words that stand where an operator belongs."""

PREFIXES = MappingProxyType(
    {"interval": _MILLISECONDS}
    | dict.fromkeys(("date", "time", "datetime", "timestamptz"), _MOMENT)
    | dict.fromkeys(("e", "n", "r", "b", "x", "f", "u"), _PREFIX)
)
"""Words in front of a text in quotes."""

BEYOND = MappingProxyType(
    {
        "over": "a rule sees one message; counts over many are the `aggregates` of a batch",
        "filter": "a rule sees one message; counts over many are the `aggregates` of a batch",
        "within": "a rule sees one message; counts over many are the `aggregates` of a batch",
        "collate": "texts are compared by code point; write lower(x) to ignore the case",
        "at": "times are in UTC and have no zone",
        "order": 'a rule is one condition, without queries; a field takes quotes: "order"',
        "from": _COMMAS,
        "for": _COMMAS,
        "as": "only `try_cast(x as integer)` has an `as`; leave it out",
    }
)
"""Words of SQL's grammar that the rule language does without."""

RESERVED_WORDS = MappingProxyType(
    {
        "cast": "write `try_cast(x as integer)`: what is no integer becomes NULL",
        "any": "write `x = any(list)`, the list on the right",
        "array": "lists are fields of events; for constants write `x in (1, 2)`",
        "select": "a rule is one condition, without queries",
        "where": "a rule is only the condition, without `where`",
        "when": "a rule is only the condition, without `when`",
        "and": "a condition is missing in front of it",
        "or": "a condition is missing in front of it",
        "is": "a field is missing in front of it",
        "in": "a field is missing in front of it",
        "lambda": "rules have no functions of their own",
        "both": "write trim(x) or trim(x, 'chars')",
        "leading": "write ltrim(x) or ltrim(x, 'chars')",
        "trailing": "write rtrim(x) or rtrim(x, 'chars')",
    }
)
"""Reserved words where a field or value belongs."""

SYMBOLS = MappingProxyType(
    {
        ")": "there is no `(` that it closes, or something is missing in front of it",
        ",": "a rule is one condition: join several by `and` or `or`",
        "[": "lists are fields of events; for constants write `x in (1, 2)`",
        ".": "the name of a field is missing in front of it",
    }
)
"""Symbols where nothing can be done with them; of all others something is missing in front."""

MISSING = MappingProxyType(
    {
        "(": "write `x in ('a', 'b')`; to find a value in a list `x = any(list)`",
        ")": "every `(` needs its `)`",
        "]": "every `[` needs its `]`",
        "and": "write `x between 1 and 5`",
        "as": "write `try_cast(x as integer)`",
        "end": "a `case` ends with `end`",
        "from": "write `x is distinct from y`",
        "then": _CASE,
    }
)
"""What to say where a word or symbol must stand and does not."""

FUNCTIONS = MappingProxyType(
    {
        "substr": "use substring(x, from, count)",
        "char_length": "use length(x)",
        "instr": "use strpos(x, 'y')",
        "position": "use strpos(x, 'y')",
        "regexp_full_match": r"use regexp_matches(x, '^…$')",
        "concat": "use x || y",
        "ceiling": "use ceil(x)",
        "trunc": "use floor(x) or ceil(x)",
        "epoch": "use epoch_ms(time)",
        "to_timestamp": "declare the field with format: date-time",
        "interval": _MILLISECONDS,
        "date": "use date_trunc('day', time)",
        "mod": "write `x % y`",
        "isnan": "NaN does not exist: numbers are finite or NULL",
        "exists": f"{_NULL}; {_IN_LIST}",
    }
    | dict.fromkeys(("nvl", "ifnull"), "use coalesce(x, y)")
    | dict.fromkeys(("if", "iff", "iif"), _CASE)
    | dict.fromkeys(("pow", "power"), "write the multiplication out")
    | dict.fromkeys(("regexp_like", "regexp", "rlike", "matches", "match"), _REGEX)
    | dict.fromkeys(("is_null", "isnull", "isnotnull", "has", "defined"), _NULL)
    | dict.fromkeys(("random", "uuid"), "a rule sees only the message; replays could not repeat it")
    | dict.fromkeys(("now", "today", "current_timestamp", "current_date"), _REPLAY)
    | dict.fromkeys(("array_contains", "list_has", "unnest", "explode"), _IN_LIST)
    | dict.fromkeys(("extract", "date_part", "datepart", "strftime", "to_char"), _PARTS)
    | dict.fromkeys(("date_diff", "datediff", "dateadd", "date_add", "date_sub"), _MILLISECONDS)
    | dict.fromkeys(("json_extract", "json_value", "get_json_object"), _DECLARE)
)
"""Functions that others have."""

ARGUMENTS = MappingProxyType({"round": "for two digits write round(x * 100) / 100"})
"""Functions that others give more arguments."""

CHARACTERS = MappingProxyType(
    {
        "#": "a comment belongs into the route's `description`",
        ":": "compare with `=`; a setting is written settings.name",
        "@": "a setting is written settings.name",
        "&": "conditions are joined by `and`",
        "|": "conditions are joined by `or`, texts by `||`",
        "≠": "use `<>`",
        "≤": "use `<=`",
        "≥": "use `>=`",
        "\\": "a quote inside a string is doubled: 'it''s'",
    }
    | dict.fromkeys(
        "\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a\u00b4",
        "this quote is typographic; strings take single quotes: 'critical'",
    )
)
"""Characters that no rule holds outside quotes."""
