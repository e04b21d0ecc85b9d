"""Every place where a config names something that is declared elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_lab.config.document import Document
from gateway_lab.config.model import Address, DeadLetter, EventChoice, Source
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import INVALID


def broker_uses(config: Document) -> Iterator[tuple[DocumentPath, str]]:
    """Yield every place that names a broker."""
    letters: list[tuple[DocumentPath, DeadLetter | None]] = [(("dead_letter",), config.dead_letter)]
    for name, source in config.sources.items():
        if source.broker is not None:
            yield ("sources", name, "broker"), source.broker
        for index, address in enumerate(source.from_):
            yield ("sources", name, "from", index, "broker"), address.broker
        letters.append((("sources", name, "dead_letter"), source.dead_letter))
    for name, target in config.targets.items():
        yield ("targets", name, "broker"), target.broker
    for path, letter in letters:
        if letter is not None:
            yield (*path, "broker"), letter.broker


def event_uses(config: Document) -> Iterator[tuple[DocumentPath, str]]:
    """Yield every place where a source names an event type."""
    for name, source in config.sources.items():
        path: DocumentPath = ("sources", name, "event")
        if isinstance(source.event, str):
            yield path, source.event
        elif isinstance(source.event, EventChoice):
            for value, event in source.event.types.items():
                yield (*path, "types", value), event
            if source.event.otherwise != INVALID:
                yield (*path, "otherwise"), source.event.otherwise
        if source.handler is not None:
            yield ("sources", name, "handler", "returns"), source.handler.returns


def target_lists(config: Document) -> Iterator[tuple[DocumentPath, tuple[str, ...]]]:
    """Yield every list of targets with its place."""
    for name, router in config.routers.items():
        for index, route in enumerate(router.routes):
            yield ("routers", name, "routes", index, "to"), route.to
        unmatched = (router.unmatched,) if isinstance(router.unmatched, str) else router.unmatched
        yield ("routers", name, "unmatched"), unmatched
    for name, batch in config.batches.items():
        yield ("batches", name, "to"), batch.to


def address_places(name: str, source: Source) -> Iterator[tuple[DocumentPath, Address]]:
    """Yield the addresses of a source with their places."""
    for index, address in enumerate(source.addresses):
        place: DocumentPath = ("sources", name)
        yield (*place, "from", index) if source.from_ else place, address
