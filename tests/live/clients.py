"""Clients of the four servers that see whole messages: to publish what a gateway reads, and to
read what it wrote.

They know nothing of connectors: what both got wrong in the same way would not be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, Self

from gateway_lab.messages.message import Message
from tests.live.client_kafka import KafkaClient
from tests.live.client_messages import Fetched
from tests.live.client_nats import NatsClient
from tests.live.client_rabbitmq import RabbitmqClient
from tests.live.client_redis import RedisClient


class Client(Protocol):
    """What each of them can do."""

    async def create(self, channels: Iterable[str]) -> None:
        """Create channels as durable as the server has them."""

    async def delete(self, channels: Iterable[str]) -> None:
        """Delete channels that are there, and all they hold."""

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        """Store messages, those of a key in their order, and wait until all are confirmed."""

    async def count(self, channel: str) -> int:
        """Count what a channel holds."""

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        """Return all that channels hold now, in order; from RabbitMQ's they are taken out."""

    async def left(self, group: str, channel: str) -> int:
        """Count what a group has not settled: everything, if it has not begun.

        Of what nobody has read in Redis, a page is counted at most: its own number is not to be
        had, or wrong, once it has been restarted. RabbitMQ tells only what is handed to nobody.
        """

    async def is_held(self, channel: str) -> bool:
        """Say whether somebody holds messages that `left` does not count."""


class Connected(Client, Protocol):
    """A client that is connected while it is entered."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


CLIENTS: Mapping[str, Callable[[str], Connected]] = {
    "kafka": KafkaClient,
    "rabbitmq": RabbitmqClient,
    "nats": NatsClient,
    "redis": RedisClient,
}
"""Protocol to client, made with the server's address."""


class Fresh:
    """A client that connects anew for each call: servers stop and start in between.

    Args:
        make: Makes the client; left out: the usual one of the protocol.
    """

    def __init__(
        self, protocol: str, url: str, make: Callable[[], Connected] | None = None
    ) -> None:
        self._client = make or partial(CLIENTS[protocol], url)

    async def create(self, channels: Iterable[str]) -> None:
        async with self._client() as client:
            await client.create(channels)

    async def delete(self, channels: Iterable[str]) -> None:
        async with self._client() as client:
            await client.delete(channels)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        async with self._client() as client:
            await client.publish(channel, messages)

    async def count(self, channel: str) -> int:
        async with self._client() as client:
            return await client.count(channel)

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        async with self._client() as client:
            return await client.fetch(channels)

    async def left(self, group: str, channel: str) -> int:
        async with self._client() as client:
            return await client.left(group, channel)

    async def is_held(self, channel: str) -> bool:
        async with self._client() as client:
            return await client.is_held(channel)
