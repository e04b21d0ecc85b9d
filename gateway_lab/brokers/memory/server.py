"""The little broker behind `memory.py`: channels with partitions, and groups that share them.

It knows nothing of sources and sinks. Safe to use from several threads and event loops.
"""

from __future__ import annotations

import asyncio
import zlib
from bisect import insort
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import RLock
from typing import Final
from urllib.parse import urlsplit

from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message

PARTITIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in a partition; its place there is its position."""

    body: bytes | None
    key: bytes | None
    headers: Headers
    timestamp: datetime | None

    def message(
        self, channel: str, partition: int, position: int, *, broker: str = "", protocol: str = ""
    ) -> Message:
        """Return the message as a reader gets it."""
        return Message(
            body=self.body,
            key=self.key,
            headers=self.headers,
            timestamp=self.timestamp,
            received=datetime.now(UTC),
            broker=broker,
            protocol=protocol,
            channel=channel,
            partition=str(partition),
            position=str(position),
        )


class MemoryServer:
    """The channels behind one address, shared by all connections of a process.

    It keeps every message until the process ends, and nothing longer.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.is_up = True
        self._channels: dict[str, list[list[Stored]]] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._waiting: set[Bell] = set()
        self._watching: set[Bell] = set()
        self._turn = 0

    @property
    def channels(self) -> frozenset[str]:
        """Names of the channels that there are."""
        with self.lock:
            return frozenset(self._channels)

    def create(self, channels: Iterable[str]) -> None:
        """Make channels, empty; those that are there stay as they are."""
        with self.lock:
            for channel in channels:
                self._channels.setdefault(channel, [[] for _ in range(PARTITIONS)])

    def delete(self, channel: str) -> None:
        """Remove a channel with its messages, and what groups knew of it."""
        with self.lock:
            del self._channels[channel]
            for name in [each for each in self._groups if each[1] == channel]:
                self._groups.pop(name).dissolve()

    def publish(self, channel: str, messages: Iterable[Message]) -> None:
        """Store messages as any client could.

        Raises:
            KeyError: There is no such channel.
        """
        self.store(channel, (Stored(m.body, m.key, m.headers, m.timestamp) for m in messages))

    def store(self, channel: str, messages: Iterable[Stored]) -> None:
        """Append to partitions: all of one key to the same.

        Raises:
            KeyError: There is no such channel.
        """
        with self.lock:
            partitions = self._channels[channel]
            for message in messages:
                partitions[self._partition_of(message.key)].append(message)
            for (_, name), group in self._groups.items():
                if name == channel:
                    group.wake()
            for bell in self._watching:
                bell.ring()

    def fetch(self, channel: str) -> list[Message]:
        """Return all messages of a channel, partition by partition; groups notice nothing.

        Raises:
            KeyError: There is no such channel.
        """
        with self.lock:
            return [
                stored.message(channel, partition, position, protocol="memory")
                for partition, log in enumerate(self._channels[channel])
                for position, stored in enumerate(log)
            ]

    def logs(self, channel: str) -> list[list[Stored]]:
        """Return the partitions of a channel as they grow; look at them with the lock held.

        Raises:
            KeyError: There is no such channel.
        """
        return self._channels[channel]

    def watch(self, bell: Bell) -> None:
        """Ring a bell whenever something is stored."""
        self._watching.add(bell)

    def unwatch(self, bell: Bell) -> None:
        """Ring it no longer."""
        self._watching.discard(bell)

    def stop(self) -> None:
        """Be away: every connection is cut, sends fail, reads wait."""
        with self.lock:
            self.is_up = False
            self.cut_connections()

    def start(self) -> None:
        """Be there again, with everything that was stored."""
        with self.lock:
            self.is_up = True
            for bell in self._waiting:
                bell.ring()
            for group in self._groups.values():
                group.wake()

    def cut_connections(self) -> None:
        """Break every connection: what was read and not settled comes again."""
        with self.lock:
            for group in self._groups.values():
                group.share_out()

    def join(self, name: str, channel: str, member: Member) -> Group:
        """Add a member to a group, whose partitions are shared out anew.

        Raises:
            KeyError: There is no such channel.
        """
        with self.lock:
            logs = self._channels[channel]
            group = self._groups.setdefault((name, channel), Group(logs))
            group.join(member, channel)
            return group

    async def wait_until_up(self) -> None:
        """Wait as long as the server is away."""
        bell = Bell()
        self._waiting.add(bell)
        try:
            while not self.is_up:
                await bell.wait()
        finally:
            self._waiting.discard(bell)

    def _partition_of(self, key: bytes | None) -> int:
        if key is not None:
            return zlib.crc32(key) % PARTITIONS
        self._turn += 1
        return self._turn % PARTITIONS


_SERVERS: dict[str, MemoryServer] = {}


def server_at(url: str) -> MemoryServer:
    """Return the server of an address `memory://NAME`; it is there once somebody asks."""
    return _SERVERS.setdefault(urlsplit(url).netloc, MemoryServer())


class Bell:
    """Wakes the one that waits for it, from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._is_rung = False

    def ring(self) -> None:
        """Wake it, or let it not fall asleep; ringing twice is ringing once."""
        if not self._is_rung:
            self._is_rung = True
            with suppress(RuntimeError):  # a loop that has ended waits for nothing
                self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Wait until it was rung since the last time."""
        await self._event.wait()
        self._event.clear()
        self._is_rung = False


@dataclass(slots=True)
class Member:
    """One that reads channels: its partitions and what wakes it, filled in by its groups."""

    bell: Bell
    owned: list[tuple[str, Cursor]]


class Cursor:
    """How far a group has come in one partition, and what its owner holds of it.

    Attributes:
        generation: Goes up whenever the partition changes hands or its owner's connection
            breaks; what was read before can then no longer be settled.
    """

    __slots__ = ("_held", "_next", "_returned", "deliveries", "generation", "index", "log")

    def __init__(self, index: int, log: list[Stored]) -> None:
        self.index, self.log = index, log
        self.generation = 0
        self.deliveries: dict[int, int] = {}
        self._next = 0
        self._held: set[int] = set()
        self._returned: list[int] = []

    def take(self, limit: int) -> list[int]:
        """Hand out positions, first those that come again."""
        again, self._returned = self._returned[:limit], self._returned[limit:]
        end = min(len(self.log), self._next + limit - len(again))
        positions = [*again, *range(self._next, end)]
        self._next = end
        self._held.update(positions)
        return positions

    def settle(self, position: int) -> None:
        """Never hand it out again."""
        self._held.discard(position)
        self.deliveries.pop(position, None)

    def give_back(self, position: int) -> None:
        """Hand it out again, in its place among others that come again."""
        if position in self._held:
            self._held.remove(position)
            self.deliveries[position] = self.deliveries.get(position, 0) + 1
            insort(self._returned, position)

    def revoke(self) -> None:
        """Take it from its owner, with all that is held."""
        for position in list(self._held):
            self.give_back(position)
        self.generation += 1


class Group:
    """The members that read one channel under one name, each of them some partitions."""

    def __init__(self, logs: list[list[Stored]]) -> None:
        self._members: list[Member] = []
        self._cursors = [Cursor(index, log) for index, log in enumerate(logs)]
        self._channel = ""

    def join(self, member: Member, channel: str) -> None:
        """Take a member in."""
        self._channel = channel
        self._members.append(member)
        self.share_out()

    def leave(self, member: Member) -> None:
        """Let a member go; its partitions go to others."""
        if member in self._members:
            self._disown(member)
            self._members.remove(member)
            self.share_out()

    def share_out(self) -> None:
        """Give every partition to a member, and to nobody what was read before."""
        for cursor in self._cursors:
            cursor.revoke()
        for index, member in enumerate(self._members):
            self._disown(member)
            mine = self._cursors[index :: len(self._members)]
            member.owned += [(self._channel, cursor) for cursor in mine]
        self.wake()

    def dissolve(self) -> None:
        """Take everything from everyone: the channel is gone."""
        for cursor in self._cursors:
            cursor.revoke()
        for member in self._members:
            self._disown(member)
        self._members.clear()

    def wake(self) -> None:
        """Let members look for messages."""
        for member in self._members:
            member.bell.ring()

    def _disown(self, member: Member) -> None:
        member.owned[:] = [each for each in member.owned if each[1] not in self._cursors]
