"""Reading core NATS, where a config declares at-most-once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from nats import errors
from nats.aio.msg import Msg

from gateway_lab.brokers.contract import Batch, BrokerError, Failure, FailureClass, Handle
from gateway_lab.brokers.nats.link import Inbox, Link, Session
from gateway_lab.brokers.nats.message import read_message

KEPT: Final = 65_536
"""How many messages wait for a reader; what comes past that is dropped, and counted."""

CLOSE_LIMIT_S: Final = 2.0


class NatsCoreSource:
    """Subscribes to subjects as one of a queue group; what arrives while it is away is gone.

    Attributes:
        lost: Messages dropped because nobody read.
    """

    starts = None

    def __init__(self, link: Link, subjects: Sequence[str], group: str) -> None:
        self.lost = 0
        self._link, self._subjects, self._group = link, subjects, group
        self._session: Session | None = None
        self._inboxes: list[Inbox] = []
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._is_closed = False

    async def open(self) -> None:
        """Subscribe, on a new session again."""
        session = await self._link.connected()
        if session is self._session:
            return
        session.at_end.append(self._wake.set)
        try:
            self._inboxes = [
                await session.subscribe(subject, self._take, self._group)
                for subject in self._subjects
            ]
        except errors.Error:
            return  # the session is lost: the next call finds another
        self._session = session

    def _take(self, message: Msg) -> None:
        if len(self._arrived) < KEPT:
            self._arrived.append(message)
            self._wake.set()
        else:
            self.lost += 1

    async def read(self, limit: int) -> Batch:
        """Wait for messages; see the contract."""
        while not self._arrived:
            if self._is_closed:
                closed = Failure(FailureClass.CONFIGURATION, "the source is closed")
                raise BrokerError(closed, where=self._link.alias)
            self._wake.clear()
            await self.open()
            await self._wake.wait()
        received, alias = datetime.now(UTC), self._link.alias
        taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        messages = [read_message(each, alias=alias, received=received) for each in taken]
        return Batch(messages, [None] * len(messages), [0] * len(messages))

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Do nothing: there is nothing to settle."""

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Do nothing: what is not done is gone, which the config has accepted."""

    async def close(self) -> None:
        """Unsubscribe."""
        self._is_closed = True
        self._wake.set()
        with suppress(errors.Error, TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                for inbox in self._inboxes:
                    await inbox.drain()
