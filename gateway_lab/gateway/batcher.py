"""What a pump knows of the batches of its source; `batching.py` is what does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeAlias

from gateway_lab.brokers.contract import Outgoing, Sink
from gateway_lab.config.document import Document
from gateway_lab.config.plan import Plan
from gateway_lab.gateway.window import Held, Window

Create: TypeAlias = Callable[[str, Outgoing], Awaitable[None]]
Release: TypeAlias = Callable[[Iterable[tuple[Held, int]]], None]


class Batcher(Protocol):
    """Takes the valid messages of a source, and lets go of them when their batches are done."""

    def push(self, held: Held, index: int, event_type: str | None) -> int:
        """Take a valid message; return how many batches hold it now."""

    def flush(self) -> None:
        """Close what is open: nothing more will be read."""

    def look(self) -> None:
        """Look whether the source is full."""

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
