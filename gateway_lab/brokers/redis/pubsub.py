"""Reading Redis pub/sub, where a config declares at-most-once: it carries bodies, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from redis import exceptions as errors
from redis.asyncio.client import PubSub
from redis.asyncio.connection import ConnectionPool

from gateway_lab.brokers.contract import Batch, BrokerError, FailureClass, Handle
from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.redis.line import failure_of
from gateway_lab.messages.message import Message


class RedisPubSubSource:
    """Subscribes to channels; what arrives while it is away is gone, and nobody counts it."""

    lost = 0
    starts = None

    def __init__(self, alias: str, channels: Sequence[str], pool: ConnectionPool) -> None:
        self._alias, self._channels = alias, channels
        self._pubsub = PubSub(pool, ignore_subscribe_messages=True)

    async def open(self) -> None:
        """Subscribe, waiting as long as the broker is away.

        Raises:
            BrokerError: Of class `configuration`.
        """
        for pause in pauses():
            try:
                await self._pubsub.subscribe(*self._channels)
            except (errors.RedisError, OSError) as error:
                failure = failure_of(error)
                if failure.failure_class is not FailureClass.RETRYABLE:
                    raise BrokerError(failure) from None
                await asyncio.sleep(pause)
            else:
                return

    async def read(self, limit: int) -> Batch:
        """Wait for messages; see the contract."""
        messages: list[Message] = []
        while not messages:
            try:
                await self._take(messages, limit)
            except (errors.RedisError, OSError):
                await self._pubsub.aclose()
                await self.open()
        return Batch(messages, [None] * len(messages), [0] * len(messages))

    async def _take(self, messages: list[Message], limit: int) -> None:
        wait: float | None = None
        while len(messages) < limit:
            found = await self._pubsub.get_message(timeout=wait)
            if found is None and messages:
                return
            if found is not None:
                messages.append(self._message(found["channel"].decode(), found["data"]))
                wait = 0

    def _message(self, channel: str, body: bytes) -> Message:
        return Message(
            body=body,
            received=datetime.now(UTC),
            broker=self._alias,
            protocol="redis",
            channel=channel,
        )

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Do nothing: there is nothing to settle."""

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Do nothing: what is not done is gone, which the config has accepted."""

    async def close(self) -> None:
        """Unsubscribe."""
        with suppress(errors.RedisError, OSError, TimeoutError):
            async with asyncio.timeout(2):
                await self._pubsub.aclose()
