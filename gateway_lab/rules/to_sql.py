"""The judge: a tree as DuckDB SQL, for tests that compare the engines with a third opinion.

Where DuckDB means something else than the rule language, the SQL has casts, `TRY_CAST` and
guards, so that it says what the language says. Columns are `c0`, `c1`, … since DuckDB ignores
the case of names. It is written from the tree, never from a rule's text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.events.regex import translate
from gateway_lab.rules.tree import Call, Literal, Node, Reference

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MACROS = (
    "CREATE OR REPLACE MACRO finite(x) AS CASE WHEN isfinite(x) THEN x END",
    "CREATE OR REPLACE MACRO wide(x) AS CAST(x AS HUGEINT)",
    "CREATE OR REPLACE MACRO narrow(x) AS TRY_CAST(x AS BIGINT)",
    "CREATE OR REPLACE MACRO floor_1000(x) AS (x - (x % 1000 + 1000) % 1000) // 1000",
    f"CREATE OR REPLACE MACRO ascii_lower(x) AS translate(x, '{_LETTERS}', '{_LETTERS.lower()}')",
    f"CREATE OR REPLACE MACRO ascii_upper(x) AS translate(x, '{_LETTERS.lower()}', '{_LETTERS}')",
)
"""What a connection must be told before it runs the SQL."""

_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.INTEGER: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.OBJECT: "BLOB",
}


def sql_type(type_: ValueType) -> str:
    """Return the DuckDB type of a column."""
    if type_.kind is Kind.LIST:
        return f"{_TYPES[type_.item or Kind.OBJECT]}[]"
    return _TYPES[type_.kind]


def to_sql(node: Node, columns: Mapping[Reference, str]) -> str:
    """Write a tree as an SQL expression.

    Args:
        node: The tree, without aggregates.
        columns: The column of each reference; times are TIMESTAMP without time zone, in UTC.
    """
    if isinstance(node, Literal):
        return _literal(node)
    if not isinstance(node, Call):
        return columns[node]
    args = [to_sql(arg, columns) for arg in node.args]
    template = _SQL[node.function]
    return template.format(*args) if isinstance(template, str) else template(node, args)


def _literal(node: Literal) -> str:
    if node.value is None:
        return f"CAST(NULL AS {sql_type(node.type)})"
    if isinstance(node.value, str):
        return quote(node.value)
    if node.type.kind is Kind.TIMESTAMP:
        return f"make_timestamp(CAST({node.value!r} AS BIGINT))"
    return f"CAST('{node.value!r}' AS {sql_type(node.type)})"


def quote(text: str) -> str:
    """Write a text literal; SQL text cannot hold NUL."""
    pieces = ("'" + piece.replace("'", "''") + "'" for piece in text.split("\0"))
    return "(" + " || chr(0) || ".join(pieces) + ")"


_Sql: TypeAlias = "str | Callable[[Call, Sequence[str]], str]"


def _by_kind(**templates: str) -> _Sql:
    """Choose by the kind of the first argument, or of the elements if that is a list."""

    def write(node: Call, args: Sequence[str]) -> str:
        type_ = node.args[0].type
        return templates[type_.item or type_.kind].format(*args)

    return write


def _numeric(integer: str, number: str) -> _Sql:
    """Choose by what the function gives."""

    def write(node: Call, args: Sequence[str]) -> str:
        return (integer if node.type.kind is Kind.INTEGER else number).format(*args)

    return write


def _joined(between: str, function: str = "") -> _Sql:
    return lambda _, args: f"{function}({between.join(args)})"


def _in(_: Call, args: Sequence[str]) -> str:
    return f"({args[0]} IN ({', '.join(args[1:])}))"


def _case(node: Call, args: Sequence[str]) -> str:
    pairs = zip(args[::2], args[1::2], strict=False)
    branches = " ".join(f"WHEN {condition} THEN {value}" for condition, value in pairs)
    other = args[-1] if len(args) % 2 else f"CAST(NULL AS {sql_type(node.type)})"
    return f"(CASE {branches} ELSE {other} END)"


def _like(template: str) -> _Sql:
    def write(_: Call, args: Sequence[str]) -> str:
        text, pattern, *escape = args
        tail = f" ESCAPE {escape[0][1:-1]}" if escape else ""
        return f"({template.format(text)} LIKE {template.format(pattern)}{tail})"

    return write


def _regex(function: str) -> _Sql:
    def write(node: Call, args: Sequence[str]) -> str:
        pattern: Any = getattr(node.args[1], "value", "")
        rest = "".join(f", CAST({group} AS INTEGER)" for group in args[2:])
        return f"{function}({args[0]}, {quote(translate(pattern))}{rest})"

    return write


def _strip(function: str) -> _Sql:
    return lambda _, args: f"{function}({args[0]}, {args[1] if len(args) > 1 else quote(' ')})"


def _length(node: Call, args: Sequence[str]) -> str:
    function = "len" if node.args[0].type.kind is Kind.LIST else "length"
    return f"CAST({function}({args[0]}) AS BIGINT)"


_INTEGER = "'-?[0-9]{{1,19}}'"
_NUMBER = r"'-?[0-9]{{1,30}}(\.[0-9]{{1,30}})?([eE][-+]?[0-9]{{1,4}})?'"
_EXACT_SUM = "list_sum(list_transform({0}, lambda v: wide(CAST(v AS DOUBLE))))"

_SQL: dict[str, _Sql] = {
    "=": "({0} = {1})",
    "<>": "({0} <> {1})",
    "<": "({0} < {1})",
    "<=": "({0} <= {1})",
    ">": "({0} > {1})",
    ">=": "({0} >= {1})",
    "between": "({0} BETWEEN {1} AND {2})",
    "in": _in,
    "is null": "({0} IS NULL)",
    "is not distinct from": "({0} IS NOT DISTINCT FROM {1})",
    "and": _joined(" AND "),
    "or": _joined(" OR "),
    "not": "(NOT {0})",
    "is true": "({0} IS TRUE)",
    "is false": "({0} IS FALSE)",
    "+": _numeric("narrow(wide({0}) + wide({1}))", "finite({0} + {1})"),
    "-": _numeric("narrow(wide({0}) - wide({1}))", "finite({0} - {1})"),
    "*": _numeric("narrow(wide({0}) * wide({1}))", "finite({0} * {1})"),
    "/": "finite({0} / nullif({1}, 0))",
    "//": "narrow(wide({0}) // nullif(wide({1}), 0))",
    "%": "narrow(wide({0}) % nullif(wide({1}), 0))",
    "negate": _numeric("narrow(-wide({0}))", "(-{0})"),
    "abs": _numeric("narrow(abs(wide({0})))", "abs({0})"),
    "round": "round({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "sign": "CAST(sign({0}) AS BIGINT)",
    "||": _joined(" || "),
    "like": _like("{0}"),
    "ilike": _like("ascii_lower({0})"),
    "lower": "ascii_lower({0})",
    "upper": "ascii_upper({0})",
    "trim": _strip("trim"),
    "ltrim": _strip("ltrim"),
    "rtrim": _strip("rtrim"),
    "length": _length,
    "substring": _joined(", ", "substring"),
    "left": "left({0}, {1})",
    "right": "right({0}, {1})",
    "replace": "replace({0}, {1}, {2})",
    "starts_with": "starts_with({0}, {1})",
    "ends_with": "ends_with({0}, {1})",
    "contains": "contains({0}, {1})",
    "strpos": "CAST(strpos({0}, {1}) AS BIGINT)",
    "split_part": "split_part({0}, {1}, {2})",
    "regexp_matches": _regex("regexp_matches"),
    "regexp_extract": _regex("regexp_extract"),
    "case": _case,
    "coalesce": _joined(", ", "coalesce"),
    "nullif": "nullif({0}, {1})",
    "greatest": _joined(", ", "greatest"),
    "least": _joined(", ", "least"),
    "try_cast integer": _by_kind(
        text="(CASE WHEN regexp_full_match({0}, " + _INTEGER + ") THEN narrow({0}) END)",
        number="narrow({0})",
    ),
    "try_cast number": _by_kind(
        text="finite(CASE WHEN regexp_full_match({0}, " + _NUMBER + ")"
        " THEN TRY_CAST({0} AS DOUBLE) END)",
        integer="CAST({0} AS DOUBLE)",
    ),
    "try_cast boolean": "(CASE {0} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END)",
    "try_cast text": "CAST({0} AS VARCHAR)",
    "epoch_ms": "floor_1000(epoch_us({0}))",
    "date_trunc": "CAST(date_trunc({0}, {1}) AS TIMESTAMP)",
    "year": "year({0})",
    "month": "month({0})",
    "day": "day({0})",
    "hour": "hour({0})",
    "minute": "minute({0})",
    "second": "second({0})",
    "dayofweek": "dayofweek({0})",
    "isodow": "isodow({0})",
    "= any": "(CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN {0} = ANY({1}) END)",
    "list_contains": "(CASE WHEN {1} IS NOT NULL THEN list_contains({0}, {1}) END)",
    "[]": "({0}[{1}])",
    "list_min": "list_min({0})",
    "list_max": "list_max({0})",
    "list_sum": _numeric("narrow(list_sum({0}))", "finite(list_sum({0}))"),
    "list_avg": _by_kind(
        integer=f"(CAST(CAST({_EXACT_SUM} AS VARCHAR) AS DOUBLE) / list_count({{0}}))",
        number="finite(list_avg({0}))",
    ),
}

NAMES = frozenset(_SQL)
"""The functions that the judge knows."""
