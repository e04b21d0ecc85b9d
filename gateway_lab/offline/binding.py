"""Which captured messages belong to which source.

A message belongs to the sources that read its channel on its broker's alias. Where no source
does (the alias is another machine's), it belongs to those that read that channel on its protocol. A source
named in `sources=` takes exactly what is said there instead. Two sources may read one channel:
each gets the message. What nobody reads is `no_source`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from gateway_lab.config.plan import AddressPlan, SourcePlan
from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.combinations import Column, combine, encode
from gateway_lab.offline.parts import Part
from gateway_lab.protocols.registry import PROTOCOLS

Place: TypeAlias = tuple[str, str, str]
"""Broker alias, protocol and channel of a captured message."""

Sources: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Source name to one or more `broker:channel`, where broker is an alias or a protocol."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the messages of a part came from.

    Attributes:
        names: The distinct places.
        index: Per row the number of its place.
        counts: Per place how many rows.
    """

    names: tuple[Place, ...]
    index: pl.Series
    counts: tuple[int, ...]


def places_of(part: Part) -> Places:
    """Find the distinct places of a part."""
    return CACHE.get(
        ("places", part.key), lambda: _places(part), lambda p: p.index.estimated_size()
    )


def _places(part: Part) -> Places:
    frame = part.read("broker", "kind", "channel").with_columns(pl.all().fill_null(""))
    columns = [_encoded(frame[name]) for name in frame.columns]
    combined = combine([(codes, len(column.values)) for column, codes in columns])
    texts = [
        column.values.gather(codes)
        for (column, _), codes in zip(columns, combined.codes, strict=True)
    ]
    counts = combined.index.value_counts(name="n").sort(combined.index.name)["n"]
    return Places(tuple(zip(*texts, strict=True)), combined.index, tuple(counts))


def _encoded(values: pl.Series) -> tuple[Column, pl.Series]:
    column = encode(values)
    if column.codes is not None:
        return column, column.codes
    ranks = values.rank("dense").cast(pl.UInt32) - 1
    return Column(values.unique().sort(), ranks), ranks


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
            f"sources= names {name!r}, which the config does not have",
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
    reading = {
        name: [each for each in source.addresses if _reads(each, channel)]
        for name, source in sources.items()
        if name not in told
    }
    by_alias = [n for n, found in reading.items() if any(each.broker == broker for each in found)]
    by_protocol = (
        n for n, found in reading.items() if any(each.protocol == protocol for each in found)
    )
    yield from by_alias or by_protocol


def _reads(address: AddressPlan, channel: str) -> bool:
    if address.pattern is None:
        return address.channel == channel
    return PROTOCOLS[address.protocol].matches(address.pattern, channel)
