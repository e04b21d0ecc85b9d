"""The values that rules and templates read from one message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway_lab.events.decode import compile_decoder
from gateway_lab.events.event_type import EventType
from gateway_lab.messages.message import Message
from gateway_lab.rules.fill import Values
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.tree import Field, Reference

Read: TypeAlias = Callable[[Message], Values]
"""Gives the values of the inputs; raises InvalidBody where the body is judged too."""


def arrange(references: Sequence[Reference], event_type: EventType | None) -> tuple[Reference, ...]:
    """Order distinct inputs as `compile_read` gives them: first those that the decoder finds."""
    return tuple(
        sorted(dict.fromkeys(references), key=lambda each: not _is_decoded(each, event_type))
    )


def compile_read(inputs: Sequence[Reference], event_type: EventType | None, source: str) -> Read:
    """Compile the reading of one message: decode and judge the body, look the rest up.

    Args:
        inputs: As `arrange` orders them; a field that the event type lacks is NULL.
        event_type: None: the body is not looked at.
        source: The name that `message.source` gives.
    """
    decoded = [each for each in inputs if _is_decoded(each, event_type)]
    look_up = compile_look_up(inputs[len(decoded) :], source)
    if event_type is None:
        return look_up
    decode = compile_decoder(
        event_type, [each.path for each in decoded if isinstance(each, Field)]
    ).decode
    if len(decoded) == len(inputs):
        return lambda message: decode(message.body)
    return lambda message: decode(message.body) + look_up(message)


def _is_decoded(reference: Reference, event_type: EventType | None) -> bool:
    return (
        isinstance(reference, Field)
        and event_type is not None
        and event_type.find(reference.path) is not None
    )
