"""The connections of a gateway: one for each alias in use, opened once, closed at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from gateway_lab.brokers.contract import (
    Broker,
    BrokerError,
    Failure,
    FailureClass,
    Outgoing,
    Place,
    Sink,
    Source,
)
from gateway_lab.gateway.reach import Reading

_LOG: Final = logging.getLogger("gateway_lab.gateway")


class Connections:
    """Opens connections when they are needed, and looks after the channels on them.

    Args:
        connect: Makes the connection of an alias, not opened yet.
        creates: Whether channels that are missing are created.
    """

    def __init__(self, connect: Callable[[str], Broker], *, creates: bool) -> None:
        self._connect, self._creates = connect, creates
        self._brokers: dict[str, Broker] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._warned: set[str] = set()

    def open(self, aliases: Iterable[str]) -> None:
        """Begin to connect to those that are not connected to; all of them or none.

        Raises:
            BrokerError: There is no address, or it cannot be read.
            MissingExtraError: The client library of a broker is not installed.
        """
        wanted = sorted(aliases)
        self._brokers |= {each: self._connect(each) for each in wanted if each not in self._brokers}
        for alias in wanted:
            if alias not in self._opening or _has_failed(self._opening[alias]):
                self._opening[alias] = asyncio.create_task(self._brokers[alias].open())

    async def ready(
        self, aliases: Iterable[str], waiting: Callable[[str], None] = lambda _: None
    ) -> None:
        """Wait until these are open; `waiting` is told for which.

        Raises:
            BrokerError: Of class `configuration`: one refuses us.
        """
        for alias in sorted(aliases):
            if not self._opening[alias].done():
                waiting(alias)
            await asyncio.shield(self._opening[alias])

    async def require(self, places: Mapping[str, Sequence[Place]], where: str) -> None:
        """Create the channels that are missing if that was asked for, else name them.

        Raises:
            BrokerError: Some are missing.
        """
        missing: list[str] = []
        for alias, each in places.items():
            broker = self._brokers[alias]
            if self._creates:
                await broker.create(each)
            else:
                missing += [f"{place.channel} on {alias}" for place in await broker.missing(each)]
            await self._warn(alias, each)
        if missing:
            reason = f"there is no channel {', '.join(missing)}"
            raise BrokerError(
                Failure(FailureClass.CONFIGURATION, reason),
                where=where,
                hint="create it, or run with --create-channels",
            )

    async def _warn(self, alias: str, places: Sequence[Place]) -> None:
        """Say once what of a broker's own settings may lose messages."""
        for risk in await self._brokers[alias].risks(places):
            if (told := f"{alias}: {risk}") not in self._warned:
                self._warned.add(told)
                _LOG.warning("broker %s", told, extra={"broker": alias})

    async def source(self, name: str, reading: Reading) -> Source:
        """Open a source.

        Raises:
            BrokerError: Of class `configuration`.
        """
        broker = self._brokers[reading.broker]
        return await broker.source(name, reading.addresses, reading.options)

    def sinks(self, aliases: Iterable[str]) -> dict[str, Sink]:
        """Return where to send to."""
        return {alias: self._brokers[alias].sink() for alias in aliases}

    @property
    def create(self) -> Callable[[str, Outgoing], Awaitable[None]] | None:
        """Creates, given an alias, the channel that a message chose; None if nothing is created."""
        return self._create if self._creates else None

    async def _create(self, alias: str, outgoing: Outgoing) -> None:
        """Create a channel; one that cannot be created does not stop a source: a message chose it."""
        try:
            await self._brokers[alias].create([Place(outgoing.channel, options=outgoing.options)])
        except BrokerError as error:
            told = {"broker": alias, "reason": str(error)}
            _LOG.warning("a channel cannot be created on broker %s", alias, extra=told)
        else:
            _LOG.info("a channel is created on broker %s", alias, extra={"broker": alias})

    async def close(self) -> None:
        """Close everything; what is still being opened, too."""
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        brokers, self._brokers = self._brokers, {}
        await asyncio.gather(*(each.close() for each in brokers.values()))


def _has_failed(opening: asyncio.Task[None]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
