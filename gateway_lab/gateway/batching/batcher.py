"""What a pump knows of the batches of its source; `batching.py` is what does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeAlias

from gateway_lab.brokers.contract import Outgoing, Sink
from gateway_lab.config.document import Document
from gateway_lab.config.plan import Plan
from gateway_lab.gateway.window import Held, Window
from gateway_lab.routing.routed import Routed

Create: TypeAlias = Callable[[str, Outgoing], Awaitable[None]]
Place: TypeAlias = tuple[str, str, str | None]
"""Broker, channel and partition."""

Due: TypeAlias = Callable[[Place], datetime | None]
"""When the first message of a partition was received that is still on its way to the batches."""

Release: TypeAlias = Callable[[Iterable[tuple[Held, int]]], None]


class Batcher(Protocol):
    """Takes the valid messages of a source, and lets go of them when their batches are done.

    Attributes:
        number: How many batches the source has.
    """

    number: int

    def take(self, held: Held, index: int, routed: Routed) -> int:
        """Take what was decided on, if it is valid; return how many batches hold it now."""

    def flush(self) -> None:
        """Close what is open."""

    def end(self) -> None:
        """Close what is open: nothing more will be read."""

    def heed(self, due: Due) -> None:
        """Let timers wait for messages that were received before they ring."""

    def look(self) -> None:
        """Look whether the source is full, or what timers waited for has come."""

    def change(self, config: Document, plan: Plan, sinks: Mapping[str, Sink]) -> None:
        """Decide by another version of the config what is stored and sent from now on."""

    async def run(
        self, release: Release, window: Window, sinks: Mapping[str, Sink], create: Create | None
    ) -> None:
        """Store and send until cancelled.

        Args:
            release: Told which messages a batch lets go of.
            window: Of the pump that reads the source.
            sinks: Where aggregates and dead letters may go.
            create: As for `Pump.run`.

        Raises:
            BrokerError: Of class `configuration`, in a group.
        """
