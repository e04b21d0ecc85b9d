"""What a gateway lets others see of its work: spans and metrics, by OpenTelemetry.

A `Watch` stands around the parts of one source's pump. Where nobody asked for telemetry it is
`UNWATCHED`, which gives back each part as it is: nothing is wrapped, and nothing costs. OpenTelemetry
itself is imported only by `telemetry_traces.py` and `telemetry_metrics.py`, when it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway_lab.brokers.contract import Sink, Source
from gateway_lab.config.plan import BatchPlan, Plan
from gateway_lab.gateway.batch_writer import Member, Written
from gateway_lab.gateway.counters import Stats
from gateway_lab.gateway.means import Means

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SCOPE: Final = "gateway_lab"
"""The name that all spans and metrics are made under."""

Write: TypeAlias = Callable[[Sequence[Member]], Awaitable[Written]]
"""Stores a batch."""


class Watch:
    """Sees what one source does; this one sees nothing."""

    def source(self, source: Source) -> Source:
        """Return what is read in place of a source."""
        return source

    def sinks(self, sinks: Mapping[str, Sink]) -> Mapping[str, Sink]:
        """Return what is sent to in place of the sinks of brokers."""
        return sinks

    def means(self, means: Means, plan: Plan, batch: BatchPlan | None = None) -> Means:
        """Return what a pump decides by; with `batch`, the one that sends what that batch makes."""
        del plan, batch
        return means

    def feed(self, feed: Source) -> Source:
        """Return what is read in place of the messages that a batch makes."""
        return feed

    async def write(self, batch: BatchPlan, members: Sequence[Member], write: Write) -> Written:
        """Store a batch."""
        del batch
        return await write(members)


UNWATCHED: Final = Watch()


class _Watches(Watch):
    """Several watches, one around the other."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def source(self, source: Source) -> Source:
        for each in self._watches:
            source = each.source(source)
        return source

    def sinks(self, sinks: Mapping[str, Sink]) -> Mapping[str, Sink]:
        for each in self._watches:
            sinks = each.sinks(sinks)
        return sinks

    def means(self, means: Means, plan: Plan, batch: BatchPlan | None = None) -> Means:
        for each in self._watches:
            means = each.means(means, plan, batch)
        return means

    def feed(self, feed: Source) -> Source:
        for each in self._watches:
            feed = each.feed(feed)
        return feed

    async def write(self, batch: BatchPlan, members: Sequence[Member], write: Write) -> Written:
        for each in self._watches:
            write = _within(each, batch, write)
        return await write(members)


def _within(watch: Watch, batch: BatchPlan, write: Write) -> Write:
    return lambda members: watch.write(batch, members, write)


class Telemetry:
    """Where the spans and metrics of a gateway go.

        gateway.telemetry = gl.Telemetry(tracer_provider=provider)

    A gateway has one of its own, that takes the providers that are set for the whole process when
    the gateway starts; where none is set, nothing is measured.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Choose providers.

        Args:
            tracer_provider: Makes the spans; None: the one of the process, if there is any.
            meter_provider: Likewise, of metrics.
        """
        self._tracers, self._meters = tracer_provider, meter_provider

    def begin(self, name: str, stats: Callable[[], Stats]) -> Callable[[str, Plan], Watch]:
        """Begin to measure a gateway; in its event loop, once.

        Args:
            name: Of the config.
            stats: Returns the books of the gateway at this moment.

        Returns:
            What makes the watch of a source, given its name and the plan.
        """
        makers: list[Callable[[str, Plan], Watch]] = []
        if tracers := self._tracers or global_tracers():
            from gateway_lab.gateway.telemetry_traces import tracing  # noqa: PLC0415

            makers += [made] if (made := tracing(tracers)) else []
        if meters := self._meters or global_meters():
            from gateway_lab.gateway.telemetry_metrics import metering  # noqa: PLC0415

            makers.append(metering(meters, name, stats))
        if not makers:
            return lambda _, __: UNWATCHED
        return lambda source, plan: _Watches(*(make(source, plan) for make in makers))


# Whoever set a provider has imported OpenTelemetry; the API's own providers do nothing.


def global_tracers() -> TracerProvider | None:
    """Return the provider that is set for this process, if there is any."""
    api = sys.modules.get("opentelemetry.trace")
    provider: TracerProvider | None = api.get_tracer_provider() if api else None
    return None if _is_idle(provider) else provider


def global_meters() -> MeterProvider | None:
    """Likewise."""
    api = sys.modules.get("opentelemetry.metrics")
    provider: MeterProvider | None = api.get_meter_provider() if api else None
    return None if _is_idle(provider) else provider


def _is_idle(provider: object) -> bool:
    module = type(provider).__module__
    return provider is None or module.startswith(("opentelemetry.trace", "opentelemetry.metrics"))
