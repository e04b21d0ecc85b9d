"""RabbitMQ: queues to read from, routing keys to write to, over aiormq.

    frames.py   the frames of every message
    link.py     a connection that is made again, and what errors mean
    places.py   queues, exchanges and bindings: which are there, and making them
    source.py   reading and settling
    sink.py     publishing with confirms

A broker has one connection to publish and to ask on, and one for each source: a server that takes
no messages now stops reading a connection that publishes, and acknowledgements on it would wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Place
from gateway_lab.brokers.looking import taking
from gateway_lab.brokers.rabbitmq.link import Link
from gateway_lab.brokers.rabbitmq.places import Places
from gateway_lab.brokers.rabbitmq.sink import RabbitmqSink
from gateway_lab.brokers.rabbitmq.source import LEASE_S, WINDOW, RabbitmqSource
from gateway_lab.config.plan import AddressPlan
from gateway_lab.protocols.rabbitmq import SourceOptions


class RabbitmqBroker:
    """One virtual host of RabbitMQ.

    Args:
        alias: Its name in the config.
        url: `amqp://user:password@host:port/vhost`, or `amqps://`.
        window: How many messages a source may hold unsettled.
        lease_s: How long a source may hold one; less than the server's `consumer_timeout`.
        gateway: Shown, with `member`, in the names of connections.
        member: Of the gateway, this process; a queue's consumers need no names.
    """

    protocol = "rabbitmq"

    def __init__(
        self,
        alias: str,
        url: str,
        *,
        window: int = WINDOW,
        lease_s: float = LEASE_S,
        gateway: str = "",
        member: str = "",
    ) -> None:
        self.alias = alias
        self._url, self._window, self._lease_s = url, window, lease_s
        self._who = " ".join(filter(None, (gateway, member)))
        self._link = Link(alias, url, f"{self._who} sink".strip())
        self._sink = RabbitmqSink(self._link)
        self._places = Places(self._link)
        self._sources: list[RabbitmqSource] = []

    async def open(self) -> None:
        """Connect, waiting as long as the broker is away; see the contract."""
        await self._link.connection()

    async def source(
        self, name: str, addresses: Sequence[AddressPlan], options: object
    ) -> RabbitmqSource:
        """Open a source on a connection of its own; see the contract."""
        queues = [(_queue(each, options), each.channel or "") for each in addresses]
        link = Link(self.alias, self._url, f"{self._who} source {name}".strip())
        id_from = options.id_from if isinstance(options, SourceOptions) else None
        source = RabbitmqSource(
            link, queues, id_from=id_from, window=self._window, lease_s=self._lease_s
        )
        try:
            await source.open()
        except BaseException:
            await source.close()
            raise
        self._sources.append(source)
        return source

    async def browser(
        self, addresses: Sequence[AddressPlan], options: object, *, from_start: bool = True
    ) -> NoReturn:
        """Refuse: whatever reads a message of a queue takes it."""
        del options, from_start
        queues = ", ".join(each.channel or "" for each in addresses)
        raise taking(f"broker {self.alias}, queue {queues}")

    def sink(self) -> RabbitmqSink:
        """Return the one sink of this connection."""
        return self._sink

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """Return those whose queue or exchange is not there; looking creates nothing."""
        return await self._places.missing(places)

    async def create(self, places: Sequence[Place]) -> None:
        """Create durable quorum queues, exchanges and bindings; what is there stays as it is."""
        await self._places.create(places)

    async def risks(self, places: Sequence[Place]) -> list[str]:
        """Say nothing: AMQP tells of no property of a queue."""
        del places
        return []

    async def close(self) -> None:
        """Close sources, sink and connections; never raises, never hangs."""
        for source in self._sources:
            await source.close()
        await self._sink.close()
        await self._link.close()


def _queue(address: AddressPlan, options: object) -> str:
    """Name the queue of an address: its channel, but where that is a binding key."""
    if address.channel is None:
        reason = "a queue has a name: RabbitMQ has no patterns"
        raise BrokerError(Failure(FailureClass.CONFIGURATION, reason))
    named = options.queue if isinstance(options, SourceOptions) else None
    return named or address.channel
