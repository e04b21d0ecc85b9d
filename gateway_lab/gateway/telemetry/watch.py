"""A watch: stands around the parts of one source's pump, and sees what they do.

Where nobody asked for telemetry it is `UNWATCHED`, which gives back each part as it is: nothing is
wrapped, and nothing costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from gateway_lab.brokers.contract import Sink, Source
from gateway_lab.config.plan import BatchPlan, Plan
from gateway_lab.gateway.batching.writer import Member, Written
from gateway_lab.gateway.means import Means

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


class Watches(Watch):
    """Several watches, one around the other."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def source(self, source: Source) -> Source:
        """Return one source, seen by all."""
        for each in self._watches:
            source = each.source(source)
        return source

    def sinks(self, sinks: Mapping[str, Sink]) -> Mapping[str, Sink]:
        """Return sinks, seen by all."""
        for each in self._watches:
            sinks = each.sinks(sinks)
        return sinks

    def means(self, means: Means, plan: Plan, batch: BatchPlan | None = None) -> Means:
        """Return means, seen by all."""
        for each in self._watches:
            means = each.means(means, plan, batch)
        return means

    def feed(self, feed: Source) -> Source:
        """Return a feed, seen by all."""
        for each in self._watches:
            feed = each.feed(feed)
        return feed

    async def write(self, batch: BatchPlan, members: Sequence[Member], write: Write) -> Written:
        """Store a batch, seen by all."""
        for each in self._watches:
            write = _within(each, batch, write)
        return await write(members)


def _within(watch: Watch, batch: BatchPlan, write: Write) -> Write:
    return lambda members: watch.write(batch, members, write)
