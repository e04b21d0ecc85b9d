"""RabbitMQ: queues to read from, routing keys to write to, over aiormq.

    rabbitmq_frames.py   the frames of every message
    rabbitmq_link.py     a connection that is made again, and what errors mean
    rabbitmq_source.py   reading and settling
    rabbitmq_sink.py     publishing with confirms

A broker has one connection to publish and to ask on, and one for each source: a server that takes
no messages now stops reading a connection that publishes, and acknowledgements on it would wait.
"""

from __future__ import annotations

from collections.abc import Sequence

import aiormq

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.rabbitmq_link import Link, ask
from gateway_lab.brokers.rabbitmq_sink import RabbitmqSink
from gateway_lab.brokers.rabbitmq_source import LEASE_S, WINDOW, RabbitmqSource
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
        source = RabbitmqSource(link, queues, window=self._window, lease_s=self._lease_s)
        try:
            await source.open()
        except BaseException:
            await source.close()
            raise
        self._sources.append(source)
        return source

    def sink(self) -> RabbitmqSink:
        """Return the one sink of this connection."""
        return self._sink

    async def missing(self, channels: Sequence[str], *, readable: bool) -> list[str]:
        """Name those that are not queues; looking creates nothing."""
        del readable  # to read from or to write to: a queue is what has to be there
        return [each for each in channels if not await self._is_there(each)]

    async def _is_there(self, queue: str) -> bool:
        try:
            await self._declare(queue, passive=True)
        except aiormq.ChannelNotFoundEntity:
            return False
        except aiormq.ChannelLockedResource:
            return True
        except aiormq.AMQPChannelError as error:
            raise self._link.refused(error, queue) from None
        return True

    async def create(self, channels: Sequence[str]) -> None:
        """Create durable quorum queues; one that is there is left as it is."""
        for queue in await self.missing(channels, readable=True):
            try:
                await self._declare(queue, passive=False)
            except aiormq.AMQPChannelError as error:
                raise self._link.refused(error, queue) from None

    async def _declare(self, queue: str, *, passive: bool) -> None:
        """Declare on a channel of its own: the server closes it to say no."""

        async def declare() -> None:
            async with self._link.brief_channel() as channel:
                await ask(
                    channel.queue_declare(
                        queue, passive=passive, durable=True, arguments={"x-queue-type": "quorum"}
                    )
                )

        await self._link.patiently(declare)

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
