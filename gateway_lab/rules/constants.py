"""The constants that functions insist on: patterns, positions, units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_lab.events.regex import RegexError, translate
from gateway_lab.rules.functions import UNITS
from gateway_lab.rules.patterns import count_groups
from gateway_lab.rules.tree import Literal, Node

MAX_COUNT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a constant."""

    text: str
    hint: str = ""
    code: str = "bad-constant"


def check_constant(  # noqa: PLR0911  # a table of roles
    role: str, value: object, args: Sequence[Node]
) -> Problem | None:
    """Say what is wrong with the constant of a parameter, None if nothing is.

    Args:
        role: What the parameter asks for, see `Parameter`.
        value: The constant.
        args: All arguments of the call.
    """
    match role, value:
        case "regex", str():
            return _check_regex(value, args)
        case "pattern", str():
            return _check_pattern(value, args)
        case (("position" | "count" | "group"), int()):
            return _check_number(value, int(role == "position"))
        case "some", "":
            return Problem("this text cannot be empty", "write what is to be replaced")
        case "escape", str() if len(value) != 1 or value in "%_":
            return Problem("the escape is one character, not `%` or `_`", "write escape '!'")
        case "unit", str() if value not in UNITS:
            return Problem(f"{value!r} is not a unit", f"there is: {', '.join(UNITS)}")
    return None


def _check_number(value: int, lowest: int) -> Problem | None:
    if lowest <= value <= MAX_COUNT:
        return None
    hint = "the first is 1; there are no negative positions" if lowest else "count from 0 upwards"
    return Problem(f"this is a number from {lowest} to {MAX_COUNT}", hint)


def _check_regex(pattern: str, args: Sequence[Node]) -> Problem | None:
    try:
        translate(pattern)
    except RegexError as error:
        return Problem(error.problem, error.hint, "bad-regex")
    match args:
        case (_, _, Literal(value=int(group))) if group > count_groups(pattern):
            return Problem(
                f"the regular expression has {count_groups(pattern)} groups",
                "groups are counted from 1; 0 is all that was found",
            )
    return None


def _check_pattern(pattern: str, args: Sequence[Node]) -> Problem | None:
    """Refuse a pattern whose last character is an escape without anything to escape."""
    match args:
        case (_, _, Literal(value=str(escape))) if len(escape) == 1:
            if pattern.replace(escape * 2, "").endswith(escape):
                return Problem(
                    f"nothing follows the escape {escape!r}",
                    "write it twice for the character itself",
                )
    return None
