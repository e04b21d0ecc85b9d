"""The Polars engine: a tree as an expression over columns named `tree.column_name(reference)`.

The expressions are elementwise: use them inside `with_columns` or `filter` (in a `select` of
nothing else a constant is one row). Aggregates are not for this engine, see `batches/`.
Integers are computed in Int128 and cast back, which makes NULL of overflow; text functions
touch ASCII only; what an expression needs twice is bound once, so that size stays linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import polars as pl

from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.events.regex import translate
from gateway_lab.rules import polars_text as text
from gateway_lab.rules import runtime
from gateway_lab.rules.polars_numbers import (
    bound,
    divide,
    finite,
    narrow,
    remainder,
    whole_division,
)
from gateway_lab.rules.tree import Call, Literal, Node, column_name

_Plain: TypeAlias = Callable[..., pl.Expr]
_Typed: TypeAlias = Callable[[Call, Sequence[pl.Expr]], pl.Expr]

DTYPES: dict[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.INTEGER: pl.Int64(),
    Kind.NUMBER: pl.Float64(),
    Kind.TIMESTAMP: pl.Int64(),
    Kind.OBJECT: pl.Binary(),
}


def dtype(type_: ValueType) -> pl.DataType:
    """Return the column type of a value type."""
    if type_.kind is Kind.LIST:
        return pl.List(DTYPES[type_.item or Kind.OBJECT])
    return DTYPES[type_.kind]


def to_polars(node: Node) -> pl.Expr:
    """Write a tree as a Polars expression."""
    if isinstance(node, Literal):
        return pl.lit(node.value, dtype(node.type))
    if not isinstance(node, Call):
        return pl.col(column_name(node))
    if plain := _PLAIN.get(node.function):
        return plain(*(to_polars(arg) for arg in node.args))
    return _TYPED[node.function](node, [to_polars(arg) for arg in node.args])


def _constants(node: Call) -> list[Any]:
    """Give the constants behind the first argument."""
    return [arg.value for arg in node.args[1:] if isinstance(arg, Literal)]


def _with_constants(use: Callable[..., pl.Expr]) -> _Typed:
    """Write a function of one expression and some constants."""
    return lambda node, args: use(args[0], *_constants(node))


def _strip(method: str) -> _Typed:
    return _with_constants(lambda value, chars=" ": getattr(value.str, method)(chars))


def _arithmetic(operate: Callable[..., pl.Expr]) -> _Typed:
    """Compute integers in Int128 and numbers in Float64; NULL out of range.

    Numbers are columns by then: `0.0 - x` with a constant, Polars would make `-x`, another zero.
    """

    def typed(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
        if node.type.kind is Kind.NUMBER:
            return finite(bound(operate, *args))
        return narrow(operate(*(arg.cast(pl.Int128) for arg in args)))

    return typed


def _length(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    is_list = node.args[0].type.kind is Kind.LIST
    length = args[0].list.len() if is_list else args[0].str.len_chars()
    return length.cast(pl.Int64)


# --- choice ---


def _case(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    """Choose among columns: among constants, Polars' `when` may give a column of one row."""

    def choose(*args: pl.Expr) -> pl.Expr:
        chain: Any = pl
        for condition, value in zip(args[::2], args[1::2], strict=False):
            chain = chain.when(condition).then(value)
        chosen: pl.Expr = chain.otherwise(args[-1])
        return chosen

    other = [] if len(args) % 2 else [pl.lit(None, dtype(node.type))]
    return bound(choose, *args, *other)


def _nullif(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    return bound(lambda x, y: pl.when(x.ne_missing(y)).then(x), x, y)


def _extreme(better: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> _Plain:
    """Fold from the left, so that the first of equal values (0.0 and -0.0) stays."""

    def choose(x: pl.Expr, y: pl.Expr) -> pl.Expr:
        return pl.when(x.is_null() | better(y, x)).then(y).otherwise(x)

    def fold(*args: pl.Expr) -> pl.Expr:
        result = args[0]
        for arg in args[1:]:
            result = bound(choose, result, arg)
        return result

    return fold


# --- conversion ---

_INTEGER = r"\A(-?[0-9]{1,19})\z"
_NUMBER = r"\A(-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,4})?)\z"


def _to_integer(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    if node.args[0].type.kind is Kind.TEXT:
        return args[0].str.extract(_INTEGER).cast(pl.Int64, strict=False)
    return narrow(args[0].round(mode="half_to_even"))


def _to_number(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    if node.args[0].type.kind is Kind.TEXT:
        return finite(args[0].str.extract(_NUMBER).cast(pl.Float64, strict=False))
    return args[0].cast(pl.Float64)


def _to_boolean(text: pl.Expr) -> pl.Expr:
    return text.replace_strict(
        ["true", "false"], [True, False], default=None, return_dtype=pl.Boolean
    )


# --- time ---


def _part(name: str) -> _Plain:
    return lambda time: getattr(time.cast(pl.Datetime("us")).dt, name)().cast(pl.Int64)


_UNITS = {
    "second": "1s",
    "minute": "1m",
    "hour": "1h",
    "day": "1d",
    "week": "1w",
    "month": "1mo",
    "year": "1y",
}


def _date_trunc(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    unit = getattr(node.args[0], "value", "")
    return args[1].cast(pl.Datetime("us")).dt.truncate(_UNITS[unit]).cast(pl.Int64)


# --- lists: row by row in Python where exactness or NULL elements ask for it ---


def _by_row(function: Callable[..., Any]) -> _Typed:
    """Apply a function of the Python engine to each row whose values are not NULL."""

    def typed(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
        def apply(columns: Sequence[pl.Series]) -> pl.Series:
            rows = zip(*(column.to_list() for column in _level(columns)), strict=True)
            values = [None if None in row else function(*row) for row in rows]
            return pl.Series(values, dtype=dtype(node.type))

        return pl.map_batches(list(args), apply, return_dtype=dtype(node.type), is_elementwise=True)

    return typed


def _level(columns: Sequence[pl.Series]) -> list[pl.Series]:
    """Repeat constants to the height of the others."""
    height = max(map(len, columns))
    return [
        column if len(column) == height else column.new_from_index(0, height) for column in columns
    ]


def _any(value: pl.Expr, items: pl.Expr) -> pl.Expr:
    """Say whether an element is equal; else NULL where an element is NULL."""

    def test(value: pl.Expr, items: pl.Expr) -> pl.Expr:
        found = items.list.contains(value)
        unknown = items.list.len() > items.list.drop_nulls().list.len()
        return pl.when(value.is_not_null() & (found | ~unknown)).then(found)

    return bound(test, value, items)


def _contains_item(items: pl.Expr, value: pl.Expr) -> pl.Expr:
    return bound(lambda x, y: pl.when(x.is_not_null()).then(y.list.contains(x)), value, items)


def _is_in(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    return args[0].is_in(pl.Series(_constants(node), dtype=dtype(node.args[0].type)).implode())


def _sum(node: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    if node.type.kind is Kind.NUMBER:
        return _by_row(runtime.sum_numbers)(node, args)
    return _by_row(runtime.sum_integers)(node, args)


_PLAIN: dict[str, _Plain] = {
    "=": lambda x, y: x == y,
    "<>": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
    "between": partial(bound, lambda x, low, high: (x >= low) & (x <= high)),
    "is null": lambda x: x.is_null(),
    "is not distinct from": lambda x, y: x.eq_missing(y),
    "and": pl.all_horizontal,
    "or": pl.any_horizontal,
    "not": lambda x: ~x,
    "is true": lambda x: x.fill_null(value=False),
    "is false": lambda x: (~x).fill_null(value=False),
    "/": divide,
    "//": whole_division,
    "%": remainder,
    "round": lambda x: x.round(mode="half_away_from_zero"),
    "floor": lambda x: x.floor(),
    "ceil": lambda x: x.ceil(),
    "sign": lambda x: x.sign().cast(pl.Int64),
    "||": pl.concat_str,
    "lower": text.lower,
    "upper": text.upper,
    "starts_with": lambda x, y: x.str.starts_with(y),
    "ends_with": lambda x, y: x.str.ends_with(y),
    "contains": lambda x, y: x.str.contains(y, literal=True),
    "coalesce": partial(bound, pl.coalesce),  # alone, a constant in front loses the height
    "nullif": _nullif,
    "greatest": _extreme(lambda new, old: new > old),
    "least": _extreme(lambda new, old: new < old),
    "try_cast boolean": _to_boolean,
    "try_cast text": lambda x: x.cast(pl.String),
    "epoch_ms": lambda time: time // 1000,
    "year": _part("year"),
    "month": _part("month"),
    "day": _part("day"),
    "hour": _part("hour"),
    "minute": _part("minute"),
    "second": _part("second"),
    "isodow": _part("weekday"),
    "dayofweek": lambda time: _part("weekday")(time) % 7,
    "= any": _any,
    "list_contains": _contains_item,
    "list_min": lambda items: items.list.min(),
    "list_max": lambda items: items.list.max(),
}
"""Functions that need nothing but their arguments."""

_TYPED: dict[str, _Typed] = {
    "in": _is_in,
    "+": _arithmetic(lambda x, y: x + y),
    "-": _arithmetic(lambda x, y: x - y),
    "*": _arithmetic(lambda x, y: x * y),
    "negate": _arithmetic(lambda x: x * -1),
    "abs": _arithmetic(lambda x: x.abs()),
    "like": _with_constants(text.like),
    "ilike": _with_constants(text.ilike),
    "trim": _strip("strip_chars"),
    "ltrim": _strip("strip_chars_start"),
    "rtrim": _strip("strip_chars_end"),
    "length": _length,
    "substring": _with_constants(lambda x, start, count=None: x.str.slice(start - 1, count)),
    "left": _with_constants(lambda x, count: x.str.head(count)),
    "right": _with_constants(lambda x, count: x.str.tail(count)),
    "replace": _with_constants(text.replace),
    "strpos": _with_constants(text.strpos),
    "split_part": _with_constants(text.split_part),
    "regexp_matches": _with_constants(lambda x, regex: x.str.contains(translate(regex))),
    "regexp_extract": _with_constants(text.regexp_extract),
    "case": _case,
    "try_cast integer": _to_integer,
    "try_cast number": _to_number,
    "date_trunc": _date_trunc,
    "[]": _with_constants(lambda x, index: x.list.get(index - 1, null_on_oob=True)),
    "list_sum": _sum,
    "list_avg": _by_row(runtime.average),
}
"""Functions that need types or constants of the tree."""

NAMES = frozenset(_PLAIN) | frozenset(_TYPED)
"""The functions that this engine knows."""
