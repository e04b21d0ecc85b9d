"""Awkward values of every kind, and random messages made of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.rules.tree import Reference, Value

TEXTS = (
    *(
        "",
        "a",
        "A",
        "b",
        "ab",
        "ba",
        "abc",
        "aab",
        "Ab",
        "é",
        "É",
        "ß",
        "ẞ",
        "İ",
        "ſ",  # noqa: RUF001
        "K",
        "e\u0301",
    ),
    *(
        "😀",
        "a😀b",
        "日本",
        "\0",
        "a\0b",
        " ",
        "  a ",
        "\t",
        "a\n",
        "a\nb",
        "\r\n",
        "\u00a0",
        "\ufeff",
    ),
    *("5", "-5", "007", "+5", " 5", "5 ", "-0", "-", "9223372036854775807", "9223372036854775808"),
    *(
        "-9223372036854775808",
        "12345678901234567890",
        "1.5",
        "-0.0",
        "1e3",
        "1E-2",
        "1e999",
        ".5",
        "1.",
    ),
    *("inf", "nan", "0x1F", "1_000", "٣", "٣٤", "true", "false", "TRUE", "t", "null", "NULL"),
    *(
        "a,b",
        ",",
        "a,,b",
        "a%b",
        "a_b",
        "%",
        "_",
        "\\",
        "a\\b",
        "'",
        '"',
        "it's",
        "{x}",
        "$1",
        "${1}",
    ),
    *("high", "critical", "id-7", "id-42", "ID-7", "2026-01-31T12:00:00Z", "x" * 300),
)
INTEGERS = (
    *(0, 1, -1, 2, -2, 3, 5, 7, -7, 10, 60, 100, 1000, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1),
    *(-(2**53) - 1, 2**62, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1, 3037000500),
)
NUMBERS = (
    *(0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 7.0, 0.1, 0.2, 0.3, 1000.0, 1e16),
    *(0.49999999999999994, 5e-324, 2.2250738585072014e-308, 1e308, -1e308, 1.7976931348623157e308),
    *(4503599627370495.5, 4503599627370497.0, 9007199254740993.0, 9.223372036854775807e18),
    *(-9.223372036854775808e18, 9.223372036854774e18, 1e19, 123456789.125),
)
TAME_NUMBERS = (0.0, 0.5, -0.5, 1.0, 1.25, -2.75, 1000.0, 123456.125, -65536.5)
"""For lists, whose sums DuckDB rounds at each step: here every step is exact."""
TIMES = (
    *(
        0,
        1,
        -1,
        999,
        1000,
        -1000,
        -1001,
        59_999_999,
        86_399_999_999,
        86_400_000_000,
        -86_400_000_000,
    ),
    *(1_700_000_000_123_456, 951_782_400_000_000, 1_709_164_800_000_000, 1_767_225_599_999_999),
    *(-62_135_596_800_000_000, 253_402_300_799_999_999),
)
POOLS: dict[Kind, Sequence[Any]] = {
    Kind.TEXT: TEXTS,
    Kind.BOOLEAN: (True, False),
    Kind.INTEGER: INTEGERS,
    Kind.NUMBER: NUMBERS,
    Kind.TIMESTAMP: TIMES,
    Kind.OBJECT: (b"{}", b'{"a":1}'),
}


def random_rows(references: Sequence[Reference], count: int, seed: int) -> list[tuple[Value, ...]]:
    """Make messages: one value for each reference, a fifth of them NULL."""
    random = Random(seed)  # noqa: S311
    return [tuple(_value(each.type, random) for each in references) for _ in range(count)]


def _value(type_: ValueType, random: Random) -> Value:
    if random.random() < 0.2:
        return None
    if type_.kind is Kind.LIST:
        item = ValueType(type_.item or Kind.OBJECT)
        return [_item(item, random) for _ in range(random.choice((0, 1, 1, 2, 3, 5)))]
    return _scalar(type_.kind, random)


def _item(type_: ValueType, random: Random) -> Value:
    if type_.kind is Kind.NUMBER and random.random() < 0.9:
        return random.choice(TAME_NUMBERS)
    return None if type_.kind is Kind.NUMBER else _value(type_, random)


def _scalar(kind: Kind, random: Random) -> Value:
    """Take a value of the pool, or now and then one that nobody thought of."""
    if random.random() < 0.7:
        return _of_pool(kind, random)
    match kind:
        case Kind.TEXT:
            return "".join(random.choices("abAB15,.-% é\n", k=random.randrange(6)))
        case Kind.INTEGER:
            return random.randrange(-(2 ** random.choice((4, 31, 63))), 2**63)
        case Kind.NUMBER:
            return random.uniform(-1, 1) * 10.0 ** random.randrange(-300, 300)
        case Kind.TIMESTAMP:
            return random.randrange(TIMES[-2], TIMES[-1])
    return _of_pool(kind, random)


def _of_pool(kind: Kind, random: Random) -> Value:
    value: Value = random.choice(POOLS[kind])
    return value
