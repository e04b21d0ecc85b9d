"""Where a dead letter enters again: at the point where its message failed.

A delivery goes to its recorded target alone, as the current config renders it: the other targets
of the message have it already. A message that no router could decide goes to all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import msgspec

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import AddressPlan, Plan, RoutePlan, RouterPlan
from gateway_lab.gateway.dead_letter import PREFIX, Cause, Letters
from gateway_lab.gateway.ids import MessageIds
from gateway_lab.gateway.letter import REPLAYS, RUN, Letter, Reopened, read_letter
from gateway_lab.gateway.ways import Target, Way, read_targets
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.headers import CONTROL_PREFIX
from gateway_lab.messages.message import Message
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.route import SourceRouter
from gateway_lab.routing.routed import DEAD_LETTER, DROP, Delivery, Routed

REPLAY_HEADER: Final = f"{CONTROL_PREFIX}replay"
"""Says how often a message was sent again from a dead letter."""

SOURCE: Final = "source:"
ASIDE: Final = "aside:"
"""How targets begin that stand in no config: back to a source, or aside for a letter that stays."""

_ANY: Final = 1_000_000


class Aside(Message, frozen=True, kw_only=True, gc=False):
    """What is moved out of the way as it is: a letter that stays, or no letter at all."""


class Reentry:
    """Decides letters in place of the messages of a source; see `pump.py`.

    Args:
        config: What runs now.
        plan: Made of it.
        replans: Whether a delivery is decided anew by its router.
        to_source: Whether messages go back to where they were read.
    """

    def __init__(
        self, config: GatewayConfig, plan: Plan, *, replans: bool, to_source: bool
    ) -> None:
        self._config, self._plan = config, plan
        self._replans, self._to_source = replans, to_source
        self._router = lru_cache(maxsize=1_000)(self._compile)
        self._ids = MessageIds("redrive")

    def refuse(self, letter: Letter, message: Reopened) -> str | None:
        """Say why a letter cannot enter again; None if it can."""
        source = self._plan.sources.get(letter.source)
        if source is None:
            return "its source is not in the config"
        if self._to_source:
            return None if self._home(message) else "its source no longer reads where it was read"
        if source.handled is not None:
            return "its source has a handler, which runs on what is read: --to source"
        if letter.router is None:
            return None
        if letter.target != DEAD_LETTER and not self._replans:
            known = (letter.source, letter.target) in self._plan.targets
            return None if known else "no route of the config leads to its target: --replan"
        return None if letter.router in source.routers else "its router is not in the config"

    # --- what the pump asks ---

    def route(self, message: Message) -> Routed:
        """Return the deliveries that are still due."""
        if isinstance(message, Reopened):
            again = (self._send_back if self._to_source else self._decide)(message)
            return Routed(None, None, (), tuple(self._mark(each, message) for each in again))
        return Routed(None, None, (), (_put_aside(message),))

    def id_of(self, message: Message) -> str:
        """Return the id that the message had from the start."""
        if isinstance(message, Reopened):
            return message.letter.id
        letter = read_letter(message)
        return letter.id if letter else self._ids(message)

    def targets(self) -> dict[str, Target]:
        """Return what ways need to know."""
        found: dict[str, Target] = {}
        for name in self._plan.sources:
            found |= read_targets(self._config, self._plan, name)
            found[SOURCE + name] = (None, _ANY, set())
        return found | {f"{ASIDE}{alias}": (None, _ANY, set()) for alias in self._config.brokers}

    # --- where to ---

    def _decide(self, message: Reopened) -> tuple[Delivery, ...]:
        letter = message.letter
        router = self._router(letter.source, letter.router, letter.route, letter.target)
        return router.route(message).deliveries

    def _compile(
        self, source_name: str, router: str | None, route: str | None, target: str
    ) -> SourceRouter:
        """Compile a source that has but the recorded router, route and target."""
        plan, source = self._plan, self._plan.sources[source_name]
        if router is None:
            return SourceRouter(plan, source)
        if target != DEAD_LETTER and not self._replans:
            plan = replace(plan, routers={router: _only(router, route, source_name, target)})
        return SourceRouter(plan, replace(source, routers=(router,)))

    def _mark(self, delivery: Delivery, message: Reopened) -> Delivery:
        """Say that it is sent again, and keep the names of what failed."""
        letter = message.letter
        named: Delivery | Letter = delivery
        if delivery.router is None and letter.router is not None:  # it is invalid by now
            named = letter
        return msgspec.structs.replace(
            delivery,
            router=named.router,
            route=named.route,
            target=named.target,
            headers=(*delivery.headers, (REPLAY_HEADER, str(letter.replays + 1).encode())),
        )

    def _send_back(self, message: Reopened) -> tuple[Delivery, ...]:
        letter = message.letter
        broker, channel = self._home(message) or (message.broker, message.channel)
        back = Delivery(
            letter.router,
            letter.route,
            SOURCE + letter.source,
            broker,
            channel,
            Outcome.DELIVERED,
            None,
            message.key,
            message.headers,
            message.body,
        )
        return (back,)

    def _home(self, message: Reopened) -> tuple[str, str] | None:
        """Return the broker and the channel that the message was read from, if it is still read."""
        source = self._plan.sources[message.letter.source]
        written = self._config.sources[source.name].addresses
        for address, given in zip(source.addresses, written, strict=True):
            if _reads(address, message):
                queue = dict(given.options).get("queue")
                return message.broker, str(queue or message.channel)
        return None


def _only(router: str, route: str | None, source: str, target: str) -> RouterPlan:
    """Make a router of one target; without a route it is for messages that match none."""
    routes = () if route is None else (_always(route, target),)
    return RouterPlan(
        name=router,
        sources=(source,),
        match="first",
        routes=routes,
        unmatched=(target,) if route is None else (DROP,),
        undecided="continue",
    )


def _always(route: str, target: str) -> RoutePlan:
    return RoutePlan(name=route, condition=None, events=None, targets=(target,))


def _reads(address: AddressPlan, message: Message) -> bool:
    if address.broker != message.broker:
        return False
    if address.pattern is None:
        return address.channel == message.channel
    return PROTOCOLS[address.protocol].matches(address.pattern, message.channel)


def aside_channel(channel: str) -> str:
    """Return where letters are moved that stay."""
    return f"{channel}.kept"


def _put_aside(message: Message) -> Delivery:
    letter = read_letter(message)
    headers = [each for each in message.headers if each[0] != f"{CONTROL_PREFIX}id"]
    return Delivery(
        letter.router if letter else None,
        letter.route if letter else None,
        ASIDE + message.broker,
        message.broker,
        aside_channel(message.channel),
        Outcome.DELIVERED,
        None,
        message.key,
        tuple(headers),
        message.body,
    )


@dataclass(frozen=True, slots=True)
class LettersAgain:
    """Writes letters of what failed again: attempts are counted on.

    Attributes:
        letters: Source to what writes its letters.
        run: Names this run, so that it does not send its own letters again.
    """

    letters: Mapping[str, Letters]
    run: str

    def write(self, message: Message, id_: str, way: Way, cause: Cause) -> tuple[str, Outgoing]:
        """Return the broker and the letter; see `Letters.write`.

        Raises:
            BrokerError: What is moved aside has nowhere to go.
        """
        if not isinstance(message, Reopened):
            raise _nowhere(message, cause)
        before = message.letter
        counted = replace(cause, attempts=before.attempts + cause.attempts, first=before.first)
        broker, letter = self.letters[before.source].write(message, id_, way, counted)
        told = {REPLAYS: str(before.replays + 1), RUN: self.run}
        headers = [(PREFIX + name, value.encode()) for name, value in told.items()]
        # A broker that deduplicates would take it for the letter of before, and drop it.
        id_ = f"{letter.id}-{self.run}"
        return broker, msgspec.structs.replace(letter, headers=(*letter.headers, *headers), id=id_)


def _nowhere(message: Message, cause: Cause) -> BrokerError:
    channel = aside_channel(message.channel)
    return BrokerError(
        Failure(FailureClass.CONFIGURATION, f"cannot write to {channel}: {cause.reason}"),
        where=f"broker {message.broker}",
        hint="create the channel, or let it take messages as large as the letters",
    )
