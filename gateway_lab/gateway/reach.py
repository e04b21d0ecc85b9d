"""What a source needs before it may start: brokers, and channels whose names are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway_lab.brokers.contract import Place
from gateway_lab.config.document import Document
from gateway_lab.config.plan import AddressPlan, DeadLetterPlan, Plan, SourcePlan, TargetPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.render import compile_dead_letter
from gateway_lab.rules.fill import join
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.template import template_references
from gateway_lab.rules.tree import Meta


@dataclass(frozen=True, slots=True)
class Reading:
    """The addresses of one source on one broker that are read with the same options."""

    broker: str
    addresses: tuple[AddressPlan, ...]
    options: object


@dataclass(frozen=True, slots=True)
class Reach:
    """What one source needs.

    Attributes:
        readings: What is read.
        writes: Aliases of the brokers that deliveries and dead letters may go to.
        places: Alias to the channels that must be there, those that are read first; names that
            depend on messages are not among them.
    """

    readings: tuple[Reading, ...]
    writes: frozenset[str]
    places: Mapping[str, tuple[Place, ...]]

    @property
    def brokers(self) -> frozenset[str]:
        """All aliases."""
        return self.writes.union(self.places, (each.broker for each in self.readings))

    def beyond(self, before: Reach) -> Reach:
        """Return what is needed and was not before: the rest was looked for, or will be."""
        places = {
            alias: tuple(place for place in places if place not in before.places.get(alias, ()))
            for alias, places in self.places.items()
        }
        found = {alias: places for alias, places in places.items() if places}
        return Reach(readings=(), writes=self.writes - before.writes, places=found)


def reach_of(config: Document, plan: Plan, name: str) -> Reach:
    """Work out what a source needs."""
    source = plan.sources[name]
    readings = tuple(readings_of(config, source))
    written = tuple(_written(config, plan, source))
    places: defaultdict[str, dict[Place, None]] = defaultdict(dict)
    for reading in readings:
        for address in reading.addresses:
            if address.channel is not None:
                places[reading.broker][
                    Place(address.channel, is_read=True, options=reading.options)
                ] = None
    for broker, place in written:
        if place is not None:
            places[broker][place] = None
    return Reach(
        readings=readings,
        writes=frozenset(broker for broker, _ in written),
        places={broker: tuple(found) for broker, found in places.items()},
    )


def readings_of(config: Document, source: SourcePlan) -> Iterator[Reading]:
    """Put addresses together that one reader can read."""
    found: dict[tuple[str, object], list[AddressPlan]] = {}
    written = config.sources[source.name].addresses
    for plan, address in zip(source.addresses, written, strict=True):
        typed = PROTOCOLS[plan.protocol].source_options.model_validate(dict(address.options))
        found.setdefault((plan.broker, typed), []).append(plan)
    for (broker, options), addresses in found.items():
        yield Reading(broker, tuple(addresses), options)


def _written(
    config: Document, plan: Plan, source: SourcePlan
) -> Iterator[tuple[str, Place | None]]:
    """Give the broker of each target in reach, and its place where its channel is one name."""
    names: set[str] = set()
    for router in map(plan.routers.__getitem__, source.routers):
        names.update(router.unmatched, *(route.targets for route in router.routes))
    for name in sorted(names):
        if target := plan.targets.get((source.name, name)):
            yield target.broker, _place(config, target)
    for batch in map(plan.batches.__getitem__, source.batches):
        for target in batch.targets.values():
            yield target.broker, _place(config, target)
    if source.dead_letter:
        channel = letter_channel(source.dead_letter, source.name)
        yield source.dead_letter.broker, Place(channel) if channel else None


def _place(config: Document, target: TargetPlan) -> Place | None:
    channel = None if target.channel.nodes else join(target.channel, ())
    if channel is None:
        return None
    options = PROTOCOLS[target.protocol].target_options
    given = dict(config.targets[target.name].options)
    return Place(channel, options=options.model_validate(given))


def letter_channel(plan: DeadLetterPlan, source: str) -> str | None:
    """Return the name of a dead-letter channel if it is one for all messages of a source."""
    inputs = template_references(plan.channel)
    if any(not isinstance(each, Meta) or each.name != "source" for each in inputs):
        return None
    anyone = Message(body=None, received=datetime.now(UTC))
    channel = compile_dead_letter(plan, inputs, name=f"source {source}")
    return channel(compile_look_up(inputs, source)(anyone))
