"""Which captured messages belong to which source.

A message belongs to the sources that read its channel on its broker's alias. Where no source
does (the alias is another machine's), it belongs to those that read that channel on its
protocol. A source named in `sources=` takes exactly what is said there instead. Two sources may
read one channel: each gets the message. What nobody reads is `no_source`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from gateway_lab.config.plan import SourcePlan
from gateway_lab.config.readers import readers
from gateway_lab.errors import ReplayError, did_you_mean

Place: TypeAlias = tuple[str, str, str]
"""Broker alias, protocol and channel of a captured message."""

Sources: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Source name to one or more `broker:channel`, where broker is an alias or a protocol."""


def bind(
    sources: Mapping[str, SourcePlan], names: tuple[Place, ...], told: Sources
) -> dict[str, list[int]]:
    """Give each source the numbers of the places it reads.

    Raises:
        ReplayError: `told` names a source that the config does not have, or is not written
            like `kafka:business-events`.
    """
    wanted = {name: _told(name, told[name], sources) for name in told}
    bound: dict[str, list[int]] = {name: [] for name in sources}
    for number, place in enumerate(names):
        for name in dict.fromkeys(_readers(place, sources, wanted)):
            bound[name].append(number)
    return bound


def _told(
    name: str, value: str | tuple[str, ...], sources: Mapping[str, SourcePlan]
) -> set[tuple[str, str]]:
    if name not in sources:
        raise ReplayError(
            f"`sources=` or `--source` names {name!r}, which the config does not have",
            hint=did_you_mean(name, sources),
        )
    texts = (value,) if isinstance(value, str) else value
    if wrong := [text for text in texts if ":" not in text]:
        raise ReplayError(
            f"sources= says {wrong[0]!r} for {name!r}", hint="write it like 'kafka:business-events'"
        )
    pairs = (text.split(":", 1) for text in texts)
    return {(broker, channel) for broker, channel in pairs}


def _readers(
    place: Place, sources: Mapping[str, SourcePlan], told: Mapping[str, set[tuple[str, str]]]
) -> Iterator[str]:
    broker, protocol, channel = place
    for name, pairs in told.items():
        if pairs & {(broker, channel), (protocol, channel)}:
            yield name
    untold = {name: source for name, source in sources.items() if name not in told}
    yield from readers(untold, broker, protocol, channel)
