"""Which letters: a rule over what a letter says, in the language of routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from gateway_lab.events.event_type import EventType, Kind, Schema
from gateway_lab.gateway.letter import Letter, Reopened
from gateway_lab.rules.fill import EPOCH, compile_node
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.tree import Field, Value, references
from gateway_lab.rules.types import Scope, resolve

Where: TypeAlias = Callable[[Reopened], bool]

_TEXT: Final = Schema(type="string", nullable=True)
_INTEGER: Final = Schema(type="integer")
_TIME: Final = Schema(type="string", date_time=True)

LETTER: Final = EventType(
    name="Letter",
    schema=Schema(
        type="object",
        properties={
            **dict.fromkeys(("class", "reason", "source", "router", "route", "target"), _TEXT),
            **dict.fromkeys(("attempts", "replays"), _INTEGER),
            **dict.fromkeys(("first", "last"), _TIME),
        },
    ),
)
"""What a rule over letters may name; besides, there is `message.*` of the message before."""


def compile_where(text: str) -> Where:
    """Compile a rule to a function of letters; where the rule is NULL, the letter stays.

    Raises:
        RuleError: It cannot be read, or names what a letter does not have.
    """
    node = resolve(text, Scope(events={LETTER.name: LETTER}), expect=Kind.BOOLEAN)
    inputs = references(node)
    holds = compile_node(node, inputs, name="--where")
    look_up = compile_look_up(inputs, "")
    names = [each.path[0] if isinstance(each, Field) else None for each in inputs]

    def where(message: Reopened) -> bool:
        told = zip(names, look_up(message), strict=True)
        values = [value if name is None else _value(message.letter, name) for name, value in told]
        return holds(tuple(values)) is True

    return where


def _value(letter: Letter, name: str) -> Value:
    if name in {"first", "last"}:
        time = letter.first if name == "first" else letter.last
        return int((time - EPOCH).total_seconds() * 1_000_000)
    value: Value = getattr(letter, "of_class" if name == "class" else name)
    return value
