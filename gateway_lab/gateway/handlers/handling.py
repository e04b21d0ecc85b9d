"""The way of one message through its handler, by one version of a config.

judge what arrived → run the handler → judge and route what it returned
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, Self, TypeAlias

import msgspec
from pydantic import BaseModel

from gateway_lab.config.plan import Plan
from gateway_lab.errors import GatewayLabError, did_you_mean
from gateway_lab.events.decode import InvalidBody
from gateway_lab.gateway.handlers.handled import PASS, Call, InvalidEvent, Refused, dropped
from gateway_lab.messages.message import Message
from gateway_lab.routing.rehearsal import as_handled
from gateway_lab.routing.route import SourceRouter
from gateway_lab.routing.routed import Delivery, Routed
from gateway_lab.routing.sending import Send, compile_send

MAX_SENDS: Final = 100
"""Deliveries that one message may add to one target."""

Watcher: TypeAlias = Callable[[str, Message], None]
"""Shown each message that comes to the routers of a source, as its handler left it."""

_UNSEEN: Final = Routed(None, None, (), ())
"""What arrives where there are middlewares alone: its routers judge it."""


class _Desk(Protocol):
    """Where `gateway.send` finds the message whose handler calls it."""

    def send(self, target: str, event: object) -> None:
        """Keep one delivery more until the handler has ended well."""


_DESK: Final[ContextVar[_Desk]] = ContextVar("gateway_lab_desk")


def send(target: str, event: object) -> None:
    """Add a delivery to those of the message that is handled here.

    Raises:
        GatewayLabError: Nothing is handled here, or the event cannot go to that target.
    """
    desk = _DESK.get(None)
    if desk is None:
        hint = "call it in a handler: what it sends belongs to the message that is handled"
        raise GatewayLabError("there is no message that this could belong to", hint=hint)
    desk.send(target, event)


@dataclass(frozen=True, slots=True)
class _Sends:
    """The sends of one try."""

    handling: Handling
    message: Message
    kept: list[Delivery]

    def send(self, target: str, event: object) -> None:
        number = 1 + sum(each.target == target for each in self.kept)
        if number > MAX_SENDS:
            problem = f"one message sends more than {MAX_SENDS} messages to {target}"
            raise GatewayLabError(problem, where=f"source {self.handling.source}")
        self.kept.append(self.handling.delivery(target, event, self.message, number))


class Handling:
    """Handles the messages of one source.

    Attributes:
        source: Its name.
        call: Runs the user code.
        turn: Had while a message runs apart that may end the process.
        name: Of the handler, and `timeout_s` and `is_sync` too: see `Call`.
    """

    def __init__(
        self,
        plan: Plan,
        source: str,
        call: Call,
        watchers: Sequence[Watcher] = (),
        turn: asyncio.Lock | None = None,
    ) -> None:
        self.turn = turn or asyncio.Lock()
        self.source, self._plan, self.call = source, plan, call
        self._watchers = watchers
        self.name, self.timeout_s, self.is_sync = call.name, call.timeout_s, call.is_sync
        source_plan = plan.sources[source]
        self._returns = source_plan.handled
        self._arrival = SourceRouter(plan, replace(source_plan, handled=None, routers=()))
        self._router = SourceRouter(plan, source_plan)
        self._sends: dict[str, Send] = {}

    def around(self, wrap: Callable[[Call], Call]) -> Self:
        """Return the same with something around each call."""
        other = copy(self)
        other.call = wrap(self.call)
        return other

    @property
    def hangs(self) -> str:
        """What is said of a try that has not come to its end in time."""
        return f"it hangs: no end within {self.timeout_s:g} s"

    async def handle(self, message: Message, id_: str) -> Routed:
        """Run the handler once; an invalid message never gets to it.

        Raises:
            TryAgain: It failed.
            Refused: It refused the message, or returned what it has not declared.
        """
        arrived = self._arrival.route(message) if self._returns else _UNSEEN
        if arrived.invalid is not None:
            return self._router.refuse(message, arrived.event_type, arrived.invalid)
        sends = _Sends(self, message, [])
        token = _DESK.set(sends)
        try:
            routed = await self.call(message, id_, partial(self._conclude, message, sends.kept))
        except InvalidEvent as invalid:
            return self._router.refuse(message, arrived.event_type, invalid.reason)
        finally:
            _DESK.reset(token)
        if self._watchers:
            self._show(message, routed)
        return routed

    def _show(self, message: Message, routed: Routed) -> None:
        """Show watchers what the routers decided on; what ended before is none of it."""
        if (decided := as_handled(message, routed)) is not None:
            for watch in self._watchers:
                watch(self.source, decided)

    def _conclude(self, message: Message, kept: list[Delivery], value: Any) -> Routed:
        """Judge and route what the handler returned."""
        if value is PASS:
            return self._router.route(message)
        if value is None:
            return Routed(None, None, (), tuple(kept) or (dropped(message),), None)
        body = encode(value)
        routed = self._router.route(msgspec.structs.replace(message, body=body))
        if routed.invalid is not None:
            name = self._returns.name if self._returns else "event"
            raise Refused(f"it returned no {name}: {routed.invalid}")
        deliveries = routed.deliveries + tuple(kept)
        return msgspec.structs.replace(routed, deliveries=deliveries, handled=body)

    def delivery(self, target: str, event: object, message: Message, number: int) -> Delivery:
        """Render what a handler sends.

        Raises:
            GatewayLabError: There is no such target, or the event is not what it is typed for.
        """
        write = self._sends.get(target) or self._compile(target)
        try:
            return write(msgspec.structs.replace(message, body=encode(event)), number)
        except InvalidBody as invalid:
            raise GatewayLabError(invalid.reason, where=f"send to {target}") from None

    def _compile(self, target: str) -> Send:
        known = [name for source, name in self._plan.targets if source == self.source]
        if target not in known:
            raise GatewayLabError(
                f"no router of the source {self.source} names a target {target!r}",
                where=self.name,
                hint=did_you_mean(target, known),
            )
        write = self._sends[target] = compile_send(self._plan, self.source, target)
        return write


def encode(value: object) -> bytes:
    """Write what a handler returned or sent as JSON; bytes are JSON already.

    Raises:
        Refused: JSON has no such thing.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True).encode()
    try:
        return msgspec.json.encode(value, enc_hook=_encode_model)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"JSON cannot hold this {type(value).__name__}: {error}") from None


def _encode_model(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"there is a value of type {type(value).__name__} in it")
