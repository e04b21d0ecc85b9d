"""Double deliveries: one message, sent twice to one place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from gateway_lab.config.document import Document
from gateway_lab.config.names import ENDS
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.report import Report

Destination: TypeAlias = tuple[str, str, str]
"""Broker, channel template, options: where a target writes."""


@dataclass(frozen=True, slots=True)
class _Use:
    """One place where messages of a source are sent to a target."""

    router: str
    is_first: bool
    route: int | None
    target: str
    path: DocumentPath

    def is_twice(self, other: _Use) -> bool:
        """Say whether one message can be sent by both."""
        if self.router != other.router:
            return True
        if self.target == other.target or None in (self.route, other.route):
            return False  # once within a router; `unmatched` excludes its routes
        return self.route == other.route or not self.is_first


def check_double_deliveries(config: Document, report: Report) -> None:
    """Report the destinations that one message of a source may reach twice."""
    for source in config.sources:
        by_destination: dict[Destination, list[_Use]] = {}
        for use in _uses(config, source):
            by_destination.setdefault(_destination(config, use.target), []).append(use)
        for uses in by_destination.values():
            _report_twice(source, uses, report)


def _uses(config: Document, source: str) -> Iterator[_Use]:
    for name, router in config.routers.items():
        if not router.enabled or source not in router.sources:
            continue
        is_first = router.match == "first"
        for number, route in enumerate(router.routes):
            for index, target in enumerate(route.to if route.enabled else ()):
                path = ("routers", name, "routes", number, "to", index)
                if target in config.targets and target not in ENDS:
                    yield _Use(name, is_first, number, target, path)
        unmatched = () if isinstance(router.unmatched, str) else router.unmatched
        for index, target in enumerate(unmatched):
            if target in config.targets and target not in ENDS:
                yield _Use(name, is_first, None, target, ("routers", name, "unmatched", index))


def _destination(config: Document, name: str) -> Destination:
    target = config.targets[name]
    return target.broker, target.channel, json.dumps(dict(target.options), sort_keys=True)


def _report_twice(source: str, uses: list[_Use], report: Report) -> None:
    pair = next((pair for pair in combinations(uses, 2) if pair[0].is_twice(pair[1])), None)
    if pair is None:
        return
    first, second = pair
    hint = "put the routes into one router, if once is meant"
    if first.target == second.target:
        what = f"to {first.target!r}, by {first.router} and by {second.router}"
    else:
        what = f"to one channel, as {first.target!r} and as {second.target!r}"
        hint = "remove one of the two, if once is meant"
    text = f"a message of {source!r} may be sent twice {what}"
    report.add("double-delivery", second.path, text, hint)
