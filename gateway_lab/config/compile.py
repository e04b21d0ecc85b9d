"""Makes a config ready to decide messages: every rule and template typed, or told what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_lab.config.compile_batches import compile_batch
from gateway_lab.config.compile_targets import compile_target
from gateway_lab.config.document import Document, require_config
from gateway_lab.config.model import Address, DeadLetter, EventChoice, Route, Router, Source
from gateway_lab.config.names import ENDS, check_names
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import (
    INVALID,
    AddressPlan,
    BatchPlan,
    DeadLetterPlan,
    Plan,
    RoutePlan,
    RouterPlan,
    SourcePlan,
    TargetPlan,
)
from gateway_lab.config.report import Report
from gateway_lab.config.scopes import Scopes, read_rule, read_text_template, routed_events
from gateway_lab.errors import did_you_mean
from gateway_lab.events.event_type import EventType, Kind
from gateway_lab.findings import Finding
from gateway_lab.rules.template import check_channel_template
from gateway_lab.rules.tree import Node


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan, or None with at least one error among the findings."""

    plan: Plan | None
    findings: tuple[Finding, ...]


def compile_plan(config: Document) -> Compiled:
    """Resolve every name, rule and template of a config; nothing is raised for what is wrong."""
    require_config(config)
    report = Report(config.origin)
    plan = compile_into(config, report)
    findings = (*config.traps, *report.findings)
    return Compiled(None if report.has_errors else plan, findings)


def compile_into(config: Document, report: Report) -> Plan:
    """Compile what can be compiled; what is wrong goes into the report and is left out."""
    return _Compiler(config, report).plan()


class _Compiler:
    """Compiles one config; what cannot be compiled is reported and left out."""

    def __init__(self, config: Document, report: Report) -> None:
        self._config, self._report = config, report
        check_names(config, report)
        self._scopes = Scopes(config, report)

    def plan(self) -> Plan:
        config = self._config
        self._letter = self._dead_letter(("dead_letter",), config.dead_letter)
        sources = {name: self._source(name, each) for name, each in config.sources.items()}
        routers = {name: self._router(name, each) for name, each in config.routers.items()}
        return Plan(
            name=config.name,
            digest=config.digest,
            sources={name: each for name, each in sources.items() if each},
            routers={name: each for name, each in routers.items() if config.routers[name].enabled},
            targets=self._targets(),
            batches=self._batches(),
        )

    # --- sources ---

    def _source(self, name: str, source: Source) -> SourcePlan | None:
        config = self._config
        letter = self._dead_letter(("sources", name, "dead_letter"), source.dead_letter)
        event_types = self._scopes.event_types(source)
        routed_types = self._scopes.routed_types(source)
        by = self._choice(name, source)
        if event_types is None or routed_types is None:
            return None
        choice = source.event if isinstance(source.event, EventChoice) else None
        return SourcePlan(
            name=name,
            addresses=tuple(filter(None, map(self._address, source.addresses))),
            event_types=event_types,
            by=by,
            choices=dict(choice.types) if choice else {},
            otherwise=choice.otherwise if choice else INVALID,
            on_invalid=source.on_invalid,
            handled=routed_types[source.handler.returns] if source.handler else None,
            private_key=source.private.key,
            private_headers=frozenset(header.lower() for header in source.private.headers),
            retry=source.retry or config.retry,
            dead_letter=letter or self._letter,
            routers=tuple(
                router_name
                for router_name, router in config.routers.items()
                if router.enabled and name in router.sources
            ),
            batches=tuple(key for key, batch in config.batches.items() if batch.source == name),
        )

    def _address(self, address: Address) -> AddressPlan | None:
        protocol = self._config.brokers.get(address.broker)
        return protocol and AddressPlan(
            broker=address.broker,
            protocol=protocol,
            channel=address.channel,
            pattern=address.pattern,
        )

    def _choice(self, name: str, source: Source) -> Node | None:
        if not isinstance(source.event, EventChoice):
            return None
        path = ("sources", name, "event", "by")
        scope = self._scopes.scope({})
        return read_rule(source.event.by, scope, Kind.TEXT, path, self._report)

    def _dead_letter(self, path: DocumentPath, letter: DeadLetter | None) -> DeadLetterPlan | None:
        if letter is None:
            return None
        channel = read_text_template(
            letter.channel,
            self._scopes.scope({}),
            (*path, "channel"),
            self._report,
            check=check_channel_template,
        )
        protocol = self._config.brokers.get(letter.broker)
        if channel is None or protocol is None:
            return None
        return DeadLetterPlan(broker=letter.broker, protocol=protocol, channel=channel)

    # --- routers ---

    def _router(self, name: str, router: Router) -> RouterPlan:
        unmatched = router.unmatched
        with self._report.lenient(if_=not router.enabled):
            types = self._router_types(name, router)
            routes = [
                self._route(("routers", name, "routes", index), route, types)
                for index, route in enumerate(router.routes)
            ]
        return RouterPlan(
            name=name,
            sources=router.sources,
            match=router.match,
            routes=tuple(
                plan for plan, route in zip(routes, router.routes, strict=True) if route.enabled
            ),
            unmatched=(unmatched,) if isinstance(unmatched, str) else unmatched,
            undecided=router.undecided,
        )

    def _router_types(self, name: str, router: Router) -> dict[str, EventType] | None:
        """Return the event types that the rules of a router see; None if they are not known."""
        sources = [self._config.sources.get(each) for each in router.sources]
        known = [each for each in sources if each is not None]
        if len({frozenset(routed_events(each)) for each in known}) > 1:
            path = ("routers", name, "source")
            text = "the sources of one router carry different event types"
            self._report.add("sources-differ", path, text, "write a router for each of them")
            return None
        return self._scopes.routed_types(known[0]) if known else None

    def _route(
        self, path: DocumentPath, route: Route, types: dict[str, EventType] | None
    ) -> RoutePlan:
        condition = None
        with self._report.lenient(if_=not route.enabled):
            seen = self._seen_types(path, route, types)
            if seen is not None and route.when is not None:
                scope, place = self._scopes.scope(seen), (*path, "when")
                condition = read_rule(route.when, scope, Kind.BOOLEAN, place, self._report)
        return RoutePlan(
            name=route.name,
            condition=condition,
            events=None if route.events is None else frozenset(route.events),
            targets=route.to,
        )

    def _seen_types(
        self, path: DocumentPath, route: Route, types: dict[str, EventType] | None
    ) -> dict[str, EventType] | None:
        if types is None or route.events is None:
            return types
        for index, event in enumerate(route.events):
            if event not in types:
                place, text = (*path, "events", index), f"the source carries no {event!r}"
                self._report.add("unknown-event", place, text, did_you_mean(event, types))
        seen = {name: types[name] for name in types if name in route.events}
        return seen or None

    # --- targets ---

    def _targets(self) -> dict[tuple[str, str], TargetPlan]:
        plans = {}
        for (source, target), events in self._pairs().items():
            types = self._scopes.routed_types(self._config.sources[source])
            if types is None:
                continue
            seen = {name: each for name, each in types.items() if events is None or name in events}
            plan = compile_target(self._config, target, self._scopes.scope(seen), self._report)
            if plan is not None:
                plans[source, target] = plan
        return plans

    def _pairs(self) -> dict[tuple[str, str], frozenset[str] | None]:
        """Find which target gets messages of which source, and of which event types (None: all)."""
        pairs: dict[tuple[str, str], frozenset[str] | None] = {}
        for router in self._config.routers.values():
            if not router.enabled:
                continue
            for source in filter(self._config.sources.__contains__, router.sources):
                for events, targets in _lists(router):
                    for target in filter(self._is_target, targets):
                        before = pairs.get((source, target), frozenset())
                        both = None if events is None or before is None else before | events
                        pairs[source, target] = both
        return pairs

    def _is_target(self, name: str) -> bool:
        return name in self._config.targets and name not in ENDS

    # --- batches ---

    def _batches(self) -> dict[str, BatchPlan]:
        plans = {}
        for name, batch in self._config.batches.items():
            source = self._config.sources.get(batch.source)
            types = self._scopes.routed_types(source) if source else None
            if types is not None:
                plan = compile_batch(self._config, name, types, self._scopes, self._report)
                if plan is not None:
                    plans[name] = plan
        return plans


def _lists(router: Router) -> list[tuple[frozenset[str] | None, tuple[str, ...]]]:
    """List the targets of a router with the event types that reach them."""
    lists = [
        (None if route.events is None else frozenset(route.events), route.to)
        for route in router.routes
        if route.enabled
    ]
    unmatched = router.unmatched
    return [*lists, (None, (unmatched,) if isinstance(unmatched, str) else unmatched)]
