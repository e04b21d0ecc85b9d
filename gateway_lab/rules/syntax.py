"""The untyped tree of a rule, as it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway_lab.rules.tree import Literal, Span


@dataclass(frozen=True, slots=True)
class Name:
    """A name as written, its segments without quotes."""

    parts: tuple[str, ...]
    span: Span
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator or function on its arguments.

    Attributes:
        function: The name in the table; for a call the word in lower case, known or not.
        span: The whole of it.
        written: The place of its own word.
        depth: How many of its kind are inside each other, itself too.
        is_call: Whether it is written `name(…)`.
    """

    function: str
    args: tuple[Syntax, ...]
    span: Span
    written: Span
    depth: int
    is_call: bool = False


Syntax: TypeAlias = Name | Literal | Apply
