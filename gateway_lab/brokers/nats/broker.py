"""NATS: subjects in JetStream streams; core NATS where a config declares at-most-once.

Key and time travel in the headers `x-gw-key` and `x-gw-timestamp`. `Nats-Msg-Id` holds the id of
the delivery, its time and subject, so that a stream drops what it has stored already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from gateway_lab.brokers.contract import BrokerError, Browser, Failure, FailureClass, Place, Source
from gateway_lab.brokers.looking import Listener
from gateway_lab.brokers.nats.browser import NatsBrowser
from gateway_lab.brokers.nats.core import NatsCoreSource
from gateway_lab.brokers.nats.link import Link
from gateway_lab.brokers.nats.sink import NatsSink
from gateway_lab.brokers.nats.source import Consumer, NatsSource
from gateway_lab.brokers.nats.streams import create, is_there, risks, safe_name, streams_of
from gateway_lab.config.plan import AddressPlan
from gateway_lab.protocols.nats import SourceOptions

LEASE_S: Final = 30.0
"""How long JetStream waits for a sign of life before it gives a message to another member."""


class NatsBroker:
    """One NATS server or cluster.

    Attributes:
        alias: As the config names it.
        protocol: `nats`.
    """

    protocol = "nats"

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
            url: `nats://[user:password@ or token@]host[:port]`, `tls://` to insist on TLS; more
                servers of the cluster behind commas.
            lease_s: After this much silence a message is given to another member.
            gateway: Begins the names of durable consumers that no option names.
            member: Not needed: members of a durable consumer have no names.
        """
        del member
        self.alias, self._gateway = alias, gateway
        self._link = Link(alias, url)
        self._sink = NatsSink(self._link)
        self._sources: list[NatsSource | NatsCoreSource] = []
        self._lease_s = lease_s

    async def open(self) -> None:
        """Connect, waiting as long as the broker is away; see the contract."""
        await self._link.connected()

    async def source(self, name: str, addresses: Sequence[AddressPlan], options: object) -> Source:
        """Open a source; its durable consumer is made if it is not there yet."""
        options = options if isinstance(options, SourceOptions) else SourceOptions()
        subjects = [each.channel or each.pattern or "" for each in addresses]
        durable = options.durable or safe_name("-".join(filter(None, (self._gateway, name))))
        source: NatsSource | NatsCoreSource
        if options.delivery == "at_most_once":
            source = NatsCoreSource(self._link, subjects, durable)
        else:
            streams = await self._streams_of(subjects, options.stream)
            consumers = [Consumer(each, durable, subjects) for each, subjects in streams.items()]
            source = NatsSource(self._link, consumers, self._lease_s)
        self._sources.append(source)
        await source.open()
        return source

    async def browser(
        self, addresses: Sequence[AddressPlan], options: object, *, from_start: bool = True
    ) -> Browser:
        """Look through streams; what is published at most once is heard from now on."""
        options = options if isinstance(options, SourceOptions) else SourceOptions()
        subjects = [each.channel or each.pattern or "" for each in addresses]
        if options.delivery == "at_most_once":
            source = NatsCoreSource(self._link, subjects, group="")
            await source.open()
            return Listener(source)
        streams = await self._streams_of(subjects, options.stream)
        browser = NatsBrowser(self._link, streams, from_start=from_start)
        await browser.open()
        return browser

    async def _streams_of(
        self, subjects: Sequence[str], stream: str | None
    ) -> dict[str, list[str]]:
        """Return stream to those of the subjects that it has."""
        streams: dict[str, list[str]] = {}
        for subject in subjects:
            streams.setdefault(await self._stream_of(subject, stream), []).append(subject)
        return streams

    async def _stream_of(self, subject: str, stream: str | None) -> str:
        names = await self._link.insist(partial(streams_of, subject))
        if stream is None and names:
            return names[0]
        if stream is not None and stream in names:
            return stream
        where = f"the stream {stream!r} has not" if stream else "there is no stream with"
        failure = Failure(FailureClass.CONFIGURATION, f"{where} the subject {subject!r}")
        hint = "create it, or run with --create-channels"
        raise BrokerError(failure, where=self.alias, hint=hint)

    def sink(self) -> NatsSink:
        """Return the one sink of this connection."""
        return self._sink

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """Return those whose subject no stream has, or not the stream that they name."""
        return [place for place in places if not await self._link.insist(partial(is_there, place))]

    async def create(self, places: Sequence[Place]) -> None:
        """Create streams; see `streams.create`."""
        for place in await self.missing(places):
            await self._link.insist(partial(create, place))

    async def risks(self, places: Sequence[Place]) -> list[str]:
        """Say which streams drop messages by themselves, or keep them in one place."""
        found: set[str] = set()
        for place in places:
            with suppress(BrokerError):  # the right to ask may be missing
                found.update(await self._link.insist(partial(risks, place)))
        return sorted(found)

    async def close(self) -> None:
        """Close sources, sink and connection."""
        await asyncio.gather(*[source.close() for source in self._sources])
        self._sources.clear()
        await self._sink.close()
        await self._link.close()

    def __repr__(self) -> str:
        return f"<NatsBroker {self.alias}>"
