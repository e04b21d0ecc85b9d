"""Bare clients of the brokers: they write and read what a test holds against each other.

They share no code with the connectors, and each call that looks at a broker is on its own: a
server may have been killed since the last one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from gateway_lab.testing.server_process import Server
from tests.live.bare_kafka import BareKafka
from tests.live.bare_nats import BareNats
from tests.live.bare_rabbitmq import BareRabbitmq
from tests.live.bare_redis import BareRedis
from tests.live.script import Record

LIMIT_S = 40.0


class Bare(Protocol):
    """A client of one server."""

    def create(self, channels: Sequence[str]) -> None:
        """Make channels, durable; on NATS, one stream of all of them."""

    def publish(self, channel: str, records: Iterable[tuple[int, Record]]) -> list[int]:
        """Store messages in order, and return the numbers of those that the broker confirmed."""

    def drain(self, channel: str) -> Iterator[Record]:
        """Give everything that lies in a channel; from a queue of RabbitMQ it is taken out."""

    def lag(self, channel: str, group: str) -> int:
        """Return how much of a channel a group has not finished.

        RabbitMQ tells only what it has handed to nobody; see `is_held`.
        """

    def is_held(self, channel: str) -> bool:
        """Say whether somebody holds messages that `lag` does not count."""


BARE: Mapping[str, Callable[[str], Bare]] = MappingProxyType(
    {"kafka": BareKafka, "rabbitmq": BareRabbitmq, "nats": BareNats, "redis": BareRedis}
)
"""Protocol to client, made with the server's address."""


def bare(server: Server) -> Bare:
    """Return a client of a server."""
    return BARE[server.protocol](server.url)


def wait_until(is_so: Callable[[], bool], what: str, *, limit_s: float = LIMIT_S) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come true in time.
    """
    end = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit_s:.0f} s for this: {what}")
        time.sleep(0.05)
