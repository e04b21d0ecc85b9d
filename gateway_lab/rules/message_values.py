"""The values that rules read from a message itself: key, times, source, channel, headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from gateway_lab.messages.headers import header_text
from gateway_lab.messages.message import Message
from gateway_lab.rules.tree import Field, Header, Reference, Value

LookUp: TypeAlias = Callable[[Message], tuple[Value, ...]]
"""Gives the values of some references, in their order."""


def compile_look_up(references: Sequence[Reference], source: str) -> LookUp:
    """Compile the reading of what is not in the body; a field is NULL.

    Args:
        references: What to read.
        source: The name that `message.source` gives.
    """
    getters = tuple(_getter(each, source) for each in references)
    if not getters:
        return lambda _: ()
    return lambda message: tuple([get(message) for get in getters])


def _getter(reference: Reference, source: str) -> Callable[[Message], Value]:
    if isinstance(reference, Field):
        return lambda _: None
    if isinstance(reference, Header):
        name = reference.name
        return lambda message: header_text(message.headers, name)
    if reference.name == "source":
        return lambda _: source
    return _PARTS[reference.name]


def _key(message: Message) -> str | None:
    try:
        return None if message.key is None else message.key.decode()
    except UnicodeDecodeError:
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _microseconds(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


_PARTS: dict[str, Callable[[Message], Value]] = {
    "key": _key,
    "timestamp": lambda message: _microseconds(message.timestamp),
    "received": lambda message: _microseconds(message.received),
    "channel": lambda message: message.channel,
}
