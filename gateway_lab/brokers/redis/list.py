"""Reading Redis lists, where a config declares at-most-once: what is taken off a list is gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from redis import exceptions as errors
from redis.asyncio.connection import ConnectionPool

from gateway_lab.brokers.contract import Batch, BrokerError, Failure, FailureClass, Handle
from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.redis.line import REPLY_LIMIT_S, Line, LostError, Reply, failure_of
from gateway_lab.messages.message import Message

BLOCK_S: Final = 1.0
"""How long the server keeps a read that finds nothing."""


class RedisListSource:
    """Takes bodies off lists, the oldest first; nobody counts what is lost on the way.

    Attributes:
        lost: Nothing that is known.
    """

    lost = 0
    starts = None

    def __init__(self, alias: str, channels: Sequence[str], pool: ConnectionPool) -> None:
        self._alias = alias
        self._names = deque(name.encode() for name in channels)
        self._line = Line(pool)
        self._is_closed = False

    async def open(self) -> None:
        """Do nothing: a list that is empty is not there, and there is nothing to make."""

    async def read(self, limit: int) -> Batch:
        """Wait for messages; see the contract."""
        waits = pauses()
        while not self._is_closed:
            try:
                found = await self._take(limit)
            except (LostError, errors.ResponseError) as error:
                _raise_unless_it_passes(error)
                await asyncio.sleep(next(waits))
                continue
            if found:
                name, bodies = found
                return self._batch(name.decode(), bodies)
        raise BrokerError(Failure(FailureClass.CONFIGURATION, "the source is closed"))

    async def _take(self, limit: int) -> Reply:
        """Take from the first list that holds something; another one is first each time."""
        self._names.rotate()
        keys = b"%d" % len(self._names), *self._names
        words = b"BLMPOP", b"%g" % BLOCK_S, *keys, b"LEFT", b"COUNT", b"%d" % limit
        return await self._line.call(*words, limit_s=BLOCK_S + REPLY_LIMIT_S)

    def _batch(self, channel: str, bodies: Sequence[bytes]) -> Batch:
        received = datetime.now(UTC)
        messages = [
            Message(
                body=body,
                received=received,
                broker=self._alias,
                protocol="redis",
                channel=channel,
            )
            for body in bodies
        ]
        return Batch(messages, [None] * len(messages), [0] * len(messages))

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Do nothing: there is nothing to settle."""

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Do nothing: what is not done is gone, which the config has accepted."""

    async def close(self) -> None:
        """Take nothing more."""
        self._is_closed = True
        await self._line.close()


def _raise_unless_it_passes(error: LostError | errors.ResponseError) -> None:
    failure = error.failure if isinstance(error, LostError) else failure_of(error)
    if failure.failure_class is not FailureClass.RETRYABLE:
        raise BrokerError(replace(failure, failure_class=FailureClass.CONFIGURATION)) from None
