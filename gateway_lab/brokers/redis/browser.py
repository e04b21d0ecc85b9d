"""Looking through Redis streams by XREAD, which no group knows of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from redis import exceptions as errors
from redis.asyncio.connection import ConnectionPool

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.redis.line import REPLY_LIMIT_S, Line, LostError, Reply, failure_of
from gateway_lab.brokers.redis.message import Fields, Id, read_entry
from gateway_lab.messages.message import Message

BLOCK_S: Final = 1.0
"""How long the server keeps a read that finds nothing."""


class RedisBrowser:
    """Looks through streams; see `contract.Browser`."""

    def __init__(self, alias: str, channels: Sequence[str], pool: ConnectionPool) -> None:
        self._alias = alias
        self._after: dict[bytes, Id] = {each.encode(): b"0-0" for each in channels}
        self._behind: dict[bytes, Id] = {}
        self._line = Line(pool)
        self._is_closed = False

    @property
    def has_caught_up(self) -> bool:
        """Whether everything was read that was there at the opening."""
        return not self._behind

    async def open(self, *, from_start: bool) -> None:
        """Note how far each stream goes.

        Raises:
            BrokerError: Of class `configuration`, such as a stream that is not there.
        """
        for name in self._after:
            await self._require_stream(name)
            last = await self._insist(b"XREVRANGE", name, b"+", b"-", b"COUNT", b"1")
            if last and from_start:
                self._behind[name] = last[0][0]
            elif last:
                self._after[name] = last[0][0]

    async def _require_stream(self, name: bytes) -> None:
        if await self._insist(b"TYPE", name) != b"stream":
            reason = f"there is no stream {name.decode()!r}"
            raise BrokerError(
                Failure(FailureClass.CONFIGURATION, reason), where=f"broker {self._alias}"
            )

    async def read(self, limit: int) -> list[Message]:
        """Wait for messages; see the contract."""
        was_behind = not self.has_caught_up
        while not self._is_closed:
            messages = self._taken(await self._fetch(limit))
            if messages or (was_behind and self.has_caught_up):
                return messages
        closed = Failure(FailureClass.CONFIGURATION, "the browser is closed")
        raise BrokerError(closed, where=f"broker {self._alias}")

    async def _fetch(self, limit: int) -> Sequence[tuple[bytes, Sequence[tuple[Id, Fields]]]]:
        block = () if self._behind else (b"BLOCK", b"%d" % int(BLOCK_S * 1000))
        share = max(1, limit // len(self._after))
        words = b"XREAD", b"COUNT", b"%d" % share, *block, b"STREAMS"
        found = await self._insist(*words, *self._after, *self._after.values())
        if not found:  # what was the last at the opening is gone
            self._behind.clear()
        return found or ()

    def _taken(self, found: Sequence[tuple[bytes, Sequence[tuple[Id, Fields]]]]) -> list[Message]:
        received = datetime.now(UTC)
        messages: list[Message] = []
        for name, entries in found:
            messages += [
                read_entry(self._alias, name.decode(), id_, fields or (), received)
                for id_, fields in entries
            ]
            self._after[name] = entries[-1][0]
            if name in self._behind and _order(entries[-1][0]) >= _order(self._behind[name]):
                del self._behind[name]
        return messages

    async def _insist(self, *words: bytes) -> Reply:
        """Send a command until there is a reply."""
        for pause in pauses():
            try:
                return await self._line.call(*words, limit_s=BLOCK_S + REPLY_LIMIT_S)
            except LostError as lost:
                failure = lost.failure
            except errors.ResponseError as error:
                failure = failure_of(error)
            if self._is_closed or failure.failure_class is not FailureClass.RETRYABLE:
                refused = Failure(FailureClass.CONFIGURATION, failure.reason)
                raise BrokerError(refused, where=f"broker {self._alias}") from None
            await asyncio.sleep(pause)
        raise AssertionError  # pauses never end

    async def close(self) -> None:
        """Hang up."""
        self._is_closed = True
        await self._line.close()


def _order(id_: Id) -> tuple[int, int]:
    time, _, number = id_.partition(b"-")
    return int(time), int(number)
