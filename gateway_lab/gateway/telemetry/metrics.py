"""The books as OpenTelemetry's metrics: read when they are collected, nothing is counted twice.

They have the names of `/metrics`, with a dot behind the prefix: a collector that writes them for
Prometheus writes the same names. What the conventions for messaging name is there by that name, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary, WeakMethod, ref

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

from gateway_lab.brokers.contract import Failure, Outgoing, Sink
from gateway_lab.config.plan import BatchPlan, DeadLetterPlan, Plan, SourcePlan, TargetPlan
from gateway_lab.gateway.batching.writer import Member, Written
from gateway_lab.gateway.counters import Stats
from gateway_lab.gateway.handlers.handled import Call, Conclude
from gateway_lab.gateway.health.metrics import METRICS, Metric
from gateway_lab.gateway.means import Means
from gateway_lab.gateway.telemetry.spans import (
    BATCH,
    BROKER,
    ERROR,
    FUNCTION,
    OPERATION,
    PROCESS,
    SEND,
    SOURCE,
    SYSTEM,
    TARGET,
    targets_of,
)
from gateway_lab.gateway.telemetry.watch import SCOPE, Watch, Write
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import DEAD_LETTER, Routed

CONSUMED: Final = "messaging.client.consumed.messages"
SENT: Final = "messaging.client.sent.messages"
OPERATION_DURATION: Final = "messaging.client.operation.duration"
PROCESS_DURATION: Final = "messaging.process.duration"
BATCH_DURATION: Final = "gateway_lab.batch.duration"

COLLECT_S: Final = 5.0
"""How long a collection waits for the gateway's event loop."""

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""The bounds of histograms."""

Labels: TypeAlias = dict[str, str]
Observe: TypeAlias = Callable[["_Gateway", Stats], Iterable[tuple[float, Labels]]]
"""Gives numbers of one gateway, and what they are of."""


def metering(
    provider: MeterProvider, name: str, stats: Callable[[], Stats]
) -> Callable[[str, Plan], Watch]:
    """Return what makes the watch of a source; the books of the gateway are metrics from now on.

    Args:
        provider: Makes the instruments.
        name: Of the config.
        stats: A method that returns the books; a gateway that is gone is left out.
    """
    if (instruments := _INSTRUMENTS.get(provider)) is None:
        instruments = _INSTRUMENTS[provider] = _Instruments(provider.get_meter(SCOPE))
    gateway = _Gateway(name, WeakMethod(stats), asyncio.get_running_loop())
    instruments.gateways.append(gateway)
    return lambda source, plan: _Meters(instruments, gateway, plan.sources[source])


# --- the books ---


@dataclass(slots=True, eq=False)
class _Gateway:
    """A gateway whose books are metrics.

    Attributes:
        protocols: Of brokers, by alias.
        targets: Brokers of targets and dead letters, by source and target.
    """

    name: str
    stats: ref[Callable[[], Stats]]
    loop: asyncio.AbstractEventLoop
    protocols: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    targets: dict[tuple[str, str], str] = field(default_factory=dict)
    taken: Stats | None = None

    def take(self) -> None:
        """Take the books of this moment; none, where the event loop hangs."""
        stats = self.stats()
        self.taken = None if stats is None else self._now(stats)

    def _now(self, stats: Callable[[], Stats]) -> Stats | None:
        """Ask in the event loop: nobody writes the books meanwhile."""
        if not self.loop.is_running() or _running_loop() is self.loop:
            return stats()
        told: Future[Stats] = Future()
        self.loop.call_soon_threadsafe(lambda: told.set_result(stats()))
        try:
            return told.result(COLLECT_S)
        except TimeoutError:
            return None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Instruments:
    """The instruments of one provider, for all gateways of this process."""

    def __init__(self, meter: Meter) -> None:
        self.gateways: list[_Gateway] = []
        self._first = True
        seconds = list(SECONDS)
        self.operations, self.handlers, self.batches = (
            meter.create_histogram(name, "s", meaning, explicit_bucket_boundaries_advisory=seconds)
            for name, meaning in (
                (OPERATION_DURATION, "How long a broker took to confirm what was sent at once."),
                (PROCESS_DURATION, "How long a try of a handler took."),
                (BATCH_DURATION, "How long a database took to store a batch."),
            )
        )
        self._observe(meter, "counter", CONSUMED, "Messages read.", _consumed)
        for metric in METRICS:
            name = f"{SCOPE}.{metric.name}"
            self._observe(meter, metric.kind, name, metric.meaning, _of(metric))
        self._observe(meter, "gauge", f"{SCOPE}.config_info", "The config that runs.", _config)
        self._observe(meter, "counter", SENT, "Messages sent and confirmed.", _sent)

    def _observe(self, meter: Meter, kind: str, name: str, meaning: str, observe: Observe) -> None:
        is_first, self._first = self._first, False

        def callback(_: CallbackOptions) -> list[Observation]:
            if is_first:  # all others tell of the same moment
                self._take()
            return [
                Observation(number, labels | {"gateway": gateway.name})
                for gateway in self.gateways
                if gateway.taken
                for number, labels in observe(gateway, gateway.taken)
            ]

        make = {"counter": meter.create_observable_counter, "gauge": meter.create_observable_gauge}
        unit = "{message}" if name in {CONSUMED, SENT} else ""  # the conventions name theirs
        make[kind](name, [callback], unit, meaning)

    def _take(self) -> None:
        self.gateways = [each for each in self.gateways if each.stats() is not None]
        for each in self.gateways:
            each.take()


_INSTRUMENTS: Final[WeakKeyDictionary[MeterProvider, _Instruments]] = WeakKeyDictionary()


def _of(metric: Metric) -> Observe:
    """Observe a metric of `/metrics`; a label that is empty there is not there here."""

    def observe(_: _Gateway, stats: Stats) -> Iterable[tuple[float, Labels]]:
        for values, number in metric.samples(stats):
            labels = zip(metric.labels, values, strict=True)
            yield float(number), {name: str(value) for name, value in labels if value}

    return observe


def _config(gateway: _Gateway, stats: Stats) -> Iterable[tuple[float, Labels]]:
    yield 1.0, {"name": gateway.name, "digest": stats.digest}


def _consumed(gateway: _Gateway, stats: Stats) -> Iterable[tuple[float, Labels]]:
    for each in stats.sources:
        if protocol := gateway.sources.get(each.source):
            yield each.read, {OPERATION: "receive", SYSTEM: protocol, SOURCE: each.source}


def _sent(gateway: _Gateway, stats: Stats) -> Iterable[tuple[float, Labels]]:
    total: Counter[tuple[str, str]] = Counter()
    for each in stats.ways:
        total[each.source, each.target] += each.delivered
        total[each.source, DEAD_LETTER] += each.dead_lettered
    for (source, target), number in total.items():
        if alias := gateway.targets.get((source, target)):
            told = {SYSTEM: gateway.protocols[alias], BROKER: alias, SOURCE: source, TARGET: target}
            yield number, {OPERATION: SEND, **told}


# --- durations ---


class _Meters(Watch):
    """Watches one source: measures what takes time, once a batch or a call of a handler."""

    def __init__(self, instruments: _Instruments, gateway: _Gateway, source: SourcePlan) -> None:
        self._instruments, self._gateway, self._source = instruments, gateway, source
        protocols = {each.protocol for each in source.addresses}
        if len(protocols) == 1:
            gateway.sources[source.name] = protocols.pop()

    def sinks(self, sinks: Mapping[str, Sink]) -> Mapping[str, Sink]:
        """Measure sends."""
        return {
            alias: _MeteredSink(
                sink,
                self._instruments.operations,
                {
                    OPERATION: SEND,
                    SYSTEM: self._gateway.protocols.get(alias, ""),
                    BROKER: alias,
                    SOURCE: self._source.name,
                },
            )
            for alias, sink in sinks.items()
        }

    def means(self, means: Means, plan: Plan, batch: BatchPlan | None = None) -> Means:
        """Note what the targets are, and measure handlers."""
        name, gateway = self._source.name, self._gateway
        found: dict[str, TargetPlan | DeadLetterPlan] = {}
        found |= batch.targets if batch else targets_of(plan, name)
        if letters := plan.sources[name].dead_letter:
            found[DEAD_LETTER] = letters
        for target, each in found.items():
            gateway.targets[name, target] = each.broker
            gateway.protocols[each.broker] = each.protocol
        handling = means.handling and means.handling.around(self._around)
        return replace(means, handling=handling)

    def _around(self, call: Call) -> Call:
        return _MeteredCall(call, self._instruments.handlers, self._source.name)

    async def write(self, batch: BatchPlan, members: Sequence[Member], write: Write) -> Written:
        """Measure how long it takes to store a batch."""
        begun = perf_counter()
        told = {BATCH: batch.name, SOURCE: batch.source}
        try:
            return await write(members)
        except BaseException as error:
            told[ERROR] = type(error).__name__
            raise
        finally:
            self._instruments.batches.record(perf_counter() - begun, told)


class _MeteredSink:
    def __init__(self, sink: Sink, histogram: Histogram, told: Labels) -> None:
        self._sink, self._histogram, self._told = sink, histogram, told
        self.sends_at_once = sink.sends_at_once

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        begun = perf_counter()
        answers = await self._sink.send(batch)
        failure = next(filter(None, answers), None)
        told = self._told if failure is None else {**self._told, ERROR: str(failure.failure_class)}
        self._histogram.record(perf_counter() - begun, told)
        return answers

    async def close(self) -> None:
        await self._sink.close()


class _MeteredCall:
    def __init__(self, call: Call, histogram: Histogram, source: str) -> None:
        self._call, self._histogram = call, histogram
        self._told = {OPERATION: PROCESS, FUNCTION: call.name, SOURCE: source}
        self.name, self.timeout_s, self.is_sync = call.name, call.timeout_s, call.is_sync

    async def __call__(self, message: Message, id_: str, conclude: Conclude) -> Routed:
        begun, told = perf_counter(), self._told
        try:
            return await self._call(message, id_, conclude)
        except BaseException as error:
            told = {**told, ERROR: type(error.__cause__ or error).__name__}
            raise
        finally:
            self._histogram.record(perf_counter() - begun, told)
