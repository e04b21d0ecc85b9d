"""What a handler made of one message, for its explanation; private values are masked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway_lab.config.plan import Plan, SourcePlan
from gateway_lab.errors import ReplayError
from gateway_lab.events.event_type import EventType, Schema
from gateway_lab.messages.mask import is_private_shown, mask_text
from gateway_lab.messages.message import Message
from gateway_lab.routing.rehearsal import GivenHandlers, Rehearsed, as_handled, handlers_of
from gateway_lab.routing.route import SourceRouter
from gateway_lab.routing.routed import Delivery, Routed

LONGEST = 200
"""What a handler returned is cut behind so many characters."""


@dataclass(frozen=True, slots=True)
class HandledOnce:
    """What a handler made of one message.

    Attributes:
        told: In one line.
        message: What the routers decide on; None: it did not come to them.
        routed: What was decided where it did not.
        sent: What it sent by itself.
    """

    told: str
    message: Message | None
    routed: Routed
    sent: tuple[Delivery, ...]


def handle_once(
    plan: Plan, source: SourcePlan, message: Message, handlers: GivenHandlers
) -> HandledOnce | None:
    """Run the handler of a source on one message; None: it has no handler and no middlewares.

    Raises:
        ReplayError: No function is registered for the handler of the source.
        ConfigError: A function is registered for a source that declares no handler.
    """
    with handlers_of(handlers).rehearse(plan) as rehearsal:
        if source.name not in rehearsal.sources:
            if source.handled is None:
                return None
            problem = f"no function is registered for the handler of {source.name}"
            raise ReplayError(problem, hint=f"register it: @gateway.handler({source.name!r})")
        [done] = rehearsal.handle([(source.name, message)])
    routed = done.routed or _failed(plan, source, message, done)
    decided = None if done.routed is None else as_handled(message, routed)
    sent = tuple(each for each in routed.deliveries if each.router is None)
    return HandledOnce(
        _told(source, done, decided), decided, routed, () if decided is None else sent
    )


def _failed(plan: Plan, source: SourcePlan, message: Message, done: Rehearsed) -> Routed:
    """Make the dead letter of a message that its handler failed at."""
    if done.is_stopped:
        return Routed(None, None, (), ())
    alone = replace(source, on_invalid="dead_letter", routers=())
    letters = SourceRouter(plan, alone).refuse(message, None, _reason(source, done.reason))
    return msgspec.structs.replace(letters, invalid=None)


def _told(source: SourcePlan, done: Rehearsed, decided: Message | None) -> str:
    tries = f" (try {done.tries})" if done.tries > 1 else ""
    name, routed = f"handler {done.handler}", done.routed
    if routed is None:
        stops = "; its source would stop" if done.is_stopped else ""
        return f"{name} failed{tries}: {_reason(source, done.reason)}{stops}"
    if routed.invalid is not None:
        return f"{name} was not given it, or its model refused it"
    if decided is None:
        return f"{name} ended the message{tries}"
    if isinstance(routed.handled, msgspec.UnsetType):
        return f"middlewares passed it on{tries}"
    type_ = source.handled
    shown = _shown(decided.body, type_)
    return f"{name} returned {shown} as event type {type_.name if type_ else 'none'}{tries}"


def _reason(source: SourcePlan, reason: str) -> str:
    """Leave out the text of an exception where the source has private values."""
    types = [*source.event_types.values(), *source.routed_types.values()]
    is_private = source.private_key or bool(source.private_headers)
    is_private = is_private or any(s.private for each in types for _, s in each.paths())
    if is_private_shown() or not is_private:
        return reason
    name, _, rest = reason.partition(": ")
    kind, _, text = rest.partition(": ")
    return f"{name}: {kind}: …" if text else reason


def _shown(body: bytes | None, event_type: EventType | None) -> str:
    """Show a body, which is valid, in one line."""
    if body is None or event_type is None:
        text = (body or b"").decode(errors="replace")
    else:
        event: Any = msgspec.json.decode(body)
        if not is_private_shown():
            event = _masked(event, event_type.schema)
        text = msgspec.json.encode(event).decode()
    harmless = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    return harmless if len(harmless) <= LONGEST else f"{harmless[: LONGEST - 1]}…"


def _masked(value: Any, schema: Schema | None) -> Any:
    if schema is None or value is None:
        return value
    if schema.private:
        return mask_text(value)
    if isinstance(value, dict):
        known = schema.properties or {}
        return {name: _masked(each, known.get(name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, schema.items) for each in value]
    return value
