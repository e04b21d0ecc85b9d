"""What a pump decides by: the routers of a source, or, in a redrive, what its letters say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from gateway_lab.brokers.contract import Outgoing
from gateway_lab.config.document import Document
from gateway_lab.config.plan import Plan
from gateway_lab.gateway.dead_letter import Cause, Letters
from gateway_lab.gateway.handlers.handling import Handling
from gateway_lab.gateway.ids import MessageIds
from gateway_lab.gateway.ways import Target, Way, read_targets
from gateway_lab.messages.message import Message
from gateway_lab.routing.route import compile_source
from gateway_lab.routing.routed import Routed


class Router(Protocol):
    """Decides messages."""

    def route(self, message: Message) -> Routed:
        """Return the decisions and deliveries of a message."""


class LetterWriter(Protocol):
    """Writes dead letters."""

    def write(self, message: Message, id_: str, way: Way, cause: Cause) -> tuple[str, Outgoing]:
        """Return the broker and the letter; see `Letters.write`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The means of one pump, all of one version of a config.

    Attributes:
        id_of: Names a message, the same at each try and after each restart.
        targets: Target name to what its ways need to know.
        handling: Of the messages before they are decided; None: there is none.
    """

    router: Router
    id_of: Callable[[Message], str]
    letters: LetterWriter
    targets: Mapping[str, Target]
    handling: Handling | None = None

    @classmethod
    def of(
        cls, config: Document, plan: Plan, source: str, handling: Handling | None = None
    ) -> Self:
        """Make those of a source that runs."""
        return cls(
            router=compile_source(plan, source),
            id_of=MessageIds(source),
            letters=Letters(plan.sources[source], plan.digest),
            targets=read_targets(config, plan, source),
            handling=handling,
        )
