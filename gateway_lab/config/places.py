"""Where each part of a document stands in its text: file, line and column, also inside a rule."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

DocumentPath: TypeAlias = tuple[str | int, ...]
"""The way through a document: ("routers", "by_priority", "routes", 0, "when")."""

_LINE_END = re.compile(r"\r\n?|\n")
_ESCAPE_LENGTHS = {"x": 4, "u": 6, "U": 10}


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a value: 0-based offsets into the text, and how it is written.

    Attributes:
        style: `plain`, `'`, `"`, `|` or `>` for a scalar, `flow` or `block` for a collection.
    """

    start: int
    end: int
    style: str


@dataclass(frozen=True)
class Origin:
    """The text that a config was read from.

    Attributes:
        file: As the user named it; None for a text without a file.
        text: The whole text.
        values: The place of every value.
        keys: The place of every key of a mapping, by the path of its value.
    """

    file: str | None
    text: str = field(repr=False)
    values: Mapping[DocumentPath, Place] = field(repr=False)
    keys: Mapping[DocumentPath, Place] = field(repr=False)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_END.finditer(self.text))]

    def line_column(self, index: int) -> tuple[int, int]:
        """Turn an offset into the text into a line and a column, both from 1."""
        line = bisect_right(self._line_starts, index)
        return line, index - self._line_starts[line - 1] + 1

    def of_key(self, path: DocumentPath) -> tuple[int, int]:
        """Give line and column of a key, or of what holds it."""
        place = self.keys.get(path)
        return self.line_column(place.start) if place else self.of_value(path)

    def of_value(self, path: DocumentPath, offset: int | None = None) -> tuple[int, int]:
        """Give line and column of a value, or of the nearest thing around it that has a place.

        Args:
            path: The value.
            offset: An offset into the value's text, such as a place inside a rule; it is used
                where the text is plain, or quoted on one line, or a `|` block.
        """
        place = self.values.get(path)
        if place is None:
            return self.of_value(path[:-1]) if path else (1, 1)
        if offset is None:
            return self.line_column(place.start)
        return self.line_column(self._inside(place, offset))

    def _inside(self, place: Place, offset: int) -> int:
        written = self.text[place.start : place.end]
        if place.style == "|":
            return place.start + _in_block(written, offset)
        if place.style == ">" or "\n" in written:
            return place.start
        if place.style == "plain":
            return place.start + min(offset, len(written))
        return place.start + _in_quotes(written, place.style, offset)


def _in_quotes(written: str, quote: str, offset: int) -> int:
    """Count the characters of source text before the character at `offset` of its value."""
    index = 1
    for _ in range(offset):
        if index >= len(written) - 1:
            break
        if quote == "'":
            index += 2 if written.startswith("''", index) else 1
        elif written[index] == "\\":
            index += _ESCAPE_LENGTHS.get(written[index + 1], 2)
        else:
            index += 1
    return index


def _in_block(written: str, offset: int) -> int:
    """Find the same in a `|` block, whose lines are indented like the first that has text.

    A header that says the indentation itself (`|2`) counts from what is around; 0 then.
    """
    header, _, body = written.partition("\n")
    if any(char.isdigit() for char in header):
        return 0
    lines = body.split("\n")
    first = next((line for line in lines if line.strip()), "")
    indent = len(first) - len(first.lstrip(" "))
    index = len(header) + 1
    for line in lines:
        length = max(len(line) - indent, 0)
        if offset <= length:
            return index + min(indent, len(line)) + offset
        offset -= length + 1
        index += len(line) + 1
    return 0
