"""A gateway without servers, for unit tests of handlers and routes.

async with gl.GatewayTest(gateway) as test:
    await test.publish("users", {"user_id": 1, "username": "ann", "action": "create"})
    assert [each.body for each in test.fetch("queue", "user.created")] == [...]
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from itertools import count
from types import TracebackType
from typing import Final, Self

from gateway_lab.brokers.memory.server import MemoryServer, server_at
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.plan import SourcePlan
from gateway_lab.errors import ConfigError, GatewayLabError, did_you_mean
from gateway_lab.gateway.counters import SourceStats, State, Stats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.handlers.handling import encode
from gateway_lab.gateway.reach import letter_channel
from gateway_lab.messages.message import Message
from gateway_lab.routing.sample import make_message

WAIT_S: Final = 30.0
"""How long `publish` waits until all has been done that follows from a message."""

_NUMBERS: Final = count()


class GatewayTest:
    """Runs a gateway's config, handlers, middlewares and overrides on brokers in memory.

    Channels are there when they are needed. Every memory broker stands in for its protocol, with
    its rules for names. Batches store in the databases that the environment names. The gateway
    that is tested need not run.
    """

    def __init__(self, gateway: Gateway) -> None:
        """Prepare it.

        Args:
            gateway: The one that is tested; it stays as it is.
        """
        config, number = gateway.config, next(_NUMBERS)
        self._urls = {alias: f"memory://gateway-test-{number}-{alias}" for alias in config.brokers}
        brokers = {f"GATEWAY_BROKER_{alias.upper()}_URL": url for alias, url in self._urls.items()}
        self._gateway = Gateway(config, environ=os.environ | brokers, create_channels=True)
        self._gateway.handlers, self._gateway.telemetry = gateway.handlers, gateway.telemetry
        plan = compile_plan(config).plan
        self._sources = plan.sources if plan else {}

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            ConfigError: The handlers declared and those registered differ.
        """
        for alias, channel in self._channels():
            self._server(alias).create([channel])
        await self._gateway.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; nothing waits for tries that are not due."""
        await self._gateway.stop(now=True)

    async def publish(
        self,
        source: str,
        event: object,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        channel: str | None = None,
    ) -> None:
        """Give a source a message, and wait until all is done that follows from it.

        Args:
            source: A source that a router reads.
            event: A pydantic model, what JSON can hold, or bytes as they are.
            key: Of the message, as text.
            headers: Of the message, as text.
            channel: Where it comes from; left out: the source's first.

        Raises:
            GatewayLabError: There is no such source, or it cannot go on; the text says why.
        """
        message = make_message(
            self._plan_of(source), encode(event), key=key, headers=headers, channel=channel
        )
        settled = self._stats(source).settled
        server = self._server(message.broker)
        server.create([message.channel])
        server.publish(message.channel, [message])
        try:
            async with asyncio.timeout(WAIT_S):
                while self._stats(source).settled == settled:
                    self._check(source)
                    await asyncio.sleep(0.001)
        except TimeoutError:
            raise GatewayLabError(f"the message of {source} is not done in {WAIT_S:g} s") from None

    def fetch(self, broker: str, channel: str) -> list[Message]:
        """Return what is in a channel of a broker; nothing is in one that is not there."""
        if broker not in self._urls:
            hint = did_you_mean(broker, self._urls)
            raise ConfigError(f"there is no broker {broker!r}", hint=hint)
        server = self._server(broker)
        return server.fetch(channel) if channel in server.channels else []

    def letters(self, source: str) -> list[Message]:
        """Return the dead letters of a source; `x-gw-dlq-reason` says why."""
        letter = self._plan_of(source).dead_letter
        channel = letter and letter_channel(letter, source)
        return self.fetch(letter.broker, channel) if letter and channel else []

    def stats(self) -> Stats:
        """Return the books."""
        return self._gateway.stats()

    def _plan_of(self, source: str) -> SourcePlan:
        if source not in self._sources:
            hint = did_you_mean(source, self._sources)
            raise ConfigError(f"there is no source {source!r}", hint=hint)
        return self._sources[source]

    def _server(self, alias: str) -> MemoryServer:
        return server_at(self._urls[alias])

    def _channels(self) -> Iterator[tuple[str, str]]:
        """Give what sources read; the gateway creates what it writes."""
        for source in self._sources.values():
            for address in source.addresses:
                if address.channel is not None:
                    yield address.broker, address.channel

    def _stats(self, source: str) -> SourceStats:
        return next(each for each in self.stats().sources if each.source == source)

    def _check(self, source: str) -> None:
        stats = self._stats(source)
        if stats.state not in {State.WAITING, State.RUNNING}:
            raise GatewayLabError(f"the source {source} is {stats.state}: {stats.reason}")
