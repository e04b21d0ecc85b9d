"""What batches send, as a source of its own: a second pump reads, decides and delivers it.

So aggregates have everything that messages of a broker have: order, retries, dead letters, books.
A message of it is settled when each of its deliveries is confirmed, and then its batch is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from gateway_lab.brokers.contract import Batch, Handle
from gateway_lab.config.document import Document
from gateway_lab.config.plan import BatchPlan, Plan, RoutePlan, RouterPlan, SourcePlan
from gateway_lab.gateway.dead_letter import Letters
from gateway_lab.gateway.ids import MessageIds
from gateway_lab.gateway.means import Means, Router
from gateway_lab.gateway.ways import read_targets
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.message import Message
from gateway_lab.routing.route import compile_source
from gateway_lab.routing.routed import DEAD_LETTER, Delivery, Routed

_LETTER: Final = Outcome.DEAD_LETTERED


class RefusedRow(Message, frozen=True, kw_only=True):
    """A message whose row the database refuses; what follows is its dead letter."""

    reason: str


class Parcel:
    """Messages that belong together, until each is settled."""

    def __init__(self, number: int, done: Callable[[], None]) -> None:
        self.left, self.done = number, done


class Feed:
    """A source that is fed; see `contract.Source`."""

    lost = 0
    starts = None

    def __init__(self) -> None:
        self._queue: list[tuple[Message, Parcel]] = []
        self._fed = asyncio.Event()

    def put(self, messages: Sequence[Message], done: Callable[[], None]) -> None:
        """Send messages, and call `done` once nothing more is to be done for any of them."""
        if not messages:
            done()
            return
        parcel = Parcel(len(messages), done)
        self._queue += [(message, parcel) for message in messages]
        self._fed.set()

    async def deliver(self, messages: Sequence[Message]) -> None:
        """Send messages, and wait until nothing more is to be done for any of them."""
        done = asyncio.Event()
        self.put(messages, done.set)
        await done.wait()

    async def read(self, limit: int) -> Batch:
        """Wait for at least one message."""
        while not self._queue:
            self._fed.clear()
            await self._fed.wait()
        taken, self._queue = self._queue[:limit], self._queue[limit:]
        messages, parcels = zip(*taken, strict=True)
        return Batch(messages, parcels, [0] * len(taken))

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Tell batches whose last message this was."""
        for parcel in handles:
            assert isinstance(parcel, Parcel)  # noqa: S101 - what `read` gave
            parcel.left -= 1
            if not parcel.left:
                parcel.done()

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Do nothing: what a batch is made of is in its source's broker."""

    async def close(self) -> None:
        """Do nothing."""


class _FeedRouter:
    """Sends aggregates to the targets of their batch, and refused rows to the dead letters."""

    def __init__(self, batch: str, router: Router) -> None:
        self._batch, self._router = batch, router

    def route(self, message: Message) -> Routed:
        if not isinstance(message, RefusedRow):
            return self._router.route(message)
        letter = Delivery(
            self._batch,
            None,
            DEAD_LETTER,
            None,
            None,
            _LETTER,
            message.reason,
            message.key,
            message.headers,
            message.body,
        )
        return Routed(None, None, (), (letter,))


def feed_means(config: Document, plan: Plan, batch: BatchPlan) -> tuple[SourcePlan, Means]:
    """Make what the pump of a batch's feed decides by: one route, for all, to its targets."""
    name, output = batch.name, batch.output
    source = replace(
        plan.sources[batch.source],
        event_types={output.name: output},
        by=None,
        choices={},
        handled=None,
        routers=(name,),
        batches=(),
    )
    own = replace(
        plan,
        sources={source.name: source},
        routers={name: _router(batch)},
        targets={(source.name, each): target for each, target in batch.targets.items()},
    )
    of_rows, of_groups = MessageIds(source.name), MessageIds(f"{source.name}/{name}")
    return source, Means(
        router=_FeedRouter(name, compile_source(own, source.name)),
        id_of=lambda each: of_rows(each) if isinstance(each, RefusedRow) else of_groups(each),
        letters=Letters(source, plan.digest),
        targets=read_targets(config, own, source.name),
    )


def _router(batch: BatchPlan) -> RouterPlan:
    every = RoutePlan(name="aggregates", condition=None, events=None, targets=tuple(batch.targets))
    return RouterPlan(
        name=batch.name,
        sources=(batch.source,),
        match="all",
        routes=(every,),
        unmatched=(),
        undecided="continue",
    )
