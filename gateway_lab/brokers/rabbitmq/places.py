"""Queues, exchanges and bindings: what a place needs, and making what is not there.

A source reads a queue, and its options may name the exchange that the queue is bound to. A target
writes to a queue through the default exchange, or to an exchange, whose bindings decide. AMQP tells
of no binding: an exchange that is there counts as bound by whoever made it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import aiormq
from aiormq.abc import AbstractChannel
from pamqp.common import FieldTable

from gateway_lab.brokers.contract import Place
from gateway_lab.brokers.rabbitmq.link import Link, ask
from gateway_lab.protocols.rabbitmq import SourceOptions, TargetOptions

_Do = Callable[[AbstractChannel], Awaitable[object]]

_COUNTS_DELIVERIES_SINCE: Final = 4
"""The release whose quorum queues drop a message after twenty deliveries, if nobody says else."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a place stands for; empty where there is none."""

    exchange: str
    queue: str
    key: str


def wiring(place: Place) -> Wiring:
    """Work out what a place stands for."""
    options = place.options
    exchange = queue = ""
    if isinstance(options, SourceOptions):
        exchange, queue = options.exchange or "", options.queue or ""
    elif isinstance(options, TargetOptions):
        exchange = options.exchange or ""
    return Wiring(exchange, queue or place.channel, place.channel)


class Places:
    """Looks for places of one virtual host and makes them.

    Args:
        link: The connection to ask on.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """Return those of which something is not there; looking creates nothing."""
        return [each for each in places if not await self._is_there(each)]

    async def _is_there(self, place: Place) -> bool:
        wired = wiring(place)
        if wired.exchange and not await self._has_exchange(wired.exchange):
            return False
        is_bound_by_others = wired.exchange and not place.is_read
        return bool(is_bound_by_others) or await self._has_queue(wired.queue)

    async def _has_exchange(self, name: str) -> bool:
        return await self._look(lambda channel: channel.exchange_declare(name, passive=True), name)

    async def _has_queue(self, name: str) -> bool:
        return await self._look(lambda channel: channel.queue_declare(name, passive=True), name)

    async def _look(self, do: _Do, name: str) -> bool:
        try:
            await self._do(do)
        except aiormq.ChannelNotFoundEntity:
            return False
        except aiormq.ChannelLockedResource:
            return True
        except aiormq.AMQPChannelError as error:
            raise self._link.refused(error, name) from None
        return True

    async def create(self, places: Sequence[Place]) -> None:
        """Create what is missing: topic exchanges, quorum queues, and their bindings.

        A target's new exchange is bound to a queue of the routing key's name: else everything
        that is sent there would come back.
        """
        for place in places:
            if await self._is_there(place):  # maybe since the one before it was made
                continue
            wired = wiring(place)
            for do in await self._steps(wired):
                try:
                    await self._do(do)
                except aiormq.AMQPChannelError as error:
                    raise self._link.refused(error, wired.exchange or wired.queue) from None

    async def _steps(self, wired: Wiring) -> list[_Do]:
        steps: list[_Do] = []
        if wired.exchange and not await self._has_exchange(wired.exchange):
            steps.append(
                lambda channel: channel.exchange_declare(
                    wired.exchange, exchange_type="topic", durable=True
                )
            )
        if not await self._has_queue(wired.queue):
            arguments = queue_arguments(await self._version())
            steps.append(
                lambda channel: channel.queue_declare(
                    wired.queue, durable=True, arguments=arguments
                )
            )
        if wired.exchange:
            steps.append(lambda channel: channel.queue_bind(wired.queue, wired.exchange, wired.key))
        return steps

    async def _version(self) -> str:
        connection = await self._link.connection()
        return str(connection.server_properties.get("version", ""))

    async def _do(self, do: _Do) -> None:
        """Ask on a channel of its own: the server closes it to say no."""

        async def once() -> None:
            async with self._link.brief_channel() as channel:
                await ask(do(channel))

        await self._link.patiently(once)


def queue_arguments(version: str) -> FieldTable:
    """Return the arguments of a queue that loses nothing when the gateway crashes in a row.

    Args:
        version: Of the server, such as `4.1.2`.
    """
    arguments: FieldTable = {"x-queue-type": "quorum"}
    if next(_numbers(version), 0) >= _COUNTS_DELIVERIES_SINCE:
        arguments["x-delivery-limit"] = -1
    return arguments


def _numbers(version: str) -> Iterator[int]:
    return (int(each) for each in version.split(".") if each.isdecimal())
