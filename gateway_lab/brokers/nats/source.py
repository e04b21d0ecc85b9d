"""Reading JetStream as one member of a durable consumer.

The client's own fetch makes a task for each message, so the source asks for messages by itself:
a request names how many may come, and they arrive as a stream. One more request goes out whenever
half of them are read.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, Final, cast

from nats import errors
from nats.aio.msg import Msg

from gateway_lab.brokers.contract import Batch, BrokerError, Failure, FailureClass, Handle
from gateway_lab.brokers.nats.link import (
    ANSWER_LIMIT_S,
    ApiError,
    Inbox,
    Link,
    LostError,
    Session,
    end_task,
)
from gateway_lab.brokers.nats.message import read_message
from gateway_lab.brokers.pauses import pauses
from gateway_lab.messages.message import Message

REQUEST_S: Final = 20.0
"""How long the server keeps a request for messages."""

REQUEST_BYTES: Final = 8 * 1024 * 1024
CLOSE_LIMIT_S: Final = 2.0

_NO_CONSUMER: Final = 10014
_ACK, _NAK, _BUSY = b"+ACK", b"-NAK", b"+WPI"


class Consumer:
    """A durable consumer of one stream, and what was asked of it.

    Attributes:
        stream: The stream's name.
        durable: The consumer's own.
        subjects: What of the stream it gets.
        is_troubled: Whether a request failed in a way that may mean that it is gone.
        lost: What the stream had dropped unread when this was opened, where that can be told.
    """

    def __init__(self, stream: str, durable: str, subjects: Iterable[str]) -> None:
        self.stream, self.durable, self.subjects = stream, durable, sorted(subjects)
        self.is_troubled = False
        self.lost = 0
        self._session: Session | None = None
        self._inbox: Inbox | None = None
        self._prefix = ""
        self._numbers = count()
        self._requests: dict[str, int] = {}

    async def make(self, session: Session, lease_s: float) -> None:
        """Make it, or bring the one that is there in line.

        Raises:
            ApiError: It cannot be made like this.
        """
        wanted = {
            "ack_policy": "explicit",
            "ack_wait": int(lease_s * 1e9),
            "max_deliver": -1,  # else JetStream drops what failed too often
            "max_ack_pending": -1,  # the window of the gateway bounds it
            "filter_subjects": self.subjects,
        }
        name = f"{self.stream}.{self.durable}"
        try:
            info = await session.api(f"CONSUMER.INFO.{name}")
            there = info["config"]
            self.lost = await self._count_lost(session, info)
        except ApiError as error:
            if error.code != _NO_CONSUMER:
                raise
            there = {"name": self.durable, "durable_name": self.durable, "deliver_policy": "all"}
        if only := there.pop("filter_subject", None):
            there["filter_subjects"] = [only]
        there.pop("backoff", None)  # it would stand in for ack_wait
        if there | wanted != there:
            request = {"stream_name": self.stream, "config": there | wanted}
            await session.api(f"CONSUMER.CREATE.{name}", request)

    async def _count_lost(self, session: Session, info: Mapping[str, Any]) -> int:
        """Count what lies between the last that was delivered and the first that is left.

        Not told are what was delivered, given back and dropped then, and on a stream of more
        subjects which of them a message had.
        """
        stream = await session.api(f"STREAM.INFO.{self.stream}")
        config, first = stream["config"], stream["state"]["first_seq"]
        if config["retention"] != "limits" or sorted(config["subjects"]) != self.subjects:
            return 0
        return max(0, int(first) - 1 - int(info["delivered"]["stream_seq"]))

    async def attach(self, session: Session, arrive: Callable[[Msg], None]) -> None:
        """Listen on a session for what will be asked for."""
        if session is self._session:
            return
        self._prefix = session.client.new_inbox()
        self._requests.clear()

        def take(message: Msg) -> None:
            if message.reply:
                self._count_one()
            else:
                self._end_request(message)
            arrive(message)

        self._inbox = await session.subscribe(f"{self._prefix}.*", take)
        self._session = session

    async def request(self, limit: int, waiting: int) -> None:
        """Ask for as many messages as there is room for, once that is half of the limit."""
        room = limit - waiting - sum(self._requests.values())
        if self._session is None or 2 * room < limit:
            return
        reply = f"{self._prefix}.{next(self._numbers)}"
        self._requests[reply] = room
        options = {"batch": room, "expires": int(REQUEST_S * 1e9), "max_bytes": REQUEST_BYTES}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}"
        await self._session.client.publish(subject, json.dumps(options).encode(), reply)

    def forget_requests(self) -> None:
        """Count on none of the requests any longer: they are too old."""
        self._requests.clear()

    def _count_one(self) -> None:
        for reply, left in self._requests.items():  # they are served one behind the other
            if left > 1:
                self._requests[reply] = left - 1
            else:
                del self._requests[reply]
            return

    def _end_request(self, status: Msg) -> None:
        """Take in why the server ends a request: 404 and 408 say that no message came."""
        self._requests.pop(status.subject, None)
        code = (status.headers or {}).get("Status")
        self.is_troubled |= code not in {"404", "408"}

    async def drain(self) -> None:
        """Ask for nothing more, and take what is on its way."""
        if self._inbox is not None:
            await self._inbox.drain()


class NatsSource:
    """A source over one durable consumer of each stream."""

    starts = None

    @property
    def lost(self) -> int:
        """How many messages the streams had dropped before anybody read them."""
        return sum(each.lost for each in self._consumers)

    def __init__(self, link: Link, consumers: Sequence[Consumer], lease_s: float) -> None:
        self._link, self._consumers, self._lease_s = link, consumers, lease_s
        self._arrived: deque[Msg] = deque()
        self._held: dict[str, float] = {}
        self._stale: set[str] = set()
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Make the consumers.

        Raises:
            BrokerError: Of class `configuration`.
        """
        for consumer in self._consumers:
            await self._link.insist(partial(consumer.make, lease_s=self._lease_s))
        self._keeper = asyncio.create_task(self._keep_leases())

    # --- reading ---

    async def read(self, limit: int) -> Batch:
        """Wait for messages; see the contract."""
        waits = pauses()
        while True:
            self._wake.clear()
            try:
                await self._ask_for(limit)
                if self._arrived:
                    return self._batch(limit)  # nothing is awaited once they are taken
                async with asyncio.timeout(REQUEST_S + ANSWER_LIMIT_S):
                    await self._wake.wait()
            except TimeoutError:
                for consumer in self._consumers:
                    consumer.forget_requests()
            except (LostError, errors.Error):
                await asyncio.sleep(next(waits))

    async def _ask_for(self, limit: int) -> None:
        """Ask for messages, on a new session if need be."""
        if self._is_closed:
            closed = Failure(FailureClass.CONFIGURATION, "the source is closed")
            raise BrokerError(closed, where=self._link.alias)
        session = await self._link.connected()
        if session is not self._session:
            for consumer in self._consumers:
                await consumer.attach(session, self._arrive)
            session.at_end.append(self._wake.set)
            self._session, self._stale = session, set(self._held)
        left = max(0, len(self._arrived) - limit)
        for consumer in self._consumers:
            if consumer.is_troubled:
                await self._look_after(session, consumer)
            await consumer.request(limit, left)

    async def _look_after(self, session: Session, consumer: Consumer) -> None:
        """Find out whether a consumer is still there."""
        try:
            await session.api(f"CONSUMER.INFO.{consumer.stream}.{consumer.durable}")
        except ApiError:
            reason = f"the consumer {consumer.durable!r} or its stream is gone"
            gone = Failure(FailureClass.CONFIGURATION, reason)
            raise BrokerError(gone, where=self._link.alias) from None
        consumer.is_troubled = False

    def _arrive(self, message: Msg) -> None:
        if message.reply:
            self._held[message.reply] = monotonic()
            self._arrived.append(message)
        self._wake.set()

    def _batch(self, limit: int) -> Batch:
        received = datetime.now(UTC)
        messages: list[Message] = []
        handles: list[str] = []
        attempts: list[int] = []
        for _ in range(min(limit, len(self._arrived))):
            message = self._arrived.popleft()
            # $JS.ACK.[domain.account.]stream.consumer.deliveries.sequence.….nanoseconds.…
            tokens = message.reply.split(".")
            start = 4 if len(tokens) == 9 else 6
            messages.append(
                read_message(
                    message,
                    alias=self._link.alias,
                    received=received,
                    stored=datetime.fromtimestamp(int(tokens[start + 3]) / 1e9, UTC),
                    position=tokens[start + 1],
                )
            )
            handles.append(message.reply)
            attempts.append(int(tokens[start]) - 1)
        return Batch(messages, handles, attempts)

    # --- settling ---

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Acknowledge, and wait until the broker has it; see the contract."""
        by_consumer: dict[str, list[str]] = {}
        for handle in cast("Sequence[str]", handles):
            if handle in self._held:
                by_consumer.setdefault(_consumer_of(handle), []).append(handle)
        for acks in by_consumer.values():
            stale = [each for each in acks if each in self._stale]
            await self._tell(stale, _ACK)
            if len(stale) < len(acks):
                await self._acknowledge([each for each in acks if each not in self._stale])
            for each in acks:
                self._held.pop(each, None)

    async def _acknowledge(self, acks: Sequence[str]) -> None:
        """Acknowledge messages of one consumer: it answers the last once it has all before it.

        A server that has restarted may have forgotten that it delivered them, and then it does
        not answer: so what was read before the connection was lost is only told, and what is
        never answered comes again.
        """
        session = self._session
        if session is None or session is not self._link.session:
            await self._tell(acks, _ACK)
            return
        with suppress(errors.Error, LostError):
            for ack in acks[:-1]:
                await session.client.publish(ack, _ACK)
            await session.ask(acks[-1], _ACK)

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Let messages come again at once; see the contract."""
        acks = [each for each in cast("Sequence[str]", handles) if each in self._held]
        for each in acks:
            del self._held[each]
        await self._tell(acks, _NAK)

    async def _tell(self, acks: Iterable[str], word: bytes) -> None:
        """Send a word about messages; without a connection their leases run out by themselves."""
        if session := self._link.session:
            with suppress(errors.Error):
                for ack in acks:
                    await session.client.publish(ack, word)

    async def _keep_leases(self) -> None:
        """Show that what is held is being worked on, so that it does not come again."""
        third = self._lease_s / 3
        while True:
            await asyncio.sleep(third)
            since = monotonic() - third / 2
            await self._tell([ack for ack, taken in self._held.items() if taken <= since], _BUSY)

    async def close(self) -> None:
        """Give back what is not settled; the durable consumer stays."""
        self._is_closed = True
        self._wake.set()
        if self._keeper:
            await end_task(self._keeper)
        if self._link.session is None:
            return
        with suppress(errors.Error, LostError, TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                for consumer in self._consumers:
                    await consumer.drain()
                await self._tell(self._held, _NAK)
                await self._link.session.client.flush()
        self._held.clear()


def _consumer_of(ack: str) -> str:
    tokens = ack.split(".")
    return ".".join(tokens[: 4 if len(tokens) == 9 else 6])
