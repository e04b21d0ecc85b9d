"""What a source needs before it may start: brokers, and channels whose names are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway_lab.config.document import Document
from gateway_lab.config.plan import AddressPlan, DeadLetterPlan, Plan, SourcePlan
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
        readable: Alias to the channels that must be there to be read.
        writable: Alias to the channels that must be there to be written to; names that depend on
            messages are not among them.
    """

    readings: tuple[Reading, ...]
    writes: frozenset[str]
    readable: Mapping[str, tuple[str, ...]]
    writable: Mapping[str, tuple[str, ...]]

    @property
    def brokers(self) -> frozenset[str]:
        """All aliases."""
        return self.writes | {each.broker for each in self.readings}


def reach_of(config: Document, plan: Plan, name: str) -> Reach:
    """Work out what a source needs."""
    source = plan.sources[name]
    writes: set[str] = set()
    writable: defaultdict[str, list[str]] = defaultdict(list)
    for broker, channel in _written(plan, source):
        writes.add(broker)
        if channel is not None and channel not in writable[broker]:
            writable[broker].append(channel)
    readable: defaultdict[str, list[str]] = defaultdict(list)
    for address in source.addresses:
        if address.channel is not None:
            readable[address.broker].append(address.channel)
    return Reach(
        readings=tuple(_readings(config, source)),
        writes=frozenset(writes),
        readable={broker: tuple(names) for broker, names in readable.items()},
        writable={broker: tuple(names) for broker, names in writable.items()},
    )


def _readings(config: Document, source: SourcePlan) -> Iterator[Reading]:
    """Put addresses together that one reader can read."""
    found: dict[tuple[str, object], list[AddressPlan]] = {}
    written = config.sources[source.name].addresses
    for plan, address in zip(source.addresses, written, strict=True):
        typed = PROTOCOLS[plan.protocol].source_options.model_validate(dict(address.options))
        found.setdefault((plan.broker, typed), []).append(plan)
    for (broker, options), addresses in found.items():
        yield Reading(broker, tuple(addresses), options)


def _written(plan: Plan, source: SourcePlan) -> Iterator[tuple[str, str | None]]:
    """Give the broker of each target in reach, and its channel where that is one name."""
    names: set[str] = set()
    for router in map(plan.routers.__getitem__, source.routers):
        names.update(router.unmatched, *(route.targets for route in router.routes))
    for name in sorted(names):
        if target := plan.targets.get((source.name, name)):
            template = target.channel
            yield target.broker, None if template.nodes else join(template, ())
    if source.dead_letter:
        yield source.dead_letter.broker, _letter_channel(source.dead_letter, source.name)


def _letter_channel(plan: DeadLetterPlan, source: str) -> str | None:
    """Return the name of a dead-letter channel if it is one for all messages of a source."""
    inputs = template_references(plan.channel)
    if any(not isinstance(each, Meta) or each.name != "source" for each in inputs):
        return None
    anyone = Message(body=None, received=datetime.now(UTC))
    channel = compile_dead_letter(plan, inputs, name=f"source {source}")
    return channel(compile_look_up(inputs, source)(anyone))
