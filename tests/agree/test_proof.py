"""What is proven of random routers, against a look at every event of a small world."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_lab.events.decode import compile_decoder
from gateway_lab.events.event_type import EventType, Kind, ValueType
from gateway_lab.events.schema import read_event_type
from gateway_lab.proof.analyse import analyse
from gateway_lab.proof.claims import (
    CannotOccur,
    Claim,
    Exhaustive,
    NotExhaustive,
    RuleRoute,
    Shadowed,
    UndecidedPossible,
    Unknown,
    Unreachable,
)
from gateway_lab.proof.witness import Witness
from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.signatures import LIST, Function
from gateway_lab.rules.to_python import compile_router, compile_value
from gateway_lab.rules.tree import Call, Field, Literal, Node, Span, references
from gateway_lab.rules.types import Scope, resolve

WORLD = read_event_type(
    "World",
    {
        "type": "object",
        "required": ["e"],
        "additionalProperties": False,
        "properties": {
            "e": {"enum": ["a", "b", "c"]},
            "n": {"type": "integer", "minimum": 0, "maximum": 3},
            "f": {"type": ["boolean", "null"]},
            "t": {"type": "string"},
            "x": {"type": "number"},
            "o": {
                "type": "object",
                "properties": {"y": {"type": "integer", "enum": [1, 2]}},
            },
        },
    },
)
ABSENT = object()
CHOICES: dict[str, tuple[Any, ...]] = {
    "e": ("a", "b", "c"),
    "n": (ABSENT, 0, 1, 2, 3),
    "f": (ABSENT, None, True, False),
    "t": (ABSENT, "", "a", "ab", "b\0"),
    "x": (ABSENT, -0.0, 0.5, 2.0, 1e300),
    "o": (ABSENT, {}, {"y": 1}, {"y": 2}),
}

FINITE = [
    "e = 'a'",
    "e <> 'b'",
    "e in ('b', 'c')",
    "e = 'd'",
    "e > 'a'",
    "'b' >= e",
    "n = 0",
    "n > 1",
    "n <= 2",
    "n <> 3",
    "n between 1 and 2",
    "n in (0, 3)",
    "n = 9",
    "n < 1.5",
    "n is null",
    "f",
    "f = false",
    "f is null",
    "f is true",
    "n is not distinct from 1",
    "coalesce(n, 1) = 1",
    "coalesce(e, 'd') < 'c'",
]
OTHERS = [
    "t = 'a'",
    "t like 'a%'",
    "starts_with(t, 'ab')",
    "t < 'ab'",
    "t = ''",
    "t is null",
    "lower(t) = 'a'",
    "length(t) > 1",
    "x > 0",
    "x = 0",
    "x >= 0.5",
    "x <= 1",
    "x < n",
    "n > x",
    "x * 2 > 1",
    "x * 1e10 is null",
    "o is null",
    "o.y = 1",
    "o.y is null",
    "o.y + n > 2",
    "n % 2 = 0",
    "case when f then n = 1 end",
    "e || 'x' = 'ax'",
]


def conditions(atoms: Sequence[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(atoms),
        lambda inner: st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(lambda each: f"({' and '.join(each)})"),
            st.lists(inner, min_size=2, max_size=3).map(lambda each: f"({' or '.join(each)})"),
            inner.map(lambda each: f"(not {each})"),
            inner.map(lambda each: f"(({each}) is true)"),
        ),
        max_leaves=5,
    )


def routes_of(rules: Sequence[str]) -> list[RuleRoute]:
    scope = Scope({"World": WORLD})
    return [
        RuleRoute(name=f"r{at}", condition=resolve(rule, scope, expect=Kind.BOOLEAN))
        for at, rule in enumerate(rules)
    ]


def events_of(fields: set[str]) -> list[dict[str, Any]]:
    names = [name for name in CHOICES if name in fields | {"e"}]
    combinations = product(*(CHOICES[name] for name in names))
    return [
        {name: value for name, value in zip(names, values, strict=True) if value is not ABSENT}
        for values in combinations
    ]


class Answers:
    """What each route says of each event: from the decoder and the Python engine."""

    def __init__(self, routes: Sequence[RuleRoute], event_type: EventType = WORLD) -> None:
        conditions: list[Node | None] = [route.condition for route in routes]
        inputs = references(*conditions)
        self.fields = {each.path[0] for each in inputs if isinstance(each, Field)}
        self._decoder = compile_decoder(
            event_type, [each.path for each in inputs if isinstance(each, Field)]
        )
        self._ask = compile_router(conditions, inputs, match="all", name="world")

    def of(self, event: Any) -> tuple[set[int], set[int]]:
        true, null = self._ask(*self._decoder.decode(json.dumps(event).encode()))
        return set(true), set(null)

    def of_witness(self, witness: Witness | None) -> tuple[set[int], set[int]]:
        assert witness is not None
        return self.of(witness.event)


def holds(
    claim: Claim, match: str, answers: Answers, world: list[tuple[set[int], set[int]]]
) -> bool:
    """Say whether a claim is true in the small world, and its witness shows it."""
    at = int(str(getattr(claim, "route", None) or "r0")[1:])
    match claim:
        case Unreachable():
            return all(at not in true for true, _ in world)
        case Shadowed(by=by, witness=witness):
            takers = {int(name[1:]) for name in by}
            shown = witness is None or min(answers.of_witness(witness)[0]) < at
            return shown and all(takers & true for true, _ in world if at in true)
        case UndecidedPossible(witness=witness):
            true, null = answers.of_witness(witness)
            return at in null and (match == "all" or min(true, default=at) >= at)
        case NotExhaustive(witness=witness):
            return not answers.of_witness(witness)[0]
        case Exhaustive():
            return all(true for true, _ in world)
        case Unknown() | CannotOccur():
            return True


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    rules=st.lists(conditions(FINITE + OTHERS), min_size=1, max_size=5),
    match=st.sampled_from(["first", "all"]),
)
def test_every_claim_is_true_of_every_event_and_every_witness_shows_it(
    rules: list[str], match: Any
) -> None:
    routes = routes_of(rules)
    answers = Answers(routes)
    world = [answers.of(event) for event in events_of(answers.fields)]
    for claim in analyse(routes, match, [WORLD]):
        assert holds(claim, match, answers, world), (claim, rules)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(rules=st.lists(conditions(FINITE), min_size=1, max_size=6))
def test_over_fields_of_few_values_nothing_is_missed(rules: list[str]) -> None:
    routes = routes_of(rules)
    answers = Answers(routes)
    world = [answers.of(event) for event in events_of(answers.fields)]
    claims = analyse(routes, "first", [WORLD])
    dead = {claim.route for claim in claims if isinstance(claim, Unreachable)}
    shadowed = {claim.route for claim in claims if isinstance(claim, Shadowed)}
    for at, route in enumerate(routes):
        matching = [true for true, _ in world if at in true]
        assert (route.name in dead) == (not matching), rules
        overtaken = bool(matching) and all(min(true) < at for true in matching)
        assert (route.name in shadowed) == overtaken, rules
    assert all(claim.witness for claim in claims if isinstance(claim, Shadowed))
    expected = Exhaustive if all(true for true, _ in world) else NotExhaustive
    assert isinstance(claims[-1], expected), rules


SAMPLES: dict[str, tuple[Any, ...]] = {
    "text": ("", "a", "1", "É"),
    "boolean": (True, False),
    "integer": (0, -1, 2**63 - 1, -(2**63)),
    "number": (0.0, -2.5, 1.7e308, 5e-324),
    "timestamp": (0, -1, 1_767_600_000_000_000),
    "list of text": ([], [None], ["a"]),
    "list of boolean": ([], [None], [True]),
    "list of integer": ([], [None, 1], [2**63 - 1, 1]),
    "list of timestamp": ([], [None], [0, -1]),
    "list of number": ([], [None, 1.5], [1.7e308, 1.7e308]),
    "object": (b"{}",),
}
CONSTANTS: dict[str, Any] = {
    "pattern": "a%",
    "regex": "(a)",
    "position": 1,
    "count": 1,
    "group": 1,
    "escape": "!",
    "unit": "day",
}


def calls_of(function: Function) -> Iterator[tuple[Call, list[list[Any]]]]:
    """Yield calls of a function on fields, with values to try for each of the fields."""
    for signature in function.signatures:
        types = [
            ValueType(Kind.LIST, Kind.TEXT) if each.type == LIST else each.type
            for each in signature.parameters
        ]
        args: list[Node] = [
            Literal(CONSTANTS.get(each.constant, SAMPLES[str(type_)][1]), type_, Span(0, 0))
            if each.constant
            else Field((f"x{at}",), type_, Span(0, 0))
            for at, (each, type_) in enumerate(zip(signature.parameters, types, strict=True))
        ]
        call = Call(function.name, tuple(args), signature.returns, Span(0, 0))
        yield call, [list(SAMPLES[str(field.type)]) for field in references(call)]


@pytest.mark.parametrize(
    "function", [each for each in FUNCTIONS.values() if not each.is_aggregate], ids=lambda f: f.name
)
def test_functions_are_null_when_their_table_says_so(function: Function) -> None:
    """Proof takes the table's word for it."""
    for call, samples in calls_of(function):
        ask = compile_value(call, references(call), name="function")
        answers = [ask(*values) for values in product(*samples)]
        assert function.partial or None not in answers
        if function.strict:
            holed = product(*([None, *values] for values in samples))
            assert all(ask(*values) is None for values in holed if None in values)
