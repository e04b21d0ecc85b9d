"""Redis: streams with consumer groups; pub/sub and lists where a config declares at-most-once.

An entry holds `body` and one field a header; key and time travel in `x-gw-key` and
`x-gw-timestamp`. An entry of somebody else without `body` is read as a tombstone.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from redis import exceptions as errors

from gateway_lab.brokers.contract import (
    BrokerError,
    Browser,
    Failure,
    FailureClass,
    Place,
    Sink,
    Source,
)
from gateway_lab.brokers.looking import Listener
from gateway_lab.brokers.names import group_name
from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.redis.browser import RedisBrowser
from gateway_lab.brokers.redis.line import Line, LostError, Reply, failure_of, make_pool, pack
from gateway_lab.brokers.redis.list import RedisListSource
from gateway_lab.brokers.redis.pubsub import RedisPubSubSource
from gateway_lab.brokers.redis.sink import RedisSink
from gateway_lab.brokers.redis.source import RedisSource
from gateway_lab.config.plan import AddressPlan
from gateway_lab.protocols.redis import SourceOptions, TargetOptions

LEASE_S: Final = 30.0
"""How long another member waits for one that is silent before it takes its messages."""


class RedisBroker:
    """One Redis server, or the primary of a replicated one.

    Attributes:
        alias: As the config names it.
        protocol: `redis`.
    """

    protocol = "redis"

    def __init__(
        self,
        alias: str,
        url: str,
        *,
        lease_s: float = LEASE_S,
        gateway: str = "",
        member: str = "",
    ) -> None:
        """Name a server; nothing is connected yet.

        Args:
            alias: As the config names it.
            url: `redis://[user:password@]host[:port][/database]`, `rediss://` with TLS.
            lease_s: After this much silence of a member, others take over what it holds.
            gateway: Begins the names of groups that no option names.
            member: Begins its names in consumer groups, for a process that is started again under
                the same name: it finds what it held at once. No two may use it at the same time.
                Empty: a name that nothing else has.
        """
        self.alias = alias
        self._pool = make_pool(alias, url)
        self._line = Line(self._pool)
        self._sink = RedisSink(self._line)
        self._sources: list[_Closeable] = []
        self._lease_s, self._gateway = lease_s, gateway
        self._member = member or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    async def open(self) -> None:
        """Connect, waiting as long as the broker is away; see the contract."""
        for pause in pauses():
            try:
                await self._line.call(b"PING")
            except LostError as lost:
                _raise_configuration(lost.failure)
            except errors.ResponseError as error:
                _raise_configuration(failure_of(error))
            else:
                await self._learn_limits()
                return
            await asyncio.sleep(pause)

    async def _learn_limits(self) -> None:
        """Ask for the longest word that the server takes; past it, it hangs up."""
        with suppress(errors.ResponseError, LostError):  # CONFIG may be forbidden
            self._sink.longest_bytes = int(await self._setting("proto-max-bulk-len"))

    async def source(self, name: str, addresses: Sequence[AddressPlan], options: object) -> Source:
        """Open a source; its group is made at the start of the stream if it is not there yet."""
        options = options if isinstance(options, SourceOptions) else SourceOptions()
        channels = [each.channel for each in addresses if each.channel is not None]
        source: RedisListSource | RedisPubSubSource | RedisSource
        if options.transport == "list":
            source = RedisListSource(self.alias, channels, self._pool)
        elif options.delivery == "at_most_once":
            source = RedisPubSubSource(self.alias, channels, self._pool)
        else:
            source = RedisSource(
                self.alias,
                channels,
                self._pool,
                group=options.group or group_name(self._gateway, name),
                member=f"{self._member}.{self.alias}.{name}",
                lease_s=self._lease_s,
            )
        self._sources.append(source)
        try:
            await source.open()
        except BaseException:
            await source.close()
            raise
        return source

    async def browser(
        self, addresses: Sequence[AddressPlan], options: object, *, from_start: bool = True
    ) -> Browser:
        """Look through streams; what is published at most once is heard from now on."""
        channels = [each.channel for each in addresses if each.channel is not None]
        if isinstance(options, SourceOptions) and options.delivery == "at_most_once":
            source = RedisPubSubSource(self.alias, channels, self._pool)
            await source.open()
            return Listener(source)
        browser = RedisBrowser(self.alias, channels, self._pool)
        try:
            await browser.open(from_start=from_start)
        except BaseException:
            await browser.close()
            raise
        return browser

    def sink(self) -> Sink:
        """Return the one sink of this connection."""
        return self._sink

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """Return those that hold no stream; looking creates nothing, and pub/sub needs none."""
        wanted = [each for each in places if _is_stream(each)]
        types = await self._ask([pack(b"TYPE", each.channel.encode()) for each in wanted])
        return [each for each, kind in zip(wanted, types, strict=True) if kind != b"stream"]

    async def create(self, places: Sequence[Place]) -> None:
        """Create empty streams; one that is there stays as it is."""
        for place in await self.missing(places):
            name = place.channel.encode()
            group = b"XGROUP", b"CREATE", name, b"gateway-lab-create", b"$", b"MKSTREAM"
            away = b"XGROUP", b"DESTROY", name, b"gateway-lab-create"
            await self._ask([pack(b"MULTI"), pack(*group), pack(*away), pack(b"EXEC")])

    async def risks(self, places: Sequence[Place]) -> list[str]:
        """Say whether the server evicts streams, or keeps them in memory only."""
        if not any(_is_stream(each) for each in places):
            return []
        try:
            policy, append = [
                await self._setting(each) for each in ("maxmemory-policy", "appendonly")
            ]
        except (errors.ResponseError, LostError):  # CONFIG may be forbidden
            return []
        found = []
        if policy != "noeviction":
            found.append(f"maxmemory-policy is {policy}: a full server deletes streams")
        if append == "no":
            found.append(
                "appendonly is no: a server that ends forgets what came since it last saved"
            )
        return found

    async def _setting(self, name: str) -> str:
        _, value = await self._line.call(b"CONFIG", b"GET", name.encode())
        return str(value.decode())

    async def _ask(self, commands: Sequence[bytes]) -> list[Reply]:
        """Send commands again until there are replies.

        Raises:
            BrokerError: One of the replies is an error, or the broker refuses us.
        """
        for pause in pauses():
            try:
                replies = await self._line.exchange(b"".join(commands), len(commands))
            except LostError as lost:
                _raise_configuration(lost.failure)
                await asyncio.sleep(pause)
                continue
            for reply in replies:
                if isinstance(reply, errors.ResponseError):
                    raise BrokerError(failure_of(reply)) from None
            return replies
        raise AssertionError  # pauses never end

    async def close(self) -> None:
        """Close sources, sink and connection."""
        await asyncio.gather(*[source.close() for source in self._sources])
        self._sources.clear()
        await self._sink.close()
        await self._line.close()

    def __repr__(self) -> str:
        return f"<RedisBroker {self.alias}>"


class _Closeable(Protocol):
    async def close(self) -> None: ...


def _raise_configuration(failure: Failure) -> None:
    if failure.failure_class is FailureClass.CONFIGURATION:
        raise BrokerError(failure) from None


def _is_stream(place: Place) -> bool:
    options = place.options
    if isinstance(options, SourceOptions | TargetOptions):
        return options.delivery == "at_least_once"
    return True
