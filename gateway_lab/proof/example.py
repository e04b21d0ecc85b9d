"""The smallest JSON that an event type allows, to stand where a witness may be anything.

A guess: bounds that exclude each other, or a pattern together with a length, may defeat it. So
whoever builds a witness on it has the decoder judge the whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

from gateway_lab.events.event_type import Kind, Schema
from gateway_lab.events.regex import translate
from gateway_lab.events.validity import possible_values
from gateway_lab.proof.domain import Cuts, intervals
from gateway_lab.proof.space import allowed

_SOME_TIME = "2026-01-01T00:00:00Z"
_MOST_LEVELS = 32


def example(schema: Schema, levels: int = _MOST_LEVELS) -> Any:
    """Return a JSON value that most likely meets a schema, with nothing in it that is optional."""
    if schema.enum:
        return possible_values(schema)[0]
    match schema.type:
        case "object" if levels:
            properties = schema.properties or {}
            return {
                name: example(properties.get(name, Schema()), levels - 1)
                for name in sorted(schema.required)
            }
        case "array" if levels:
            one = example(schema.items or Schema(), levels - 1) if schema.min_items else None
            return [one] * (schema.min_items or 0)
        case "string":
            return _text(schema)
        case "integer" | "number":
            return next(choices(allowed(schema), schema.value_type.kind), 0)
        case _:
            return {"boolean": False, None: "x"}.get(schema.type)


def choices(cuts: Cuts, kind: Kind) -> Iterator[Any]:
    """Yield some values of a set, those first that a reader takes in at once; maybe twice.

    Booleans are 0 and 1, timestamps µs, as in `domain.py`.
    """
    for value in _LIKELY.get(kind, ()):
        if bisect_right(cuts, value) & 1:
            yield value
    for low, high in intervals(cuts):
        for value in _near(low, high):
            if low <= value and (high is None or value < high):
                yield value
        yield low


_LIKELY: dict[Kind, tuple[Any, ...]] = {
    Kind.TEXT: ("x", "a", "B", "1"),
    Kind.INTEGER: (0, 1, -1, 10),
    Kind.NUMBER: (0.0, 1.0, -1.0, 0.5),
    Kind.TIMESTAMP: (1_767_225_600_000_000,),
}


def _near(low: Any, high: Any) -> tuple[Any, ...]:
    """Return values that may be in an interval and read better than its first one."""
    if isinstance(low, str):
        plain = low.rstrip("\0")
        return (plain, plain + "a")
    if isinstance(low, float):
        return (float(ceil(low)), float(ceil(high) - 1) if high < inf else low)
    return (high - 1,) if low == _INT64_MIN else (low, high - 1)


_INT64_MIN = -(2**63)


def _text(schema: Schema) -> str:
    if schema.date_time:
        return _SOME_TIME
    shortest = schema.min_length or 0
    if schema.pattern is None:
        return "x" * (1 if shortest == 0 and schema.max_length != 0 else shortest)
    texts = (matching_text(schema.pattern, more) for more in (0, 1, shortest))
    return next((text for text in texts if len(text) >= max(shortest, 1)), "")


def matching_text(pattern: str, more: int = 0) -> str:
    """Return a text in which a pattern is found, if its anchors stand at its ends.

    Args:
        pattern: A pattern that `regex.translate` takes.
        more: How often to repeat, beyond what it must be, what may be repeated.
    """
    return _Sampler(translate(pattern), more=more).alternatives()


_ESCAPED = {"n": "\n", "A": "", "z": ""}


@dataclass(slots=True)
class _Sampler:
    """Reads what `translate` writes, from left to right, and takes the first choice each time."""

    pattern: str
    more: int
    at: int = 0

    def alternatives(self) -> str:
        """Read to the end or the closing parenthesis; the first alternative is the answer."""
        found = [self._sequence()]
        while self._take("|"):
            found.append(self._sequence())
        return found[0]

    def _sequence(self) -> str:
        text = ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            atom = self._atom()
            text += atom * self._times()
        return text

    def _take(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) * found
        return found

    def _atom(self) -> str:
        if self._take("(?:") or self._take("("):
            text = self.alternatives()
            self._take(")")
            return text
        return self._class() if self._take("[") else self._character()

    def _class(self) -> str:
        negated, ranges = self._take("^"), []
        while not self._take("]"):
            low = high = self._character()
            if self._take("-"):
                high = self._character()
            ranges.append((low, high))
        likely = ("a", "x", "0", *map(chr, range(ord(" "), 127)), "\n", ranges[0][0])
        return next((c for c in likely if negated != any(a <= c <= b for a, b in ranges)), "")

    def _character(self) -> str:
        char = self.pattern[self.at]
        self.at += 1
        if char != "\\":
            return char
        if self._take("x{"):
            code, _, _ = self.pattern[self.at :].partition("}")
            self.at += len(code) + 1
            return chr(int(code, 16))
        letter = self.pattern[self.at]
        self.at += 1
        return _ESCAPED.get(letter, letter)

    def _times(self) -> int:
        least, unbounded = 1, False
        if self._take("?"):
            least = 0
        elif self._take("*") or self._take("+"):
            least, unbounded = int(self.pattern[self.at - 1] == "+"), True
        elif self._take("{"):
            count, _, _ = self.pattern[self.at :].partition("}")
            low, comma, high = count.partition(",")
            self.at += len(count) + 1
            least, unbounded = (
                int(low),
                bool(comma) and (not high or int(high) >= int(low) + self.more),
            )
        self._take("?")
        return least + self.more * unbounded
