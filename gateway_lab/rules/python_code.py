"""From trees to Python expressions, with SQL's NULL as None.

An expression that may be None says so (`Code.nullable`), so that nothing is tested twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway_lab.events.event_type import Kind
from gateway_lab.rules import patterns
from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.runtime import FLOAT_MAX, INT_MAX, INT_MIN
from gateway_lab.rules.tree import Call, Literal, Node


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression, and whether it may be None. A name is no expression to repeat."""

    text: str
    nullable: bool

    @property
    def is_name(self) -> bool:
        """Say whether it may be written twice at no cost."""
        return self.text.isidentifier()


class Writer:
    """Writes the expressions of one function, and collects its constants."""

    def __init__(self, inputs: Sequence[Node]) -> None:
        self.inputs = {node: f"f{index}" for index, node in enumerate(inputs)}
        self.constants: dict[str, Any] = {}
        self.literals: dict[object, str] = {}
        self.temporaries = 0

    def code(self, node: Node) -> Code:
        """Write an expression."""
        if isinstance(node, Literal):
            return self.literal(node)
        if not isinstance(node, Call) or (FUNCTIONS[node.function].is_aggregate):
            return Code(self.inputs[node], nullable=True)
        args = [self.code(arg) for arg in node.args]
        if own := _OWN_NULLS.get(node.function):
            return own(self, args)
        return self.strict(node, args)

    def literal(self, node: Literal) -> Code:
        """Write a constant."""
        if node.value is None or isinstance(node.value, bool):
            return Code(repr(node.value), node.value is None)
        key = (node.type, repr(node.value))
        if key not in self.literals:
            self.literals[key] = self.constant(node.value)
        return Code(self.literals[key], nullable=False)

    def constant(self, value: object) -> str:
        """Give a constant a name."""
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def temporary(self) -> str:
        """Give a new name for a value that is needed twice."""
        self.temporaries += 1
        return f"t{self.temporaries}"

    def held(self, code: Code) -> tuple[str, str]:
        """Return how to write a value the first time, and every later time."""
        if code.is_name:
            return code.text, code.text
        name = self.temporary()
        return f"({name} := {code.text})", name

    def strict(self, node: Call, args: Sequence[Code]) -> Code:
        """Write a function that is NULL if any argument is."""
        tests, names = [], []
        for arg in args:
            first, later = self.held(arg) if arg.nullable else (arg.text, arg.text)
            if arg.nullable:
                tests.append(f"{first} is None")
            names.append(later)
        text = self.body(node, names)
        if tests:
            text = f"None if {' or '.join(tests)} else {text}"
        return Code(f"({text})", bool(tests) or FUNCTIONS[node.function].partial)

    def body(self, node: Call, names: Sequence[str]) -> str:
        """Write a function on values that are not None."""
        body = _STRICT[node.function]
        return body.format(*names) if isinstance(body, str) else body(self, node, names)


# --- functions that are NULL if an argument is: code over values that are not None ---

_Body: TypeAlias = Callable[[Writer, Call, Sequence[str]], str]


def _checked(template: str) -> _Body:
    """Write arithmetic that is None out of range; a comparison with nan is false."""

    def body(writer: Writer, node: Call, names: Sequence[str]) -> str:
        integer = node.type.kind is Kind.INTEGER
        low, high = (INT_MIN, INT_MAX) if integer else (-FLOAT_MAX, FLOAT_MAX)
        name = writer.temporary()
        return f"{name} if {low!r} <= ({name} := {template.format(*names)}) <= {high!r} else None"

    return body


def _by_kind(**templates: str) -> _Body:
    """Choose by the kind of the first argument, or of the elements if that is a list."""

    def body(_: Writer, node: Call, names: Sequence[str]) -> str:
        type_ = node.args[0].type
        return templates[type_.item or type_.kind].format(*names)

    return body


def _in(writer: Writer, node: Call, names: Sequence[str]) -> str:
    values = frozenset(arg.value for arg in node.args[1:] if isinstance(arg, Literal))
    return f"{names[0]} in {writer.constant(values)}"


def _like(writer: Writer, node: Call, names: Sequence[str]) -> str:
    return _like_code(writer, names[0], _parts(node))


def _ilike(writer: Writer, node: Call, names: Sequence[str]) -> str:
    return _like_code(writer, f"lower({names[0]})", patterns.lower_parts(_parts(node)))


def _parts(node: Call) -> patterns.LikeParts:
    return patterns.like_parts(*_constants(node))


def _like_code(writer: Writer, value: str, parts: patterns.LikeParts) -> str:
    any_ = patterns.Wild.ANY
    match parts:
        case (str(text),):
            return f"{value} == {writer.constant(text)}"
        case (str(text), end) if end is any_:
            return f"starts_with({value}, {writer.constant(text)})"
        case (begin, str(text)) if begin is any_:
            return f"ends_with({value}, {writer.constant(text)})"
        case (begin, str(text), end) if begin is end is any_:
            return f"contains({value}, {writer.constant(text)})"
    return f"{writer.constant(patterns.search(patterns.like_regex(parts)))}({value})"


def _regexp_matches(writer: Writer, node: Call, names: Sequence[str]) -> str:
    return f"{writer.constant(patterns.regex_test(*_constants(node)))}({names[0]})"


def _regexp_extract(writer: Writer, node: Call, names: Sequence[str]) -> str:
    return f"{writer.constant(patterns.regex_extract(*_constants(node)))}({names[0]})"


def _constants(node: Call) -> list[Any]:
    """Give the constants behind the first argument."""
    return [arg.value for arg in node.args[1:] if isinstance(arg, Literal)]


def _variadic(before: str, between: str, after: str) -> _Body:
    return lambda _, __, names: f"{before}{between.join(names)}{after}"


def _strip(function: str) -> _Body:
    return lambda writer, _, names: (
        f"{function}({names[0]}, {names[1] if len(names) > 1 else writer.constant(' ')})"
    )


_STRICT: dict[str, str | _Body] = {
    "=": "{0} == {1}",
    "<>": "{0} != {1}",
    "<": "{0} < {1}",
    "<=": "{0} <= {1}",
    ">": "{0} > {1}",
    ">=": "{0} >= {1}",
    "in": _in,
    "not": "not {0}",
    "+": _checked("{0} + {1}"),
    "-": _checked("{0} - {1}"),
    "*": _checked("{0} * {1}"),
    "/": "divide({0}, {1})",
    "//": "divide_integers({0}, {1})",
    "%": "remainder({0}, {1})",
    "negate": _checked("-{0}"),
    "abs": _checked("absolute({0})"),
    "round": "round_away({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "sign": "sign({0})",
    "||": _variadic("", " + ", ""),
    "like": _like,
    "ilike": _ilike,
    "lower": "lower({0})",
    "upper": "upper({0})",
    "trim": _strip("strip"),
    "ltrim": _strip("strip_left"),
    "rtrim": _strip("strip_right"),
    "length": "length({0})",
    "substring": _variadic("substring(", ", ", ")"),
    "left": "left({0}, {1})",
    "right": "right({0}, {1})",
    "replace": "replace({0}, {1}, {2})",
    "starts_with": "starts_with({0}, {1})",
    "ends_with": "ends_with({0}, {1})",
    "contains": "contains({0}, {1})",
    "strpos": "strpos({0}, {1})",
    "split_part": "split_part({0}, {1}, {2})",
    "regexp_matches": _regexp_matches,
    "regexp_extract": _regexp_extract,
    "try_cast integer": _by_kind(text="text_to_integer({0})", number="number_to_integer({0})"),
    "try_cast number": _by_kind(text="text_to_number({0})", integer="as_number({0})"),
    "try_cast boolean": "text_to_boolean({0})",
    "try_cast text": _by_kind(integer="as_text({0})", boolean="boolean_to_text({0})"),
    "epoch_ms": "epoch_ms({0})",
    "date_trunc": "date_trunc({0}, {1})",
    "year": "year({0})",
    "month": "month({0})",
    "day": "day({0})",
    "hour": "hour({0})",
    "minute": "minute({0})",
    "second": "second({0})",
    "dayofweek": "dayofweek({0})",
    "isodow": "isodow({0})",
    "= any": "is_any({0}, {1})",
    "list_contains": "contains_item({0}, {1})",
    "[]": "item({0}, {1})",
    "list_min": "least_item({0})",
    "list_max": "greatest_item({0})",
    "list_sum": _by_kind(integer="sum_integers({0})", number="sum_numbers({0})"),
    "list_avg": "average({0})",
}


# --- functions with their own answer to NULL ---

_Own: TypeAlias = Callable[[Writer, Sequence[Code]], Code]


def _and(writer: Writer, args: Sequence[Code]) -> Code:
    return _three_valued(writer, args, found="False", other="True", test="{} is False")


def _or(writer: Writer, args: Sequence[Code]) -> Code:
    return _three_valued(writer, args, found="True", other="False", test="{}")


def _three_valued(
    writer: Writer, args: Sequence[Code], *, found: str, other: str, test: str
) -> Code:
    """Write `and` and `or`: what was found decides, else NULL if there is one."""
    if not any(arg.nullable for arg in args):
        operator = " and " if found == "False" else " or "
        return Code(f"({operator.join(arg.text for arg in args)})", nullable=False)
    tests, nulls = [], []
    for arg in args:
        first, later = writer.held(arg) if arg.nullable else (arg.text, "")
        tests.append(test.format(first))
        if arg.nullable:
            nulls.append(f"{later} is None")
    decided, unknown = " or ".join(tests), " or ".join(nulls)
    return Code(f"({found} if {decided} else None if {unknown} else {other})", nullable=True)


def _between(writer: Writer, args: Sequence[Code]) -> Code:
    value, low, high = args
    if low.nullable or high.nullable:
        return Code(f"between({value.text}, {low.text}, {high.text})", nullable=True)
    first, later = writer.held(value) if value.nullable else (value.text, value.text)
    test = f"{low.text} <= {later} <= {high.text}"
    return Code(
        f"(None if {first} is None else {test})" if value.nullable else f"({test})", value.nullable
    )


def _case(_: Writer, args: Sequence[Code]) -> Code:
    pairs = list(zip(args[::2], args[1::2], strict=False))
    other = args[-1] if len(args) % 2 else Code("None", nullable=True)
    branches = "".join(f"{value.text} if {condition.text} else " for condition, value in pairs)
    nullable = other.nullable or any(value.nullable for _, value in pairs)
    return Code(f"({branches}{other.text})", nullable)


def _coalesce(writer: Writer, args: Sequence[Code]) -> Code:
    text = ""
    for arg in args[:-1]:
        first, later = writer.held(arg)
        text += f"{later} if {first} is not None else "
    return Code(f"({text}{args[-1].text})", all(arg.nullable for arg in args))


def _nullif(writer: Writer, args: Sequence[Code]) -> Code:
    first, later = writer.held(args[0])
    return Code(f"(None if {first} == {args[1].text} else {later})", nullable=True)


def _call(function: str) -> _Own:
    return lambda _, args: Code(
        f"{function}({', '.join(arg.text for arg in args)})", all(arg.nullable for arg in args)
    )


def _test(template: str) -> _Own:
    return lambda _, args: Code(template.format(*(arg.text for arg in args)), nullable=False)


_OWN_NULLS: dict[str, _Own] = {
    "and": _and,
    "or": _or,
    "between": _between,
    "is null": _test("({0} is None)"),
    "is not distinct from": _test("({0} == {1})"),
    "is true": _test("({0} is True)"),
    "is false": _test("({0} is False)"),
    "case": _case,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "greatest": _call("greatest"),
    "least": _call("least"),
}

NAMES = frozenset(_STRICT) | frozenset(_OWN_NULLS)
"""The functions that this engine knows; aggregates are in `aggregate.py`."""
