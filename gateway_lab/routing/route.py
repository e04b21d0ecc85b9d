"""The way of one message, from its bytes to its deliveries; read it from top to bottom.

    choose the event type → decode → decide every router → render every delivery

The live pump calls this for each message, the config's tests and `explain` too, and the tests
that hold the two engines together compare it with a replay. It has no clock and no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway_lab.config.plan import INVALID, Plan, RoutePlan, RouterPlan, SourcePlan, TargetPlan
from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.events.decode import InvalidBody
from gateway_lab.events.event_type import EventType
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.messages.message import Message
from gateway_lab.routing.conclude import Consequence, Hits, conclude
from gateway_lab.routing.passing import Refused
from gateway_lab.routing.render import Render, compile_dead_letter, compile_render
from gateway_lab.routing.routed import (
    DEAD_LETTER,
    DROP,
    Decision,
    Delivery,
    Routed,
)
from gateway_lab.routing.values import Read, arrange, compile_read
from gateway_lab.rules.fill import Values, compile_node
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.template import template_references
from gateway_lab.rules.to_python import compile_router
from gateway_lab.rules.tree import Reference, Value, references


def compile_source(plan: Plan, source: str) -> SourceRouter:
    """Compile all that happens to the messages of one source.

    Raises:
        ReplayError: The plan has no such source.
    """
    if source not in plan.sources:
        problem = f"there is no source {source!r}"
        raise ReplayError(problem, hint=did_you_mean(source, plan.sources))
    return SourceRouter(plan, plan.sources[source])


class SourceRouter:
    """Decides the messages of one source, one at a time."""

    def __init__(self, plan: Plan, source: SourcePlan) -> None:
        types = (source.handled,) if source.handled else tuple(source.event_types.values())
        self._on_invalid = source.on_invalid
        self._letter = _compile_letter(source)
        self._choose = _compile_choice(source)
        self._no_type = source.no_type_reason
        self._lanes = {
            _name(event_type): _compile_lane(plan, source, event_type, self._letter)
            for event_type in types or (None,)
        }
        self._invalid = tuple(Decision(name, Result.INVALID, (), ()) for name in source.routers)

    def route(self, message: Message) -> Routed:
        """Decide a message; with a handler, its body is what the handler returned."""
        name = self._choose(message)
        if name == INVALID:
            return self.refuse(message, None, self._no_type)
        lane = self._lanes[name]
        try:
            values = lane.read(message)
        except InvalidBody as invalid:
            return self.refuse(message, name, invalid.reason)
        decisions: tuple[Decision, ...] = ()
        deliveries: tuple[Delivery, ...] = ()
        for router in lane.routers:
            verdict = router.decide(values)
            decisions += verdict.decisions
            for deliver in verdict.deliver:
                deliveries += (deliver(values, message),)
        return Routed(None, name, decisions, deliveries)

    def values(self, message: Message) -> dict[Reference, Value]:
        """Return all that rules and templates read from a message; nothing of an invalid one."""
        name = self._choose(message)
        if name == INVALID:
            return {}
        lane = self._lanes[name]
        try:
            return dict(zip(lane.inputs, lane.read(message), strict=True))
        except InvalidBody:
            return {}

    def refuse(self, message: Message, event_type: str | None, reason: str) -> Routed:
        """Make one dead letter (or drop) of the source, whatever the number of its routers."""
        if self._on_invalid == "drop":
            delivery = _drop(None, None, reason)((), message)
        else:
            delivery = self._letter(None, None, DEAD_LETTER, reason, message)
        return Routed(reason, event_type, self._invalid, (delivery,))


# --- which event type ---


def _name(event_type: EventType | None) -> str | None:
    return event_type.name if event_type else None


def _compile_choice(source: SourcePlan) -> Callable[[Message], str | None]:
    """Compile the choice of the event type; behind a handler there is one only."""
    if source.handled or source.by is None:
        only = _name(source.handled or next(iter(source.event_types.values()), None))
        return lambda _: only
    inputs = references(source.by)
    look_up = compile_look_up(inputs, source.name)
    by = compile_node(source.by, inputs, name=f"source {source.name} by")
    choices, otherwise = source.choices, source.otherwise

    def choose(message: Message) -> str:
        value = by(look_up(message))
        return choices.get(value, otherwise) if isinstance(value, str) else otherwise

    return choose


# --- lanes: what is compiled for the messages of one event type ---


@dataclass(frozen=True, slots=True)
class _Lane:
    """The way of messages of one event type."""

    inputs: tuple[Reference, ...]
    read: Read
    routers: tuple[_Router, ...]


def _compile_lane(
    plan: Plan, source: SourcePlan, event_type: EventType | None, letter: _Letter
) -> _Lane:
    """Compile the routers, and the reading of just the fields that they and the targets need."""
    routers = [plan.routers[name] for name in source.routers]
    routes = [_routes_for(router, event_type) for router in routers]
    targets = _targets_in_reach(plan, source, routers, routes)
    conditions = [route.condition for each in routes for route in each]
    inputs = arrange((*references(*conditions), *_target_references(targets)), event_type)
    renders = {target.name: (target.broker, compile_render(target, inputs)) for target in targets}
    parts = _Parts(inputs, letter, renders)
    return _Lane(
        inputs,
        compile_read(inputs, event_type, source.name),
        tuple(map(_Router, [parts] * len(routers), routers, routes)),
    )


def _routes_for(router: RouterPlan, event_type: EventType | None) -> tuple[RoutePlan, ...]:
    """Leave out the routes that are about other event types."""
    name = _name(event_type)
    return tuple(each for each in router.routes if each.events is None or name in each.events)


def _targets_in_reach(
    plan: Plan,
    source: SourcePlan,
    routers: Sequence[RouterPlan],
    routes: Sequence[tuple[RoutePlan, ...]],
) -> tuple[TargetPlan, ...]:
    names = {name for router in routers for name in router.unmatched}
    names |= {name for each in routes for route in each for name in route.targets}
    return tuple(plan.targets[source.name, name] for name in sorted(names - {DROP, DEAD_LETTER}))


def _target_references(targets: Sequence[TargetPlan]) -> tuple[Reference, ...]:
    return template_references(
        *(
            template
            for target in targets
            for template in (target.channel, target.key, target.body, *target.headers.values())
        )
    )


# --- routers ---

_Deliver: TypeAlias = Callable[[Values, Message], Delivery]
_Letter: TypeAlias = Callable[["str | None", "str | None", str, str, Message], Delivery]
"""Makes a dead letter of router, route, target, reason and message."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the routers of a lane share."""

    inputs: tuple[Reference, ...]
    letter: _Letter
    renders: Mapping[str, tuple[str, Render]]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A decision and the deliveries that follow from it; the same for many messages."""

    decisions: tuple[Decision]
    deliver: tuple[_Deliver, ...]


_MAX_VERDICTS: Final = 10_000


class _Router:
    """One router: which routes a message matches, and what follows."""

    def __init__(self, parts: _Parts, router: RouterPlan, routes: tuple[RoutePlan, ...]) -> None:
        self._parts, self._router, self._routes = parts, router, routes
        conditions = [route.condition for route in routes]
        self._match = compile_router(
            conditions, parts.inputs, match=router.match, name=f"router {router.name}"
        )
        self._verdicts: dict[object, _Verdict] = {}

    def decide(self, values: Values) -> _Verdict:
        """Match the routes; what follows from a combination of matches is worked out once."""
        matched = self._match(*values)
        verdict = self._verdicts.get(matched)
        if verdict is None:
            if len(self._verdicts) >= _MAX_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[matched] = self._conclude(matched)
        return verdict

    def _conclude(self, hits: Hits) -> _Verdict:
        found = conclude(self._router, self._routes, hits)
        decision = Decision(self._router.name, found.result, found.routes, found.undecided)
        return _Verdict((decision,), tuple(map(self._deliver, found.deliveries)))

    def _deliver(self, follows: Consequence) -> _Deliver:
        route, target, reason = follows.route, follows.target, follows.reason
        if reason is None:  # the target has the last word
            return _compile_delivery(self._parts, self._router.name, route, target)
        if follows.outcome is Outcome.DROPPED:
            return _drop(self._router.name, route, reason)
        return self._dead_letter(route, reason)

    def _dead_letter(self, route: str | None, reason: str) -> _Deliver:
        letter, router = self._parts.letter, self._router.name
        return lambda _, message: letter(router, route, DEAD_LETTER, reason, message)


# --- deliveries ---

# Looking a member up in its enum costs as much as making a delivery.
_DELIVERED, _DEAD_LETTERED, _DROPPED = Outcome.DELIVERED, Outcome.DEAD_LETTERED, Outcome.DROPPED


def _compile_delivery(parts: _Parts, router: str, route: str | None, target: str) -> _Deliver:
    """Compile a delivery to a target; what cannot be rendered is a dead letter of that target."""
    (broker, render), letter = parts.renders[target], parts.letter
    channel, key, headers, body = render.channel, render.key, render.headers, render.body

    def deliver(values: Values, message: Message) -> Delivery:
        try:
            return Delivery(
                router,
                route,
                target,
                broker,
                channel(values),
                _DELIVERED,
                None,
                key(values, message.key),
                headers(values, message.headers),
                body(values, message.body),
            )
        except Refused as refused:
            return letter(router, route, target, refused.reason, message)

    return deliver


def _compile_letter(source: SourcePlan) -> _Letter:
    """Compile the dead letters of a source: the message as it came, to where they go."""
    plan = source.dead_letter
    inputs = template_references(plan.channel) if plan else ()
    look_up = compile_look_up(inputs, source.name)
    broker = plan.broker if plan else None
    channel: Callable[[Values], str | None] = lambda _: None  # noqa: E731
    if plan:
        channel = compile_dead_letter(plan, inputs, name=f"source {source.name}")

    def letter(
        router: str | None, route: str | None, target: str, reason: str, message: Message
    ) -> Delivery:
        return Delivery(
            router,
            route,
            target,
            broker,
            channel(look_up(message)),
            _DEAD_LETTERED,
            reason,
            message.key,
            message.headers,
            message.body,
        )

    return letter


def _drop(router: str | None, route: str | None, reason: str) -> _Deliver:
    """Compile a drop: it is written nowhere and keeps the message for those who ask."""

    def deliver(_: Values, message: Message) -> Delivery:
        return Delivery(
            router,
            route,
            DROP,
            None,
            None,
            _DROPPED,
            reason,
            message.key,
            message.headers,
            message.body,
        )

    return deliver
