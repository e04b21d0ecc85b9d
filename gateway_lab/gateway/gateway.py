"""The gateway: runs every source of a config, each by itself, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self, TypeAlias

from gateway_lab.brokers.contract import Broker, BrokerError, Failure, FailureClass, Source
from gateway_lab.brokers.registry import connect
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan
from gateway_lab.errors import ConfigError, GatewayLabError
from gateway_lab.findings import Severity
from gateway_lab.gateway.counters import Counters, State, Stats
from gateway_lab.gateway.pump import Pump
from gateway_lab.gateway.reach import Reach, reach_of

_LOG: Final = logging.getLogger("gateway_lab.gateway")

Wrap: TypeAlias = Callable[[str, Source], Source]


class Gateway:
    """Reads, decides and delivers what a config says, at least once.

        async with Gateway(gl.read_config("routes.yaml")) as gateway:
            await gateway.wait()

    Each source runs by itself: it starts when the brokers that it needs are there, and stops by
    itself when it cannot go on; see `stats().sources`. A message is settled only when each of its
    deliveries is confirmed, so whatever ends this process, nothing is lost.
    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        environ: Mapping[str, str] = os.environ,
        create_channels: bool = False,
        member: str = "",
        wrap: Wrap = lambda _, source: source,
    ) -> None:
        """Compile a config.

        Args:
            config: What to run.
            environ: Where the addresses of the brokers are, GATEWAY_BROKER_<ALIAS>_URL.
            create_channels: Whether to create channels that are missing; names that depend on
                messages cannot be known before.
            member: Names this process among those that run this config: the same at each of its
                starts, and no other's. A process that was killed and comes again under its name
                has its partitions back at once. Empty: it has no name that lasts.
            wrap: Given the name of a source and what was opened for it, returns what is read
                instead, such as one that records.

        Raises:
            ConfigError: The config has an error, or needs what does not run live.
        """
        self.config = config
        self._environ, self._creates = environ, create_channels
        self._member, self._wrap = member, wrap
        self._plan = _compile(config)
        self._counters = {name: Counters(name) for name in self._plan.sources}
        self._brokers: dict[str, Broker] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._pumps: dict[str, Pump] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        """Start every source that a router reads.

        Raises:
            BrokerError: The environment lacks an address, or it cannot be read.
            MissingExtraError: The client library of a broker is not installed.
        """
        reaches = {
            name: reach_of(self.config, self._plan, name)
            for name, source in self._plan.sources.items()
            if source.routers
        }
        for name in self._counters.keys() - reaches.keys():
            self._counters[name].state = State.IDLE
        for alias in sorted(frozenset().union(*(each.brokers for each in reaches.values()))):
            self._brokers[alias] = connect(
                alias,
                self.config.brokers[alias],
                self._environ,
                gateway=self.config.name,
                member=self._member,
            )
        self._opening = {
            alias: asyncio.create_task(each.open()) for alias, each in self._brokers.items()
        }
        self._running = {
            name: asyncio.create_task(self._run(name, reach)) for name, reach in reaches.items()
        }
        return self

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
        if self._running:
            await asyncio.wait(self._running.values())

    async def stop(self, *, now: bool = False) -> None:
        """Read nothing more, finish what is in flight within 20 seconds, and close everything.

        What is not finished comes again at the next start. Calling it again with `now` ends the
        waiting.
        """
        for name, task in self._running.items():
            if name in self._pumps:
                self._pumps[name].stop(now=now)
            else:
                task.cancel()
        await self.wait()
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        brokers, self._brokers = self._brokers, {}
        await asyncio.gather(*(each.close() for each in brokers.values()))

    def stats(self) -> Stats:
        """Return the books as they are now."""
        each = self._counters.values()
        return Stats(
            sources=tuple(counters.source_stats() for counters in each),
            routers=tuple(
                counters.router_stats(router)
                for counters in each
                for router in self._plan.sources[counters.source].routers
            ),
            ways=tuple(way for counters in each for way in counters.way_stats()),
        )

    # --- one source ---

    async def _run(self, name: str, reach: Reach) -> None:
        """Run a source from its start to its end; nothing that happens to it reaches others."""
        try:
            await self._start(name, reach)
        except asyncio.CancelledError:
            self._change(name, State.STOPPED)
        except GatewayLabError as error:
            self._change(name, State.RED, str(error))
        except Exception as error:  # noqa: BLE001 - other sources go on, whatever this is
            # The text of a foreign error may hold parts of messages.
            self._change(name, State.RED, f"a defect of gateway_lab: {_place_of(error)}")
        else:
            self._change(name, State.STOPPED)

    async def _start(self, name: str, reach: Reach) -> None:
        self._change(name, State.WAITING)
        for alias in sorted(reach.brokers):
            await asyncio.shield(self._opening[alias])
        await self._require_channels(name, reach)
        sources: list[Source] = []
        try:
            for each in reach.readings:
                broker = self._brokers[each.broker]
                source = await broker.source(name, each.addresses, each.options)
                sources.append(self._wrap(name, source))
            pump = Pump(self.config, self._plan, name, self._counters[name])
            self._pumps[name] = pump
            self._change(name, State.RUNNING)
            await pump.run(sources, {alias: self._brokers[alias].sink() for alias in reach.writes})
        finally:
            await asyncio.gather(*(each.close() for each in sources))

    async def _require_channels(self, name: str, reach: Reach) -> None:
        """Create what is missing if that was asked for, else name it and start nothing."""
        missing: list[str] = []
        for alias, places in reach.places.items():
            broker = self._brokers[alias]
            if self._creates:
                await broker.create(places)
            else:
                missing += [f"{each.channel} on {alias}" for each in await broker.missing(places)]
        if missing:
            reason = f"there is no channel {', '.join(missing)}"
            raise BrokerError(
                Failure(FailureClass.CONFIGURATION, reason),
                where=f"source {name}",
                hint="create it, or run with --create-channels",
            )

    def _change(self, name: str, state: State, reason: str = "") -> None:
        counters = self._counters[name]
        counters.state, counters.reason = state, reason
        level = logging.ERROR if state is State.RED else logging.INFO
        _LOG.log(level, "source %s is %s", name, state, extra={"source": name, "reason": reason})


def _compile(config: GatewayConfig) -> Plan:
    plan, findings = (compiled := compile_plan(config)).plan, compiled.findings
    if plan is None:
        errors = [each for each in findings if each.severity is Severity.ERROR]
        raise ConfigError("the gateway cannot run, the config has errors", hint=str(errors[0]))
    for name, source in plan.sources.items():
        if source.handled or source.batches:
            what = "a handler" if source.handled else "batches"
            raise ConfigError(
                f"the source has {what}, which this gateway does not run",
                where=f"sources.{name}",
                hint="replay it offline, or leave the source out",
            )
    return plan


def _place_of(error: BaseException) -> str:
    """Say what kind of error it is and where it was raised, and nothing of its text."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if isinstance(error, BaseExceptionGroup):
        return _place_of(error.exceptions[0])
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} in {code.co_name} ({code.co_filename}:{trace.tb_lineno})"
