"""Reading Redis streams as one member of a consumer group.

What the group has given to a member is pending until it is acknowledged, and nobody hands it out
again by itself. So a source reads, in this order: what it gave back, its own pending entries
(from before a crash or a lost reply), entries of members that are silent for longer than the
lease, and then new ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Final, TypeAlias, cast

from redis import exceptions as errors
from redis.asyncio.connection import ConnectionPool

from gateway_lab.brokers.contract import Batch, BrokerError, Failure, FailureClass, Handle
from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.redis.line import (
    REPLY_LIMIT_S,
    Line,
    LostError,
    Reply,
    code_of,
    failure_of,
)
from gateway_lab.brokers.redis.message import Id, read_entry
from gateway_lab.messages.message import Message

BLOCK_S: Final = 1.0
"""How long the server keeps a read that finds nothing."""

ENTRIES: Final = 1_000
"""How many entries one read brings at most: the server knows no bound in bytes."""

IDS: Final = 1_000
"""How many ids go into one XACK or XCLAIM."""

CLOSE_LIMIT_S: Final = 2.0

_Found: TypeAlias = tuple[Id, Sequence[bytes] | None]
"""An id, and names and values in turn; None if the entry is deleted."""


@dataclass(slots=True, eq=False)
class _Stream:
    """What a source knows of one of its streams.

    Attributes:
        name: Its key.
        channel: The same, as the config has it.
        held: Read and neither settled nor given back, with the time (monotonic) of reading.
        returned: Given back, to be read again.
        recheck: Where to go on among our own pending entries; None if all of them are known.
        claim_at: When (monotonic) to look for entries of silent members.
        claim_from: Where to go on among them.
    """

    name: bytes
    channel: str
    held: dict[Id, float] = field(default_factory=dict)
    returned: deque[Id] = field(default_factory=deque)
    recheck: Id | None = b"0"
    claim_at: float = 0.0
    claim_from: Id = b"0-0"


@dataclass(slots=True, eq=False)
class _Handle:
    stream: _Stream
    id: Id


class RedisSource:
    """A source over one or more streams.

    Attributes:
        lost: Entries that were deleted or trimmed while they were pending: nobody can read them
            any more, so they are lost.
    """

    starts = None

    def __init__(
        self,
        alias: str,
        channels: Sequence[str],
        pool: ConnectionPool,
        *,
        group: str,
        member: str,
        lease_s: float,
    ) -> None:
        self.lost = 0
        self._alias = alias
        self._streams = {name.encode(): _Stream(name.encode(), name) for name in channels}
        self._group, self._member = group.encode(), member.encode()
        self._lease_s = lease_s
        self._lease = str(int(lease_s * 1000)).encode()
        self._reader, self._control = Line(pool), Line(pool)
        self._ready: deque[tuple[_Stream, Id, Sequence[bytes], int]] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Make the group where it is not there yet, at the start of the stream.

        Raises:
            BrokerError: Of class `configuration`, such as a stream that is not there.
        """
        for stream in self._streams.values():
            await self._make_group(stream)
        self._keeper = asyncio.create_task(self._keep_leases())

    async def _make_group(self, stream: _Stream) -> None:
        try:
            await self._insist(b"XGROUP", b"CREATE", stream.name, self._group, b"0")
        except errors.ResponseError as error:
            code = code_of(error)
            if code == "BUSYGROUP":  # it is there already
                return
            if code in {"ERR", "WRONGTYPE"}:
                reason = f"there is no stream {stream.channel!r}"
                raise BrokerError(
                    Failure(FailureClass.CONFIGURATION, reason),
                    hint="create it, or run with --create-channels",
                ) from None
            raise BrokerError(failure_of(error)) from None

    async def _insist(self, *words: bytes) -> Reply:
        """Send a command until there is a reply."""
        for pause in pauses():
            if self._is_closed:
                return None
            try:
                return await self._control.call(*words)
            except LostError as lost:
                _raise_unless_it_passes(lost.failure)
            except errors.ResponseError as error:
                if failure_of(error).failure_class is not FailureClass.RETRYABLE:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError  # pauses never end

    # --- reading ---

    async def read(self, limit: int) -> Batch:
        """Wait for messages; see the contract."""
        waits = pauses()
        while not self._ready:
            if self._is_closed:
                raise BrokerError(Failure(FailureClass.CONFIGURATION, "the source is closed"))
            try:
                await self._fetch(limit)
            except (LostError, errors.ResponseError) as error:
                self._recheck_all()
                _raise_unless_it_passes(
                    error.failure if isinstance(error, LostError) else failure_of(error)
                )
                await asyncio.sleep(next(waits))
            except asyncio.CancelledError:
                self._recheck_all()
                raise
        return self._batch(limit)

    def _recheck_all(self) -> None:
        """Look through our pending entries: a reply that was lost may have handed some to us."""
        for stream in self._streams.values():
            stream.recheck = b"0"

    async def _fetch(self, limit: int) -> None:
        """Do the four kinds of reading in turn, until one finds something."""
        limit = min(limit, ENTRIES)
        for stream in self._streams.values():
            if stream.returned:
                await self._read_returned(stream, limit)
            while stream.recheck is not None and not self._ready:
                await self._read_own(stream, stream.recheck, limit)
            if monotonic() >= stream.claim_at and not self._ready:
                await self._claim(stream, limit)
        if not self._ready:
            await self._read_new(limit)

    async def _read_returned(self, stream: _Stream, limit: int) -> None:
        ids = [stream.returned.popleft() for _ in range(min(limit, len(stream.returned), IDS))]
        claim = b"XCLAIM", stream.name, self._group, self._member, b"0", *ids
        found = await self._reader.call(*claim)
        self.lost += len(ids) - len(found)
        await self._take_pending(stream, found)

    async def _read_own(self, stream: _Stream, after: Id, limit: int) -> None:
        """Read a page of what is pending for us and not held: of a time before, or never seen."""
        found = await self._read_group({stream.name: after}, limit)
        entries = found[0][1] if found else []
        stream.recheck = entries[-1][0] if entries else None
        await self._take_pending(stream, entries)

    async def _claim(self, stream: _Stream, limit: int) -> None:
        """Take over what silent members hold."""
        command = b"XAUTOCLAIM", stream.name, self._group, self._member, self._lease
        count = b"COUNT", b"%d" % limit
        stream.claim_from, entries, *deleted = await self._reader.call(
            *command, stream.claim_from, *count
        )
        if stream.claim_from == b"0-0":
            stream.claim_at = monotonic() + self._lease_s / 3
        if deleted:  # since Redis 7; before it they are among the entries, empty
            self.lost += len(deleted[0])
        await self._take_pending(stream, entries)

    async def _take_pending(self, stream: _Stream, entries: Sequence[_Found | None]) -> None:
        """Hand on entries that were delivered before, with how often; count those that are gone."""
        new = [each for each in entries if each and each[0] not in stream.held]
        gone = [id_ for id_, fields in new if fields is None]
        if gone:
            self.lost += len(gone)
            await self._reader.call(b"XACK", stream.name, self._group, *gone)
        there = [(id_, fields) for id_, fields in new if fields is not None]
        if not there:
            return
        command = b"XPENDING", stream.name, self._group, there[0][0], there[-1][0]
        count = b"%d" % (len(stream.held) + len(entries))
        pending = await self._reader.call(*command, count, self._member)
        deliveries = {id_: times for id_, _, _, times in pending}
        now = monotonic()
        for id_, fields in there:
            stream.held[id_] = now
            self._ready.append((stream, id_, fields, deliveries.get(id_, 1) - 1))

    async def _read_new(self, limit: int) -> None:
        due = min(stream.claim_at for stream in self._streams.values()) - monotonic()
        block_s = min(BLOCK_S, max(due, 0.001))
        share = max(1, limit // len(self._streams))
        found = await self._read_group(dict.fromkeys(self._streams, b">"), share, block_s)
        now = monotonic()
        for name, entries in found or ():
            stream = self._streams[name]
            for id_, fields in entries:
                stream.held[id_] = now
                self._ready.append((stream, id_, fields or (), 0))

    async def _read_group(
        self, after: Mapping[bytes, Id], count: int, block_s: float | None = None
    ) -> Sequence[tuple[bytes, Sequence[_Found]]] | None:
        block = (b"BLOCK", b"%d" % max(1, int(block_s * 1000))) if block_s else ()
        group = b"XREADGROUP", b"GROUP", self._group, self._member
        words = *group, b"COUNT", b"%d" % count, *block, b"STREAMS", *after, *after.values()
        limit_s = (block_s or 0) + REPLY_LIMIT_S
        return cast(
            "Sequence[tuple[bytes, Sequence[_Found]]] | None",
            await self._reader.call(*words, limit_s=limit_s),
        )

    def _batch(self, limit: int) -> Batch:
        received = datetime.now(UTC)
        messages: list[Message] = []
        handles: list[_Handle] = []
        attempts: list[int] = []
        for _ in range(min(limit, len(self._ready))):
            stream, id_, fields, attempt = self._ready.popleft()
            messages.append(read_entry(self._alias, stream.channel, id_, fields, received))
            handles.append(_Handle(stream, id_))
            attempts.append(attempt)
        return Batch(messages, handles, attempts)

    # --- settling ---

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Acknowledge; see the contract."""
        for stream, ids in _by_stream(handles):
            for some in _chunks([each for each in ids if each in stream.held]):
                with suppress(errors.ResponseError):  # the stream or its group is gone
                    await self._insist(b"XACK", stream.name, self._group, *some)
                for id_ in some:
                    stream.held.pop(id_, None)

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Let messages come again at the next read; see the contract."""
        for stream, ids in _by_stream(handles):
            stream.returned.extend(each for each in ids if stream.held.pop(each, None) is not None)

    # --- leases ---

    async def _keep_leases(self) -> None:
        """Show that what is held is being worked on, so that no other member takes it over."""
        third = self._lease_s / 3
        while True:
            await asyncio.sleep(third)
            for stream in self._streams.values():
                since = monotonic() - third / 2
                old = [id_ for id_, taken in stream.held.items() if taken <= since]
                with suppress(LostError, errors.ResponseError):
                    await self._reclaim(stream, old, b"0")

    async def _reclaim(self, stream: _Stream, ids: Sequence[Id], idle_ms: bytes) -> int:
        """Set how long entries of ours have been idle; return how many of them are still there.

        One that is settled stays settled, and of one that is deleted nothing is left.
        """
        there = 0
        for some in _chunks(ids):
            claim = b"XCLAIM", stream.name, self._group, self._member, b"0", *some
            there += len(await self._control.call(*claim, b"IDLE", idle_ms, b"JUSTID"))
        return there

    # --- the end ---

    async def close(self) -> None:
        """Leave the group; what is not settled goes to other members at their next look."""
        self._is_closed = True
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._reader.close()
        with suppress(LostError, errors.ResponseError, TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                for stream in self._streams.values():
                    await self._leave(stream)
        await self._control.close()

    async def _leave(self, stream: _Stream) -> None:
        """Give all back that is pending for us, known or not; with none, the group forgets us."""
        start = b"-"
        command = b"XPENDING", stream.name, self._group
        while pending := await self._control.call(*command, start, b"+", b"%d" % IDS, self._member):
            ids = [each[0] for each in pending]
            self.lost += len(ids) - await self._reclaim(stream, ids, self._lease)
            start = b"(" + pending[-1][0]
        if start == b"-":
            forget = b"EVAL", _FORGET, b"1", stream.name, self._group, self._member
            await self._control.call(*forget)


_FORGET = b"""
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
"""
"""A member that is deleted takes its pending entries with it: so only one without any is."""


def _by_stream(handles: Iterable[Handle]) -> Iterable[tuple[_Stream, list[Id]]]:
    found: dict[bytes, tuple[_Stream, list[Id]]] = {}
    for handle in cast("Iterable[_Handle]", handles):
        found.setdefault(handle.stream.name, (handle.stream, []))[1].append(handle.id)
    return found.values()


def _chunks(ids: Sequence[Id]) -> Iterable[Sequence[Id]]:
    return (ids[start : start + IDS] for start in range(0, len(ids), IDS))


def _raise_unless_it_passes(failure: Failure) -> None:
    if failure.failure_class is not FailureClass.RETRYABLE:
        raise BrokerError(replace(failure, failure_class=FailureClass.CONFIGURATION)) from None
