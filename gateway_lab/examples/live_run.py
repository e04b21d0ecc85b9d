"""A gateway at work: what is published for it, and what arrives behind it, read from the brokers.

async with LiveRun(gateway, stage, {"work": ["create_user"]}) as run:
await run.publish("stream", "user-events", [message(event)])
show(await run.arrived())
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final, Self
from uuid import uuid4

import gateway_lab as gl
from gateway_lab.brokers.contract import Broker, Outgoing, Place, Source
from gateway_lab.brokers.registry import connect
from gateway_lab.config.model import Protocol
from gateway_lab.config.plan import AddressPlan
from gateway_lab.errors import GatewayLabError
from gateway_lab.examples.stage import Stage
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Wrap
from gateway_lab.gateway.handlers.handling import encode
from gateway_lab.protocols.registry import PROTOCOLS

LIMIT_S: Final = 60.0
"""How long anything may take: a server of a busy machine needs a while for its first message."""

_TICK_S: Final = 0.02
_READ_LIMIT: Final = 500
_GONE: Final = frozenset({State.RED, State.STOPPED})


def message(event: object, *, key: str | None = None, **headers: str) -> gl.Message:
    """Write a message as a producer does: of now, with an event as its body.

    Args:
        event: A pydantic model, what JSON can hold, or bytes as they are.
        key: As text.
        headers: As text; `x_request_id` stands for `x-request-id`.
    """
    now = _now()
    return gl.Message(
        body=encode(event),
        key=None if key is None else key.encode(),
        headers=tuple((name.replace("_", "-"), text.encode()) for name, text in headers.items()),
        timestamp=now,
        received=now,
    )


class LiveRun:
    """Runs the handlers of a gateway on a stage, and sees what arrives in some channels."""

    def __init__(
        self,
        gateway: gl.Gateway,
        stage: Stage,
        looks: Mapping[str, Sequence[str]],
        *,
        wrap: Wrap = lambda _, source: source,
    ) -> None:
        """Prepare it.

        Args:
            gateway: Whose config and handlers run; it need not run itself.
            stage: Where.
            looks: Alias to every channel that something may be sent to.
            wrap: As of `gl.Gateway`.
        """
        config = gateway.config
        self._gateway = gl.Gateway(config, environ=stage.environ, create_channels=True, wrap=wrap)
        self._gateway.handlers, self._gateway.telemetry = gateway.handlers, gateway.telemetry
        self._looks, self._environ = looks, stage.environ
        self._brokers = {
            alias: connect(alias, protocol, stage.environ, gateway=f"{config.name}-example")
            for alias, protocol in config.brokers.items()
        }
        self._published = 0
        self._arrived: list[gl.Message] = []
        self._readers: list[asyncio.Task[None]] = []
        self._begun = _now()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect, make the channels, and start the gateway."""
        try:
            await self._begin()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the gateway; what it has read is finished."""
        await self._open.aclose()

    async def publish(self, alias: str, channel: str, messages: Iterable[gl.Message]) -> None:
        """Send messages as any producer could, and wait until the broker has confirmed them.

        Raises:
            GatewayLabError: It did not confirm one of them.
        """
        batch = [_outgoing(each, channel) for each in messages]
        answers = await self._brokers[alias].sink().send(batch)
        if refused := [each.reason for each in answers if each]:
            raise GatewayLabError(f"not published: {refused[0]}", where=f"{alias}, {channel}")
        self._published += len(batch)

    async def redrive(self, wish: gl.Wish) -> gl.Redriven:
        """Send dead letters again, to where a gateway that runs reads them; see `gl.redrive`."""
        done = await gl.redrive(self._gateway.config, wish, self._environ)
        self._published += done.delivered
        return done

    async def arrived(self) -> list[gl.Message]:
        """Return what has arrived by now, once all is done that follows from what was published.

        The count is that of the gateway's books, the messages are those of the brokers.

        Raises:
            GatewayLabError: A source stopped, or it takes longer than a minute.
        """
        await self._until(lambda: self._settled >= self._published, "settled")
        await self._until(lambda: len(self._arrived) >= self._delivered, "arrived")
        return sorted(self._arrived, key=lambda each: (each.broker, each.channel))

    async def _begin(self) -> None:
        for alias, broker in self._brokers.items():
            self._open.push_async_callback(broker.close)
            await broker.open()
            channels = self._looks.get(alias, ())
            await broker.create([Place(each) for each in channels])
            if channels:
                await self._look(broker, self._gateway.config.brokers[alias], channels)
        await self._open.enter_async_context(self._gateway)
        await self._until(
            lambda: all(each.state is State.RUNNING for each in self._gateway.stats().sources),
            "running",
        )

    async def _look(self, broker: Broker, protocol: Protocol, channels: Sequence[str]) -> None:
        """Read what comes from now on, beside everything else."""
        plans = [
            AddressPlan(broker=broker.alias, protocol=protocol, channel=each, pattern=None)
            for each in channels
        ]
        options = PROTOCOLS[protocol].source_options()
        if protocol == "rabbitmq":  # its queues cannot be looked through: this is a consumer
            reading = self._take(await broker.source("example", plans, options))
        else:
            browser = await broker.browser(plans, options, from_start=False)
            self._open.push_async_callback(browser.close)
            reading = self._watch(browser.read)
        reader = asyncio.create_task(reading)
        self._readers.append(reader)
        self._open.callback(reader.cancel)

    async def _watch(self, read: Callable[[int], Awaitable[list[gl.Message]]]) -> None:
        while True:
            self._arrived += await read(_READ_LIMIT)

    async def _take(self, source: Source) -> None:
        """Take our messages; those from before stay in their queue."""
        while True:
            batch = await source.read(_READ_LIMIT)
            pairs = zip(batch.messages, batch.handles, strict=True)
            ours = [(each, handle) for each, handle in pairs if self._is_ours(each)]
            await source.settle([handle for _, handle in ours])
            self._arrived += [each for each, _ in ours]

    def _is_ours(self, message: gl.Message) -> bool:
        return message.timestamp is not None and message.timestamp >= self._begun

    @property
    def _settled(self) -> int:
        return sum(each.settled for each in self._gateway.stats().sources)

    @property
    def _delivered(self) -> int:
        ways = self._gateway.stats().ways
        return sum(each.delivered + each.dead_lettered for each in ways)

    async def _until(self, is_so: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                while not is_so():
                    self._check()
                    await asyncio.sleep(_TICK_S)
        except TimeoutError:
            problem = f"not all is {what} after {LIMIT_S:g} s"
            each = ", ".join(
                f"{one.source} has read {one.read} and settled {one.settled}"
                for one in self._gateway.stats().sources
            )
            raise GatewayLabError(problem, hint=each) from None

    def _check(self) -> None:
        for each in self._gateway.stats().sources:
            if each.state in _GONE:
                raise GatewayLabError(f"the source {each.source} is {each.state}: {each.reason}")
        for reader in self._readers:
            if reader.done():
                reader.result()


def _now() -> datetime:
    """Return the time as Kafka keeps it, in whole milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1_000 * 1_000)


def _outgoing(message: gl.Message, channel: str) -> Outgoing:
    return Outgoing(
        channel=channel,
        key=message.key,
        headers=message.headers,
        body=message.body,
        timestamp=message.timestamp,
        id=uuid4().hex,
    )
