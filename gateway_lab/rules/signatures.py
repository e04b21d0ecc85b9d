"""What an operator or function of the rule language is: its row in the table of `functions.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway_lab.events.event_type import Kind, ValueType

LIST = ValueType(Kind.LIST)
"""As a parameter: a list of anything."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a signature.

    Attributes:
        constant: What constant it must be: "value", "pattern" (of `like`), "regex", "position"
            (an integer from 1), "count" and "group" (integers from 0), "some" (text, not
            empty), "escape" (one character) or "unit"; empty for any expression.
    """

    type: ValueType
    constant: str = ""

    def takes(self, type_: ValueType) -> bool:
        """Say whether a value of this type fits without a conversion."""
        return self.type == type_ or (self.type == LIST and type_.kind is Kind.LIST)


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and what comes out; the last parameter of a variadic one may be repeated."""

    parameters: tuple[Parameter, ...]
    returns: ValueType
    variadic: bool = False

    def expand(self, count: int) -> tuple[Parameter, ...] | None:
        """Return one parameter for each of `count` arguments, None where they do not fit."""
        short = count - len(self.parameters)
        if short < 0 or (short and not self.variadic):
            return None
        return self.parameters + self.parameters[-1:] * short


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One operator or function.

    Attributes:
        name: As in the tree.
        usage: How it is written.
        group: The heading under which the page shows it.
        meaning: What it gives; NULL if any argument is NULL, unless this says otherwise.
        partial: Whether it may be NULL although no argument is.
        strict: Whether a NULL argument always makes it NULL.
        deviation: Where DuckDB answers differently, empty if nowhere.
    """

    name: str
    usage: str
    group: str
    signatures: tuple[Signature, ...]
    meaning: str
    partial: bool = False
    strict: bool = True
    deviation: str = ""

    @property
    def is_callable(self) -> bool:
        """Say whether it is written `name(…)`."""
        return self.usage.startswith((f"{self.name}(", "count(*)"))

    @property
    def is_aggregate(self) -> bool:
        """Say whether it is about many messages, not one."""
        return self.group == "Aggregates"


SCALARS = ("text", "boolean", "integer", "number", "timestamp")
ORDERED = ("text", "integer", "number", "timestamp")
NUMERIC = ("integer", "number")


def read_signatures(*written: str, over: Iterable[str] = ("",)) -> tuple[Signature, ...]:
    """Read signatures such as `T, T value... -> boolean`, once for each type that T may be."""
    return tuple(_signature(each.replace("T", kind)) for each in written for kind in over)


def _signature(written: str) -> Signature:
    takes, _, gives = written.partition("->")
    variadic = "..." in takes
    words = [part.split() for part in takes.replace("...", "").split(",") if part.strip()]
    parameters = tuple(Parameter(_type(word[0]), *word[1:]) for word in words)
    return Signature(parameters, _type(gives.strip()), variadic)


def _type(word: str) -> ValueType:
    if word == "[any]":
        return LIST
    if word.startswith("["):
        return ValueType(Kind.LIST, Kind(word[1:-1]))
    return ValueType(Kind(word))
