"""The gateway: runs every source of a config, each by itself, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from gateway_lab.brokers.contract import Broker, Sink, Source
from gateway_lab.brokers.registry import connect
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ConfigError, GatewayLabError
from gateway_lab.gateway.batching.batcher import Batcher
from gateway_lab.gateway.batching.opening import open_batching
from gateway_lab.gateway.connections import Connections
from gateway_lab.gateway.counters import Counters, State, Stats
from gateway_lab.gateway.handlers.handlers import TIMEOUT_S, F, Handlers
from gateway_lab.gateway.handlers.handling import send
from gateway_lab.gateway.log_lines import place_of
from gateway_lab.gateway.means import Means
from gateway_lab.gateway.pump import Pump
from gateway_lab.gateway.telemetry.telemetry import Telemetry
from gateway_lab.gateway.telemetry.watch import Watch
from gateway_lab.gateway.version import Version

if TYPE_CHECKING:
    from fast_depends import Provider

    from gateway_lab.gateway.app.app import GatewayApp
    from gateway_lab.gateway.app.beside import Beside
    from gateway_lab.gateway.handlers.chain import MakeMiddleware

_LOG: Final = logging.getLogger("gateway_lab.gateway")

PREPARE_S: Final = 15.0
"""How long a reload waits for brokers that only the new config needs."""

Wrap: TypeAlias = Callable[[str, Source], Source]


class Gateway:
    """Reads, decides and delivers what a config says, at least once.

        async with Gateway(gl.read_config("routes.yaml")) as gateway:
            await gateway.wait()

    Each source runs by itself: it starts when the brokers that it needs are there, and stops by
    itself when it cannot go on; see `stats().sources`. A message is settled only when each of its
    deliveries is confirmed, so whatever ends this process, nothing is lost.

    Attributes:
        handlers: What is registered; another gateway that has the same runs the same code.
        telemetry: Where spans and metrics go; to be replaced before the start.
    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        environ: Mapping[str, str] = os.environ,
        create_channels: bool = False,
        member: str = "",
        wrap: Wrap = lambda _, source: source,
        middlewares: Sequence[MakeMiddleware] = (),
    ) -> None:
        """Compile a config.

        Args:
            config: What to run.
            environ: Where the addresses of the brokers are, GATEWAY_BROKER_<ALIAS>_URL.
            create_channels: Whether to create channels that are missing: at the start, and those
                whose names messages choose when the first one comes.
            member: Names this process among those that run this config: the same at each of its
                starts, and no other's. A process that was killed and comes again under its name
                has its partitions back at once. Empty: it has no name that lasts.
            wrap: Given the name of a source and what was opened for it, returns what is read
                instead, such as one that records.
            middlewares: Subclasses of FastStream's BaseMiddleware, the first outermost: around
                every message, with a handler or without.

        Raises:
            ConfigError: The config has an error, or needs what does not run live.
            MissingExtraError: FastStream is not installed, and there are middlewares.
        """
        self._version = Version.of(config)
        self._wrap = wrap
        self.handlers, self.telemetry = Handlers(middlewares), Telemetry()
        self._counters = {name: Counters(name) for name in self._version.plan.sources}

        def connection(alias: str) -> Broker:
            protocol = config.brokers[alias]
            return connect(alias, protocol, environ, gateway=config.name, member=member)

        def batching(
            version: Version, counters: Counters, watch: Watch
        ) -> AbstractContextManager[Batcher | None]:
            """Hold the addresses where no repr shows them."""
            return open_batching(
                version.config, version.plan, counters, environ, watch, creates=create_channels
            )

        def broker_at(alias: str, options: dict[str, Any]) -> Beside:
            from gateway_lab.gateway.app.brokers import broker_at as made  # noqa: PLC0415

            return made(config, alias, environ, options)

        self._broker_at = broker_at
        self._connections = Connections(connection, creates=create_channels)
        self._batching = batching
        self._pumps: dict[str, Pump] = {}
        self._watches: dict[str, Watch] = {}
        self._sources: dict[str, list[Source]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._reloading = asyncio.Lock()
        self._is_stopping = False
        self._refused = ""

    @property
    def config(self) -> GatewayConfig:
        """The config that decides now."""
        return self._version.config

    def handler(self, *sources: str, timeout: float = TIMEOUT_S) -> Callable[[F], F]:
        """Return a decorator: the function handles the messages of these sources.

            @gateway.handler("users")
            async def create(user: User, store: Annotated[Store, Depends(store)]) -> User: ...

        What it returns goes to the routers; None ends the message. See docs/handlers.md.

        Args:
            sources: Sources that declare a handler; of any brokers.
            timeout: Seconds that one try may take.

        Raises:
            ConfigError: A source is unknown or has a handler already.
            MissingExtraError: FastStream is not installed.
        """
        return self.handlers.register(self.config.sources, sources, timeout)

    async def send(self, target: str, event: object) -> None:
        """Add a delivery to those of the message that is handled here.

        It is sent when the handler has ended well, and the message is settled only when it is
        confirmed, too. A router on the source must name the target.

        Raises:
            GatewayLabError: No handler runs here, or the event cannot go to that target.
        """
        send(target, event)

    @cached_property
    def app(self) -> GatewayApp:
        """The gateway as an application of FastStream: `faststream run module:gateway.app`.

        Its hooks run around the gateway's start and stop; see docs/faststream.md.

        Raises:
            MissingExtraError: FastStream is not installed.
        """
        context, provider = self.handlers.context, self.handlers.provider
        from gateway_lab.gateway.app.app import GatewayApp  # noqa: PLC0415 - loads FastStream

        return GatewayApp(self, context=context, provider=provider)

    def faststream_broker(self, alias: str, **options: Any) -> Any:
        """Return a broker of FastStream at an alias's address, for subscribers beside the gateway.

        `app` starts and stops it in a task of its own. What its subscribers do, and what is
        published on it, is outside of what the gateway promises.

        Args:
            alias: A broker of the config; made anew at each call.
            options: Of FastStream's broker, such as `middlewares`.

        Raises:
            ConfigError: There is no such alias, or FastStream has no such broker.
            MissingExtraError: FastStream or its client is not installed.
        """
        return self.app.put_beside(self._broker_at(alias, options))

    @property
    def dependencies(self) -> Provider:
        """Where tests override dependencies: `gateway.dependencies.override(store, fake)`."""
        return self.handlers.provider

    async def __aenter__(self) -> Self:
        """Start; see `start`."""
        await self.start()
        return self

    async def start(self) -> None:
        """Start every source that a router or batch reads; once, and `stop` is to be called in the end.

        Raises:
            BrokerError: The environment lacks an address, or it cannot be read.
            MissingExtraError: The client library of a broker is not installed.
            ConfigError: The handlers declared and those registered differ.
        """
        self.handlers.agree(self.config)
        for name in self._counters.keys() - self._version.reaches.keys():
            self._counters[name].state = State.IDLE
        self._watch = self.telemetry.begin(self.config.name, self.stats)
        self._connections.open(self._version.brokers)
        for name in self._version.reaches:
            self._running[name] = asyncio.create_task(self._run(name))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop cleanly."""
        await self.stop()

    async def wait(self) -> None:
        """Wait until no source runs any more: all were stopped, or stopped by themselves."""
        while running := [task for task in self._running.values() if not task.done()]:
            await asyncio.wait(running)

    async def stop(self, *, now: bool = False) -> None:
        """Read nothing more, finish what is in flight within 20 seconds, and close everything.

        What is not finished comes again at the next start. Calling it again with `now` ends the
        waiting.
        """
        self._is_stopping = True
        for name in self._running:
            if name in self._pumps:
                self._pumps[name].stop(now=now)
            else:
                self._give_up_waiting(name)
        await self.wait()
        await self._connections.close()

    def stats(self) -> Stats:
        """Return the books as they are now."""
        for name, sources in self._sources.items():
            self._counters[name].lost = sum(each.lost for each in sources)
        each, plan = self._counters.values(), self._version.plan
        return Stats(
            sources=tuple(counters.source_stats() for counters in each),
            routers=tuple(
                counters.router_stats(router)
                for counters in each
                for router in plan.sources[counters.source].routers
            ),
            ways=tuple(way for counters in each for way in counters.way_stats()),
            digest=self.config.digest,
            refused=self._refused,
        )

    # --- reload ---

    async def reload(self, config: GatewayConfig) -> None:
        """Decide by another config from the next batch on; sources that are red start again.

        Routers, routes, targets, retries, dead letters and settings may differ. What was read
        keeps the config that it was read under, to the last of its deliveries and dead letters.

        Raises:
            GatewayLabError: It cannot be taken over: it has an error, changes what needs a
                restart, or lacks a channel. Nothing is changed; the stats say why.
        """
        async with self._reloading:
            try:
                version = await self.prepare(config)
            except GatewayLabError as error:
                self.refuse(str(error))
                raise
            self.take_over(version)

    async def prepare(self, config: GatewayConfig) -> Version:
        """Do all of `reload` that can fail, and change nothing.

        Raises:
            GatewayLabError: As `reload`.
        """
        version = await asyncio.to_thread(self._version.successor, config)
        self.handlers.agree(config)
        self._connections.open(version.brokers)
        try:
            async with asyncio.timeout(PREPARE_S):
                for name, reach in version.reaches.items():
                    new = reach.beyond(self._version.reaches[name])
                    await self._connections.ready(new.brokers)
                    await self._connections.require(new.places, f"source {name}")
        except TimeoutError:
            hint = "try again when all brokers are there that the new config needs"
            raise ConfigError("a broker is away: nobody can look for channels", hint=hint) from None
        return version

    def take_over(self, version: Version) -> None:
        """Decide by a version that was prepared; only ever between two batches."""
        if self._is_stopping:
            return
        self._version, self._refused = version, ""
        for name in version.reaches:
            if name in self._pumps:
                sinks, means = self._parts(name, version)
                self._pumps[name].change(version.plan.sources[name], means, sinks)
                if batching := self._pumps[name].batching:
                    batching.change(version.config, version.plan, sinks)
            else:
                self._give_up_waiting(name)
                self._running[name] = asyncio.create_task(self._run(name, self._running[name]))
        _LOG.info("the config is %s now", version.config.digest[:12])

    def refuse(self, reason: str) -> None:
        """Note why there was no reload; what runs goes on."""
        self._refused = reason
        _LOG.error("the new config is refused, the old one goes on", extra={"reason": reason})

    # --- one source ---

    async def _run(self, name: str, before: asyncio.Task[None] | None = None) -> None:
        """Run a source from its start to its end; nothing that happens to it reaches others."""
        if before:
            await asyncio.wait([before])
        try:
            await self._start(name)
        except asyncio.CancelledError:
            self._change(name, State.STOPPED)
        except GatewayLabError as error:
            self._change(name, State.RED, str(error))
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - others go on, whatever it is
            # The text of a foreign error may hold parts of messages.
            self._change(name, State.RED, f"a defect of gateway_lab: {place_of(error)}")
        else:
            self._change(name, State.STOPPED)

    def _give_up_waiting(self, name: str) -> None:
        if self._counters[name].state is State.WAITING:
            self._running[name].cancel()

    async def _start(self, name: str) -> None:
        if self._is_stopping:
            return
        reach = self._version.reaches[name]
        self._change(name, State.WAITING)
        await self._connections.ready(
            reach.brokers, lambda alias: self._change(name, State.WAITING, f"for broker {alias}")
        )
        await self._connections.require(reach.places, f"source {name}")
        sources = self._sources[name] = []
        watch = self._watches[name] = self._watch(name, self._version.plan)
        try:
            for each in reach.readings:
                source = await self._connections.source(name, each)
                sources.append(self._wrap(name, watch.source(source)))
            await self._pump(name, sources)
        finally:
            self._pumps.pop(name, None)
            await asyncio.gather(*(each.close() for each in sources))
            self._counters[name].give_back()

    async def _pump(self, name: str, sources: list[Source]) -> None:
        """Move messages by the version of this moment: it may have changed since the start."""
        version = self._version
        source = version.plan.sources[name]
        counters = self._counters[name]
        sinks, means = self._parts(name, version)
        with self._batching(version, counters, self._watches[name]) as batching:
            pump = Pump(source, means, counters, batching)
            self._pumps[name] = pump
            self._change(name, State.RUNNING)
            await pump.run(sources, sinks, self._connections.create)

    def _parts(self, name: str, version: Version) -> tuple[Mapping[str, Sink], Means]:
        """Return what a source sends to and decides by, as it is watched."""
        watch, sinks = self._watches[name], self._connections.sinks(version.reaches[name].writes)
        means = watch.means(version.means(name, self.handlers), version.plan)
        return watch.sinks(sinks), means

    def _change(self, name: str, state: State, reason: str = "") -> None:
        counters = self._counters[name]
        if (counters.state, counters.reason) == (state, reason) and state is not State.WAITING:
            return
        counters.state, counters.reason = state, reason
        level = logging.ERROR if state is State.RED else logging.INFO
        _LOG.log(level, "source %s is %s", name, state, extra={"source": name, "reason": reason})
