"""Writes batches: rows, groups and guard of one batch in one transaction."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from operator import itemgetter
from typing import TypeVar

import msgspec

from gateway_lab.batches.batch import BatchMaker, batch_inputs
from gateway_lab.config.check_usage import EXACT_POSITIONS
from gateway_lab.config.plan import BatchPlan, Plan
from gateway_lab.events.event_type import EventType
from gateway_lab.gateway.batching.feed import RefusedRow
from gateway_lab.gateway.ids import NO_POSITIONS
from gateway_lab.gateway.stores.store import Guard, Store, Table, insert_all
from gateway_lab.gateway.window import Held
from gateway_lab.messages.message import Message
from gateway_lab.routing.values import Read, arrange, compile_read
from gateway_lab.rules.fill import Values

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A message of a batch: where it is held, and what event it is.

    Attributes:
        message: What was decided on: as it came, or with the body that its handler returned.
    """

    held: Held
    index: int
    event_type: str | None
    message: Message

    @property
    def came(self) -> Message:
        """The source message."""
        return self.held.batch.messages[self.index]


@dataclass(frozen=True, slots=True)
class Written:
    """What was stored.

    Attributes:
        taken: How many messages of the batch it is about, from the first.
        messages: The aggregates.
        refused: Messages whose rows the database refuses; if there are any, nothing is committed.
        guard: What is to be committed with them.
    """

    taken: int = 0
    messages: Sequence[Message] = ()
    refused: Sequence[RefusedRow] = ()
    guard: Guard | None = None


class Writer:
    """Writes the batches of one plan through one connection, in a thread of its own."""

    def __init__(
        self, plan: Plan, batch: BatchPlan, store: Store | None, *, gateway: str, creates: bool
    ) -> None:
        self._store, self._creates, self._gateway = store, creates, gateway
        self._thread = ThreadPoolExecutor(1, f"batch {batch.name}")
        self._use(plan, batch)

    def _use(self, plan: Plan, batch: BatchPlan) -> None:
        self.plan, self._digest = batch, plan.digest
        protocols = {each.protocol for each in plan.sources[batch.source].addresses}
        self._table = Table.of(batch, has_ids=not protocols <= EXACT_POSITIONS)
        types = plan.sources[batch.source].routed_types
        self._reads = {name: _compile_read(batch, each) for name, each in types.items()}
        self._untyped = _compile_read(batch, None)
        only = next(iter(types.values()), None) if len(types) == 1 else None
        self._maker = BatchMaker(batch, only)

    def change(self, plan: Plan) -> None:
        """Write by another version of the config from now on."""
        self._use(plan, plan.batches[self.plan.name])

    async def prepare(self) -> None:
        """Look whether the tables are there.

        Raises:
            BrokerError: They are not, or the database is away.
        """
        if store := self._store:
            await self._run(lambda: store.prepare(self._table, creates=self._creates))

    async def write(self, members: Sequence[Member]) -> Written:
        """Store as much of a batch as one transaction can.

        Raises:
            BrokerError: It is not stored, as far as one can know.
        """
        return await self._run(lambda: self._write(members))

    async def commit(self, written: Written) -> None:
        """Commit what was written without the rows that are refused.

        Raises:
            BrokerError: It is not stored, as far as one can know.
        """
        if store := self._store:
            await self._run(lambda: store.commit(written.guard))

    async def _run(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def close(self) -> None:
        """End the connection, whatever it waits for."""
        if self._store:
            self._store.abort()
            self._thread.submit(self._store.close)
        self._thread.shutdown(wait=False)

    # --- in the thread ---

    def _write(self, members: Sequence[Member]) -> Written:
        store = self._store
        if store is None:
            return self._made(members, self._values(members))
        if _is_range(members[0].message):
            return self._write_range(store, members)
        return self._write_ids(store, members)

    def _write_range(self, store: Store, members: Sequence[Member]) -> Written:
        """Store a run of positions, or the part of it before or in what is stored."""
        positions = [int(each.message.position or 0) for each in members]
        guard = store.find(self._place(members[0].message), positions[0], positions[-1])
        if guard and guard.first <= positions[0]:
            store.rollback()
            taken = bisect_right(positions, guard.last)
            return Written(taken, self._messages(members[0], guard))
        if guard:
            members = members[: bisect_left(positions, guard.first)]
        return self._insert(store, members)

    def _write_ids(self, store: Store, members: Sequence[Member]) -> Written:
        """Store what no guard knows, and send again what the guards of the rest say."""
        ids = [lasting_id(each.message) for each in members]
        place = self._place(members[0].message)
        known = store.find_ids(place, list(filter(None, ids)))
        again = {guard.place: guard for guard in known.values()}.values()
        messages = [each for guard in again for each in self._messages(members[0], guard)]
        seen = set(known)
        fresh = [
            each
            for each, id_ in zip(members, ids, strict=True)
            if id_ is None or not (id_ in seen or seen.add(id_))  # type: ignore[func-returns-value]
        ]
        if not fresh:
            store.rollback()
            return Written(len(members), messages)
        written = self._insert(store, fresh)
        return replace(written, taken=len(members), messages=[*messages, *written.messages])

    def _insert(self, store: Store, members: Sequence[Member]) -> Written:
        """Store messages that are stored nowhere."""
        values = self._values(members)
        refused = insert_all(
            lambda rows: store.insert(self._table, rows), list(map(self._maker.row, values))
        )
        written = self._made(members, values, refused)
        if not refused:
            store.commit(written.guard)
        return written

    def _made(
        self,
        members: Sequence[Member],
        values: Sequence[Values],
        refused: dict[int, str] | None = None,
    ) -> Written:
        """Aggregate what is stored."""
        refused = refused or {}
        good = [each for at, each in enumerate(values) if at not in refused]
        groups = self._maker.groups(good) if good and self.plan.targets else ()
        guard = msgspec.structs.replace(
            self._guard(members),
            rows=len(good),
            aggregates=tuple(each.body.decode() for each in groups),
        )
        return Written(
            len(members),
            self._messages(members[0], guard),
            [_refused(members[at].came, reason) for at, reason in refused.items()],
            guard if guard.ids or _is_range(members[0].message) else None,
        )

    def _guard(self, members: Sequence[Member]) -> Guard:
        """Name messages by their positions, or by their ids as far as they have any."""
        first, last = members[0].message, members[-1].message
        place = self._place(first)
        guard = Guard(place=place, first=0, last=0, rows=0, digest=self._digest, aggregates=())
        if _is_range(first):
            begin, end = int(first.position or 0), int(last.position or 0)
            return msgspec.structs.replace(guard, first=begin, last=end)
        ids = tuple(filter(None, (lasting_id(each.message) for each in members)))
        return msgspec.structs.replace(guard, place=f"{place}/{ids[0]}", ids=ids) if ids else guard

    def _values(self, members: Sequence[Member]) -> list[Values]:
        reads = self._reads
        return [
            (reads[each.event_type] if each.event_type else self._untyped)(each.message)
            for each in members
        ]

    def _messages(self, first: Member, guard: Guard) -> list[Message]:
        """Make the messages of the groups: each is named by where its batch begins."""
        message = first.message
        has_ids = guard.place != self._place(message)
        start = guard.place.rpartition("/")[2] if has_ids else str(guard.first)
        return [
            msgspec.structs.replace(
                message,
                body=body.encode(),
                key=None,
                headers=(),
                position=f"{start}.{number}",
                id=f"{start}.{number}" if has_ids else None,
            )
            for number, body in enumerate(guard.aggregates)
        ]

    def _place(self, message: Message) -> str:
        """Name a partition of a source, for this batch of this gateway."""
        parts = (self.plan.source, message.broker, message.channel, message.partition or "-")
        return "/".join((self._gateway, self.plan.name, *parts))


def _is_range(message: Message) -> bool:
    """Say whether what follows each other in its place has positions that grow."""
    return message.protocol in EXACT_POSITIONS


def lasting_id(message: Message) -> str | None:
    """Return what names a message of a place for ever; None: nothing does.

    Positions of a stream that is made anew begin again, so the time of the message stands beside.
    """
    if message.id is not None:
        return blake2b(message.id.encode(), digest_size=16).hexdigest()
    if message.position is None or message.protocol in NO_POSITIONS:
        return None
    return f"{message.position}@{message.timestamp.isoformat() if message.timestamp else ''}"


def _refused(message: Message, reason: str) -> RefusedRow:
    return RefusedRow(**msgspec.structs.asdict(message), reason=reason)


def _compile_read(plan: BatchPlan, event_type: EventType | None) -> Read:
    """Compile the reading of a batch's values, in the order that it takes them in."""
    inputs = batch_inputs(plan)
    arranged = arrange(inputs, event_type)
    read = compile_read(arranged, event_type, plan.source)
    if arranged == inputs or len(inputs) < 2:
        return read
    pick = itemgetter(*map(arranged.index, inputs))
    return lambda message: pick(read(message))
