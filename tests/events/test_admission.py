"""Admission of many bodies at once: what a body says alone, it says among others."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from gateway_lab.events.admission import admit
from gateway_lab.events.decode import Decoder, InvalidBody, compile_decoder
from gateway_lab.events.extract import Value
from gateway_lab.events.schema import read_event_type
from gateway_lab.events.validity import DEFAULT_LIMITS, Limits, find_admission_problem

DEEP = b'{"a":' * 129 + b"1" + b"}" * 129
LONG = b'{"a":"' + b"x" * 700 + b'","b":[1]}'
BODIES = [
    b'{"a":1}',
    '{"a":"é"}'.encode(),
    b'{"a":"\xc3',
    b'\xa9"}',
    b"\xff",
    b"",
    None,
    DEEP,
    b"[" * 129 + b"]" * 129,
    b'{"a":' * 128 + b"1" + b"}" * 128,
    b'{"a":"' + b"[" * 300 + b'"}',
    LONG,
    LONG[:-1] + b',"c":"\xe2\x82"}',
    b'{"a":"' + b"x" * 2_000_000 + b'"}',
]


def alone(body: bytes | None, limits: Limits) -> bytes:
    return b"" if body is None or find_admission_problem(body, limits) else body


def compare_with_each_alone(decoder: Decoder, bodies: Sequence[bytes | None]) -> None:
    columns, invalid = decoder.decode_many(bodies)
    values = zip(*columns, strict=True)
    for at, (body, row) in enumerate(zip(bodies, values, strict=True)):
        assert verdict(decoder, body) == (row, invalid.get(at))


def verdict(decoder: Decoder, body: bytes | None) -> tuple[tuple[Value, ...], str | None]:
    try:
        return decoder.decode(body), None
    except InvalidBody as error:
        return (None,), error.reason


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, Limits(max_bytes=8), Limits(max_levels=1)])
@pytest.mark.parametrize("first", BODIES)
def test_a_neighbour_changes_nothing(first: bytes | None, limits: Limits) -> None:
    for second in BODIES:
        step = [first, second]
        assert list(admit(step, limits)) == [alone(body, limits) for body in step]


def test_halves_of_a_character_in_two_bodies_make_no_character() -> None:
    assert list(admit([b'{"a":"\xc3', b'\xa9"}'], DEFAULT_LIMITS)) == [b"", b""]


def test_no_body_at_all_is_fine() -> None:
    assert list(admit([], DEFAULT_LIMITS)) == []


def test_bodies_that_are_only_valid_together_are_refused_one_by_one() -> None:
    decoder = compile_decoder(
        read_event_type("E", {"type": "object", "properties": {"a": {}, "s": {"type": "string"}}}),
        [("s",)],
    )
    halves = [
        (b'{"s":"x"', b'"y":1}'),
        (b'{"a":1', b"}"),
        (b'{"s":"x', b'y"}'),
        (b'{"s":"}', b'{"}'),
        (b'{"a":[{}', b"{}]}"),
        (b'{"a":1},{"a":2}', b""),
        (b"", b'{"a":1},{"a":2}'),
        (b'{"a":1}]', b'[{"a":1}'),
        (b'{"a":1},', b'{"a":1}'),
        (b'{"a":"\\', b'"}'),
        (b'{"s":"\\ud83d', b'\\ude00"}'),
    ]
    bodies = list(itertools.chain.from_iterable(halves)) * 700
    compare_with_each_alone(decoder, bodies)


def test_steps_of_all_kinds_of_bodies_are_judged_as_each_alone() -> None:
    rng = random.Random(7)  # noqa: S311 - not a secret
    decoder = compile_decoder(
        read_event_type("E", {"type": "object", "properties": {"a": {}}}), [("a",)]
    )
    bodies = [rng.choice(BODIES[:-1] + BODIES[:1] * 60) for _ in range(3_000)]
    compare_with_each_alone(decoder, bodies)
