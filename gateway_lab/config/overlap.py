"""Whether what a template writes can be a channel that a source reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import islice, product

from gateway_lab.config.plan import AddressPlan
from gateway_lab.events.event_type import EventType
from gateway_lab.protocols.protocol import MAX_VALUE
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.rules.template import Template
from gateway_lab.rules.tree import Field, Meta, Node

_ANY = rf"[A-Za-z0-9_-]{{1,{MAX_VALUE}}}"
_MOST_SAMPLES = 1_000


def can_write(
    template: Template,
    broker: str,
    address: AddressPlan,
    event_types: Collection[EventType],
    *,
    source: str | None = None,
) -> bool:
    """Say whether some message's channel is one that an address reads.

    For a pattern, samples are tried: every listed value of a field, else one value.

    Args:
        template: The channel that is written.
        broker: Its broker's alias.
        address: What is read.
        event_types: Those of the messages that are written.
        source: The name of their source, where only one is meant.
    """
    if broker != address.broker or _begins_otherwise(template, address):
        return False
    values = [_values(part, event_types, source) for part in template.parts]
    if address.pattern is not None:
        matches = PROTOCOLS[address.protocol].matches
        return any(matches(address.pattern, each) for each in _samples(values))
    regex = "".join(
        _ANY if each is None else "(?:" + "|".join(map(re.escape, each)) + ")" for each in values
    )
    return re.fullmatch(regex, address.channel or "") is not None


def _begins_otherwise(template: Template, address: AddressPlan) -> bool:
    """Say whether the fixed beginning of a template excludes a channel: that is cheap to know."""
    first = template.parts[0] if template.parts else ""
    channel = address.channel
    return channel is not None and isinstance(first, str) and not channel.startswith(first)


def _samples(values: list[list[str] | None]) -> Iterator[str]:
    choices = [["x"] if each is None else each for each in values]
    return ("".join(parts) for parts in islice(product(*choices), _MOST_SAMPLES))


def _values(
    part: str | Node, event_types: Collection[EventType], source: str | None
) -> list[str] | None:
    """List what a part of a template can be; None where nobody knows."""
    match part:
        case str():
            return [part]
        case Meta(name="source") if source is not None:
            return [source]
        case Field(path=path):
            schemas = [found for each in event_types if (found := each.find(path)) is not None]
            listed = [each.enum for each in schemas]
            if schemas and all(each is not None for each in listed):
                return [value for enum in listed for value in enum or () if isinstance(value, str)]
    return None
