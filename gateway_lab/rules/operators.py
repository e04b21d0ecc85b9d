"""The operators: comparisons, logic, arithmetic, choice. One part of the table in `functions.py`."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_lab.rules.signatures import ORDERED, SCALARS, Function, read_signatures

COMPARISONS, LOGIC, ARITHMETIC, CHOICES = "Comparisons", "Logic", "Arithmetic", "Choice"

_OVERFLOW = "DuckDB fails on overflow of integers, and gives infinity for numbers"


def _comparison(name: str, meaning: str, over: Iterable[str] = ORDERED) -> Function:
    return Function(
        name=name,
        usage=f"x {name} y",
        group=COMPARISONS,
        signatures=read_signatures("T, T -> boolean", over=over),
        meaning=meaning,
    )


def _logic(name: str, usage: str, *signatures: str, meaning: str, strict: bool = False) -> Function:
    return Function(
        name=name,
        usage=usage,
        group=LOGIC,
        signatures=read_signatures(*signatures),
        meaning=meaning,
        strict=strict,
    )


def _arithmetic(name: str, usage: str, *signatures: str, meaning: str, deviation: str) -> Function:
    return Function(
        name=name,
        usage=usage,
        group=ARITHMETIC,
        signatures=read_signatures(*signatures),
        meaning=meaning,
        deviation=deviation,
        partial=True,
    )


def _exact(name: str, usage: str, *signatures: str, meaning: str, deviation: str = "") -> Function:
    return Function(
        name=name,
        usage=usage,
        group=ARITHMETIC,
        signatures=read_signatures(*signatures),
        meaning=meaning,
        deviation=deviation,
    )


OPERATORS = (
    _comparison("=", "Whether two values are equal; text by code point.", SCALARS),
    _comparison("<>", "Whether two values differ; `!=` is the same.", SCALARS),
    _comparison("<", "Whether x is less; text by code point, whatever the language."),
    _comparison("<=", "Whether x is less or equal."),
    _comparison(">", "Whether x is greater."),
    _comparison(">=", "Whether x is greater or equal."),
    Function(
        name="between",
        usage="x between low and high",
        group=COMPARISONS,
        signatures=read_signatures("T, T, T -> boolean", over=ORDERED),
        meaning="The same as `x >= low and x <= high`, with its NULLs.",
        strict=False,
    ),
    Function(
        name="in",
        usage="x in (a, b, …)",
        group=COMPARISONS,
        signatures=read_signatures("T, T value... -> boolean", over=SCALARS),
        meaning="Whether x is one of some constants.",
    ),
    Function(
        name="is null",
        usage="x is null",
        group=COMPARISONS,
        signatures=read_signatures("T -> boolean", over=(*SCALARS, "[any]", "object")),
        meaning="Whether there is no value: the field is absent or JSON null. Never NULL.",
        strict=False,
    ),
    Function(
        name="is not distinct from",
        usage="x is not distinct from y",
        group=COMPARISONS,
        signatures=read_signatures("T, T -> boolean", over=SCALARS),
        meaning="Like `=`, but NULL equals NULL and nothing else. Never NULL.",
        strict=False,
    ),
    _logic(
        "and",
        "a and b",
        "boolean, boolean... -> boolean",
        meaning="FALSE if one is FALSE, else NULL if one is NULL, else TRUE.",
    ),
    _logic(
        "or",
        "a or b",
        "boolean, boolean... -> boolean",
        meaning="TRUE if one is TRUE, else NULL if one is NULL, else FALSE.",
    ),
    _logic("not", "not a", "boolean -> boolean", meaning="The opposite.", strict=True),
    _logic("is true", "a is true", "boolean -> boolean", meaning="NULL is not true. Never NULL."),
    _logic(
        "is false", "a is false", "boolean -> boolean", meaning="NULL is not false. Never NULL."
    ),
    _arithmetic(
        "+",
        "x + y",
        "integer, integer -> integer",
        "number, number -> number",
        meaning="The sum; NULL on overflow. With a number in it, all are numbers (float64).",
        deviation=_OVERFLOW,
    ),
    _arithmetic(
        "-",
        "x - y",
        "integer, integer -> integer",
        "number, number -> number",
        meaning="The difference; NULL on overflow.",
        deviation=_OVERFLOW,
    ),
    _arithmetic(
        "*",
        "x * y",
        "integer, integer -> integer",
        "number, number -> number",
        meaning="The product; NULL on overflow.",
        deviation=_OVERFLOW,
    ),
    _arithmetic(
        "/",
        "x / y",
        "number, number -> number",
        meaning="The quotient, always a number; NULL if y is 0, and on overflow.",
        deviation="DuckDB gives infinity for both",
    ),
    _arithmetic(
        "//",
        "x // y",
        "integer, integer -> integer",
        meaning="The whole quotient, towards zero; NULL if y is 0, and on overflow.",
        deviation="DuckDB fails on both",
    ),
    _arithmetic(
        "%",
        "x % y",
        "integer, integer -> integer",
        meaning="The remainder of `//`, with the sign of x; NULL if y is 0.",
        deviation="DuckDB fails on it, and on `-9223372036854775808 % -1`, here 0",
    ),
    _arithmetic(
        "negate",
        "-x",
        "integer -> integer",
        "number -> number",
        meaning="The opposite; NULL on overflow.",
        deviation=_OVERFLOW,
    ),
    _arithmetic(
        "abs",
        "abs(x)",
        "integer -> integer",
        "number -> number",
        meaning="The value without its sign; NULL on overflow.",
        deviation=_OVERFLOW,
    ),
    _exact(
        "round",
        "round(x)",
        "number -> number",
        meaning="The nearest whole number, halves away from zero.",
    ),
    _exact("floor", "floor(x)", "number -> number", meaning="The whole number at or below."),
    _exact("ceil", "ceil(x)", "number -> number", meaning="The whole number at or above."),
    _exact("sign", "sign(x)", "number -> integer", meaning="-1, 0 or 1."),
    Function(
        name="case",
        usage="case when a then x … [else y] end",
        group=CHOICES,
        signatures=(),
        meaning="The value behind the first condition that is TRUE; else `y`, or NULL.",
        partial=True,
        strict=False,
    ),
    Function(
        name="coalesce",
        usage="coalesce(x, y, …)",
        group=CHOICES,
        signatures=read_signatures("T, T... -> T", over=SCALARS),
        meaning="The first value that is not NULL.",
        strict=False,
    ),
    Function(
        name="nullif",
        usage="nullif(x, y)",
        group=CHOICES,
        signatures=read_signatures("T, T -> T", over=SCALARS),
        meaning="NULL if the two are equal, else x.",
        partial=True,
        strict=False,
    ),
    Function(
        name="greatest",
        usage="greatest(x, y, …)",
        group=CHOICES,
        signatures=read_signatures("T, T... -> T", over=ORDERED),
        meaning="The greatest of the values that are not NULL; the first of equal ones.",
        strict=False,
    ),
    Function(
        name="least",
        usage="least(x, y, …)",
        group=CHOICES,
        signatures=read_signatures("T, T... -> T", over=ORDERED),
        meaning="The least of the values that are not NULL; the first of equal ones.",
        strict=False,
    ),
)
"""Every operator, in the order of the page."""
