"""Loops: targets that write into channels which sources read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from gateway_lab.config.document import Document
from gateway_lab.config.overlap import can_write
from gateway_lab.config.plan import AddressPlan, Plan, RouterPlan, TargetPlan
from gateway_lab.config.report import Report
from gateway_lab.events.event_type import EventType
from gateway_lab.findings import Severity


def check_loops(config: Document, plan: Plan, report: Report) -> None:
    """Report every target through which a message can come back to the source that it came from."""
    edges = set(_edges(plan))
    followers: dict[str, set[str]] = {}
    for source, _, reached in edges:
        followers.setdefault(source, set()).add(reached)
    for source, target, reached in sorted(edges):
        way = _way(reached, source, followers)
        if way is None:
            continue
        is_certain = reached == source and _takes_all(config, plan, source, target)
        shown = " → ".join(map(repr, (source, *way)))
        text = f"messages go round through this target: {shown}"
        hint = "write to another channel, or add a condition that ends the round"
        severity = Severity.ERROR if is_certain else None
        report.add("message-loop", ("targets", target, "channel"), text, hint, severity=severity)


def _edges(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Yield (source, target, source that reads what the target wrote)."""
    readers = _Readers(plan)
    for source, target, types in _writers(plan):
        for reached, address in readers.near(target):
            if can_write(target.channel, target.broker, address, tuple(types.values())):
                yield source, target.name, reached


class _Readers:
    """Who reads what: thousands of sources and targets of fixed names do not meet each other."""

    def __init__(self, plan: Plan) -> None:
        self._of_broker: dict[str, list[_Reader]] = {}
        self._of_channel: dict[tuple[str, str | None], list[_Reader]] = {}
        for name, source in plan.sources.items():
            for address in source.addresses:
                place = address.broker, address.channel
                self._of_broker.setdefault(address.broker, []).append((name, address))
                self._of_channel.setdefault(place, []).append((name, address))

    def near(self, target: TargetPlan) -> Iterator[_Reader]:
        """Yield all who may read what a target writes, and some who do not."""
        if target.channel.nodes:
            yield from self._of_broker.get(target.broker, ())
            return
        channel = "".join(part for part in target.channel.parts if isinstance(part, str))
        for each in (channel, None):  # a pattern has no channel
            yield from self._of_channel.get((target.broker, each), ())


_Reader: TypeAlias = tuple[str, AddressPlan]


def _writers(plan: Plan) -> Iterator[tuple[str, TargetPlan, Mapping[str, EventType]]]:
    for (source, _), target in plan.targets.items():
        if source in plan.sources:
            yield source, target, plan.sources[source].routed_types
    for batch in plan.batches.values():
        for target in batch.targets.values():
            yield batch.source, target, {batch.name: batch.output}


def _way(start: str, goal: str, followers: Mapping[str, set[str]]) -> tuple[str, ...] | None:
    """Find the shortest way from a source to another, both included; None if there is none."""
    ways: dict[str, tuple[str, ...]] = {start: (start,)}
    queue = [start]
    for source in queue:
        if source == goal:
            return ways[source]
        for follower in sorted(followers.get(source, ())):
            if follower not in ways:
                ways[follower] = (*ways[source], follower)
                queue.append(follower)
    return None


def _takes_all(config: Document, plan: Plan, source: str, target: str) -> bool:
    """Say whether every message of a source goes to a target whose channel is fixed."""
    planned = plan.targets.get((source, target))
    return (
        planned is not None
        and not planned.channel.nodes
        and any(
            _is_reached_by_all(plan.routers[name], target)
            for name, router in config.routers.items()
            if source in router.sources and name in plan.routers
        )
    )


def _is_reached_by_all(router: RouterPlan, target: str) -> bool:
    routes = router.routes[:1] if router.match == "first" else router.routes
    if not router.routes:
        return target in router.unmatched
    return any(
        route.condition is None and route.events is None and target in route.targets
        for route in routes
    )
