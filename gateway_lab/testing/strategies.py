"""Hypothesis strategies: random rules that are well-typed, and random events to try them on.

    @given(rule=conditions(scope), seed=seeds())
    def test_something(rule, seed):
        node = resolve(rule, scope)
        rows = random_rows(references(node), 100, seed)

Constants in rules and values in events come from the same pools, so that rules also match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from gateway_lab.events.event_type import Kind, Schema, ValueType
from gateway_lab.rules.functions import FUNCTIONS, UNITS
from gateway_lab.rules.signatures import Function, Parameter, Signature
from gateway_lab.rules.tree import BOOLEAN
from gateway_lab.rules.types import Scope
from gateway_lab.testing.awkward import INTEGERS, NUMBERS, POOLS, TEXTS

PATTERNS = (
    "a",
    "a%",
    "%a",
    "%a%",
    "_",
    "%_%",
    "a_%",
    "",
    "%",
    "%%",
    "a%b",
    "%A_",
    "é%",
    "_\n%",
    "%,%",
    "\\%",
    "a!%b",
    "!_%",
    "%!!%",
    "a!_b",
    "!%",
)
REGEXES = (
    *(
        "a",
        "^a",
        "a$",
        "^a$",
        "^$",
        "",
        "a|b",
        "(a|b)+",
        "^[a-z]*$",
        r"\d+",
        r"\w",
        r"^\w+$",
        r"\s",
        r"\S\s?\S",
    ),
    *(
        ".",
        "^.$",
        "a.b",
        "[^a]",
        r"[^\d]",
        "(a)?b",
        "a{2}",
        "^(?:id|ID)-([0-9]+)$",
        "x{1,3}",
        "É",
        "😀",
        r"\.",
        "a*?b",
    ),
)


def seeds() -> SearchStrategy[int]:
    """Give seeds for `random_rows`."""
    return st.integers(0, 2**32 - 1)


# --- events ---


def events(schema: Schema) -> SearchStrategy[Any]:
    """Give JSON values that a schema without patterns and bounds allows."""
    value = _of_type(schema)
    return st.none() | value if schema.nullable else value


def _of_type(schema: Schema) -> SearchStrategy[Any]:
    if schema.enum is not None:
        return st.sampled_from(schema.enum)
    if schema.type == "object":
        return _objects(schema)
    if schema.type == "array":
        return st.lists(events(schema.items or Schema(type="string")), max_size=4)
    if schema.date_time:
        return st.sampled_from(("2026-01-31T12:00:00Z", "1970-01-01T00:00:00.5+01:00"))
    pools = {"boolean": (True, False), "integer": INTEGERS, "number": NUMBERS}
    return st.sampled_from(pools.get(schema.type or "", TEXTS))


def _objects(schema: Schema) -> SearchStrategy[Any]:
    fields = {name: events(child) for name, child in (schema.properties or {}).items()}
    required = {name: field for name, field in fields.items() if name in schema.required}
    optional = {name: field for name, field in fields.items() if name not in schema.required}
    return st.fixed_dictionaries(required, optional=optional)


# --- rules ---


def conditions(scope: Scope, *, max_depth: int = 5) -> SearchStrategy[str]:
    """Give rules that are TRUE, FALSE or NULL for a message.

    Constants in them may make a part NULL for all messages, which `resolve` refuses with the
    code always-null or division-by-zero, and a rule may be too long.
    """
    return expressions(scope, BOOLEAN, max_depth=max_depth)


@st.composite
def expressions(draw: DrawFn, scope: Scope, type_: ValueType, *, max_depth: int = 5) -> str:
    """Give rules of one type."""
    leaves = _leaves(scope, type_)
    calls = [each for each in _CALLS.get(type_, ()) if _signatures(scope, each, type_)]
    if max_depth <= 0 or not calls or draw(st.integers(0, max_depth)) == 0:
        return draw(st.sampled_from(leaves) | _literals(type_) if leaves else _literals(type_))
    return draw(calls_of(scope, draw(st.sampled_from(calls)), type_, max_depth=max_depth))


@st.composite
def calls_of(
    draw: DrawFn, scope: Scope, function: Function, type_: ValueType, *, max_depth: int = 5
) -> str:
    """Give calls of one function that give one type."""
    signature = draw(st.sampled_from(_signatures(scope, function, type_)))
    count = len(signature.parameters) + (draw(st.integers(0, 2)) if signature.variadic else 0)
    args = [
        draw(_argument(scope, parameter, max_depth - 1))
        for parameter in signature.expand(count) or ()
    ]
    return write(function, args)


def _argument(scope: Scope, parameter: Parameter, depth: int) -> SearchStrategy[str]:
    if parameter.constant in _CONSTANTS:
        return _CONSTANTS[parameter.constant]
    if parameter.constant == "value":
        return _literals(parameter.type)
    if parameter.type.kind in {Kind.LIST, Kind.OBJECT}:
        return st.sampled_from(_leaves(scope, parameter.type))
    return expressions(scope, parameter.type, max_depth=depth)


def write(function: Function, args: Sequence[str]) -> str:
    """Write a call as a user would, in parentheses where it is an operator."""
    form = _FORMS.get(function.name)
    if form is not None:
        return form(args)
    if function.usage.startswith("x "):
        return f"({f' {function.name} '.join(args)})"
    return f"{function.name}({', '.join(args)})"


def _case(args: Sequence[str]) -> str:
    pairs = zip(args[::2], args[1::2], strict=False)
    branches = " ".join(f"when {condition} then {value}" for condition, value in pairs)
    other = f" else {args[-1]}" if len(args) % 2 else ""
    return f"case {branches}{other} end"


def _like(word: str) -> Callable[[Sequence[str]], str]:
    return lambda args: f"({args[0]} {word} {' escape '.join(args[1:])})"


def _extract(args: Sequence[str]) -> str:
    """Put a group around the pattern where a group is asked for."""
    text, pattern, *group = args
    pattern = f"'({pattern[1:-1]})'" if group else pattern
    return f"regexp_extract({', '.join((text, pattern, *group))})"


_FORMS: dict[str, Callable[[Sequence[str]], str]] = {
    "case": _case,
    "like": _like("like"),
    "ilike": _like("ilike"),
    "in": lambda args: f"({args[0]} in ({', '.join(args[1:])}))",
    "between": lambda args: f"({args[0]} between {args[1]} and {args[2]})",
    "and": lambda args: f"({' and '.join(args)})",
    "or": lambda args: f"({' or '.join(args)})",
    "not": lambda args: f"(not {args[0]})",
    "negate": lambda args: f"(- {args[0]})",
    "is null": lambda args: f"({args[0]} is null)",
    "is true": lambda args: f"({args[0]} is true)",
    "is false": lambda args: f"({args[0]} is not false)",
    "is not distinct from": lambda args: f"({args[0]} is distinct from {args[1]})",
    "regexp_extract": _extract,
    "= any": lambda args: f"({args[0]} = any({args[1]}))",
    "[]": lambda args: f"{args[0]}[{args[1]}]",
    **{
        f"try_cast {target}": lambda args, target=target: f"try_cast({args[0]} as {target})"  # type: ignore[misc]
        for target in ("integer", "number", "boolean", "text")
    },
}


def quote(text: str) -> str:
    """Write a text constant."""
    return "'" + text.replace("'", "''") + "'"


_CONSTANTS: dict[str, SearchStrategy[str]] = {
    "pattern": st.sampled_from(PATTERNS).map(quote),
    "regex": st.sampled_from(REGEXES).map(quote),
    "position": st.integers(1, 5).map(str),
    "count": st.integers(0, 4).map(str),
    "group": st.integers(0, 1).map(str),
    "some": st.sampled_from([text for text in TEXTS if text]).map(quote),
    "escape": st.just("'!'"),
    "unit": st.sampled_from(UNITS).map(quote),
}


def _literals(type_: ValueType) -> SearchStrategy[str]:
    return st.sampled_from(POOLS[type_.kind]).map(lambda value: literal(value, type_.kind))


def literal(value: Any, kind: Kind) -> str:
    """Write a constant of a kind."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return str(value).lower()
    if kind is Kind.TIMESTAMP:
        return f"timestamp '{_write_time(value)}'"
    text = repr(value)
    return f"({text})" if text.startswith("-") else text


def _write_time(time: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return moment.isoformat().replace("+00:00", "Z")


def _leaves(scope: Scope, type_: ValueType) -> list[str]:
    return [
        ".".join(path)
        for event in scope.events.values()
        for path, schema in event.paths()
        if Parameter(type_).takes(schema.value_type)
    ]


def _signatures(scope: Scope, function: Function, type_: ValueType) -> list[Signature]:
    """List the signatures that give a type, and for whose lists and objects there are fields."""
    if function.name == "case":
        pair = (Parameter(BOOLEAN), Parameter(type_))
        return [Signature(pair * n + pair[1:] * m, type_) for n in (1, 2) for m in (0, 1)]
    return [
        signature
        for signature in function.signatures
        if signature.returns == type_
        and all(
            each.type.kind not in {Kind.LIST, Kind.OBJECT} or _leaves(scope, each.type)
            for each in signature.parameters
        )
    ]


def _calls() -> Iterator[tuple[ValueType, Function]]:
    for function in FUNCTIONS.values():
        if function.name == "case":
            for kind in POOLS:
                if kind is not Kind.OBJECT:
                    yield ValueType(kind), function
        elif not function.is_aggregate:
            for returns in dict.fromkeys(each.returns for each in function.signatures):
                yield returns, function


_CALLS: dict[ValueType, list[Function]] = {}
for _type, _function in _calls():
    _CALLS.setdefault(_type, []).append(_function)
