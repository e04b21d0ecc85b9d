"""Publishing to RabbitMQ: a batch is written at once, then its confirms are counted down.

One channel for each exchange: a server answers a publish to an exchange that is not there by
closing the channel, and must not take the messages of others with it.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from secrets import token_hex

import aiormq
from aiormq.abc import AbstractChannel

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing
from gateway_lab.brokers.rabbitmq.contents import Content, Taker, read_properties
from gateway_lab.brokers.rabbitmq.frames import PublishEncoder, UnsendableError
from gateway_lab.brokers.rabbitmq.link import (
    ANSWER_LIMIT_S,
    Link,
    LostError,
    arriving,
    ask,
    close_quietly,
    forget,
    refusal,
    release_writers,
    write,
)
from gateway_lab.protocols.rabbitmq import CARRIES, TargetOptions

_BLOCKED_LIMIT_S = 1.0  # how long a send waits for a broker that takes no messages

_AWAY = Failure(FailureClass.RETRYABLE, "no connection to the broker")
_LOST = Failure(
    FailureClass.RETRYABLE, "the connection was lost before the confirm", is_ambiguous=True
)
_SILENT = Failure(
    FailureClass.RETRYABLE, f"no confirm within {ANSWER_LIMIT_S:.0f} seconds", is_ambiguous=True
)
_STALLED = Failure(FailureClass.RETRYABLE, "the broker has not answered earlier messages yet")
_BLOCKED = Failure(
    FailureClass.RETRYABLE, "the broker takes no messages now: memory or disk is low"
)
_NACKED = Failure(FailureClass.RETRYABLE, "the broker did not store the message")
_NO_EXCHANGE = Failure(FailureClass.UNROUTABLE, "there is no such exchange")
_NO_QUEUE = Failure(FailureClass.UNROUTABLE, "no queue takes the channel")


class RabbitmqSink:
    """Sends to any queue and exchange of one virtual host."""

    sends_at_once = 1

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lanes: dict[str, _Lane] = {}
        self._is_closed = False

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send messages and wait for every confirm; see the contract."""
        if self._is_closed:
            return [_AWAY] * len(batch)
        exchanges = {_exchange(each) for each in batch}
        if len(exchanges) == 1:
            return await self._lane(exchanges.pop()).send(batch)
        return await self._send_by_exchange(batch)

    async def _send_by_exchange(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send each exchange's part side by side: order is promised within a channel only."""
        parts: defaultdict[str, list[int]] = defaultdict(list)
        for index, each in enumerate(batch):
            parts[_exchange(each)].append(index)
        answers: list[Failure | None] = [None] * len(batch)
        sent = await asyncio.gather(
            *[
                self._lane(exchange).send([batch[index] for index in part])
                for exchange, part in parts.items()
            ]
        )
        for part, failures in zip(parts.values(), sent, strict=True):
            for index, failure in zip(part, failures, strict=True):
                answers[index] = failure
        return answers

    def _lane(self, exchange: str) -> _Lane:
        return self._lanes.get(exchange) or self._lanes.setdefault(
            exchange, _Lane(self._link, exchange)
        )

    async def close(self) -> None:
        """Close the channels; the connection is the broker's to close."""
        self._is_closed = True
        for lane in self._lanes.values():
            await lane.close()


def _exchange(outgoing: Outgoing) -> str:
    options = outgoing.options
    return (options.exchange or "") if isinstance(options, TargetOptions) else ""


class _Lane:
    """The channel to one exchange, and what is on its way there."""

    def __init__(self, link: Link, exchange: str) -> None:
        self._link, self._exchange = link, exchange
        self._open: _OpenLane | None = None
        self._lock = asyncio.Lock()
        self._largest = CARRIES.body_bytes

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        flight = _Flight(len(batch))
        failure = await self._start(batch, flight)
        if failure is not None:
            return [failure] * len(batch)
        await flight.land()
        answers = list(flight.answers)  # its own may change, if it is late
        for index in flight.unanswered():
            answers[index] = (
                _SILENT if flight.end is None else self._judge(batch[index], flight.end)
            )
        return answers

    async def _start(self, batch: Sequence[Outgoing], flight: _Flight) -> Failure | None:
        """Write a batch; a failure stands for all of it, and nothing was written."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S), self._lock:
                lane = await self._ready()
                return await lane.depart(batch, flight, self._largest)
        except (LostError, TimeoutError):
            return _AWAY
        except BrokerError as error:
            return error.failure

    async def _ready(self) -> _OpenLane:
        if self._open is None or self._open.is_lost:
            self._open = await _OpenLane.open(self._link, self._exchange)
        return self._open

    def _judge(self, outgoing: Outgoing, end: BaseException) -> Failure:
        """Say what the end of the channel means for a message without an answer."""
        limit = _size_limit(end)
        if limit is None:
            return _meaning(end)
        self._largest = min(self._largest, limit)
        size = len(outgoing.body or b"")
        return _too_large(size, limit) if size > limit else _LOST

    async def close(self) -> None:
        if self._open is not None:
            await close_quietly(self._open.channel)


class _OpenLane:
    """An open channel in confirm mode."""

    def __init__(
        self, connection: aiormq.Connection, channel: AbstractChannel, exchange: str
    ) -> None:
        self.channel = channel
        self.is_lost = False
        self._connection = connection
        self._encoder = PublishEncoder(
            channel.number, exchange, connection.connection_tune.frame_max or 0
        )
        self._name = token_hex(4).encode()
        self._next_tag = 1
        self._flights: deque[_Flight] = deque()
        self._taker = Taker(self._returned, self._confirmed)
        arriving(channel).takers[channel.number] = self._taker
        self._closing = channel.closing
        self._closing.add_done_callback(self._ended)

    @classmethod
    async def open(cls, link: Link, exchange: str) -> _OpenLane:
        connection = await link.connection()
        channel = await ask(connection.channel(publisher_confirms=False))
        await ask(channel.confirm_delivery())
        return cls(connection, channel, exchange)

    async def depart(
        self, batch: Sequence[Outgoing], flight: _Flight, largest: int
    ) -> Failure | None:
        """Write a batch, unless the broker takes nothing now."""
        try:
            async with asyncio.timeout(_BLOCKED_LIMIT_S):
                await self._connection.ready()
        except TimeoutError:
            return _BLOCKED
        if self._flights and not await self._late_have_landed():
            return _STALLED
        await write(self.channel, self._encode(batch, flight, largest))
        # No await from here on: an answer cannot come before its flight is noted.
        if self.is_lost:
            return _AWAY
        flight.depart(self._next_tag)
        self._next_tag = flight.tags.stop
        self._flights.append(flight)
        return None

    async def _late_have_landed(self) -> bool:
        """Wait for those that timed out: to write more would only store more copies."""
        for late in [each for each in self._flights if each.is_late]:
            await asyncio.wait((late.landed,), timeout=ANSWER_LIMIT_S / 2)
        return not any(each.is_late for each in self._flights)

    def _encode(self, batch: Sequence[Outgoing], flight: _Flight, largest: int) -> bytes:
        """Encode what can be sent; the AMQP message id names the tag, so each is unique."""
        parts: list[bytes] = []
        encode, name, tag = self._encoder.encode, self._name, self._next_tag
        for index, each in enumerate(batch):
            try:
                if each.body and len(each.body) > largest:
                    flight.answers[index] = _too_large(len(each.body), largest)
                    continue
                parts.append(encode(each, b"%s-%x" % (name, tag)))
            except UnsendableError as error:
                flight.answers[index] = Failure(FailureClass.PERMANENT, str(error))
            else:
                flight.indexes.append(index)
                tag += 1
        return b"".join(parts)

    def _confirmed(self, tag: int, is_multiple: bool, is_stored: bool) -> None:  # noqa: FBT001
        failure = None if is_stored else _NACKED
        for flight in self._flights:
            if tag < flight.tags.start:
                break
            if is_multiple:
                flight.answer_up_to(tag, failure)
            elif tag in flight.tags:
                flight.answer(tag, failure)
        while self._flights and self._flights[0].landed.done():
            self._flights.popleft()

    def _returned(self, content: Content) -> None:
        """Note a message that came back; its confirm follows."""
        tag = int(read_properties(content[1]).message_id.rsplit("-", 1)[1], 16)
        for flight in self._flights:
            if tag in flight.tags:
                flight.note(tag, _NO_QUEUE)

    def _ended(self, closing: asyncio.Future[object]) -> None:
        self.is_lost = True
        forget(self.channel, self._taker)
        end = None if closing.cancelled() else closing.exception()
        for flight in self._flights:
            flight.cut_short(end or LostError())
        self._flights.clear()
        release_writers(self.channel)


class _Flight:
    """A batch on its way.

    Attributes:
        answers: One for each message of the batch; a returned one is noted before its confirm.
        indexes: Which messages of the batch were written, in the order of their tags.
        tags: The tags of those.
        end: What closed the channel, if that came before all answers.
        landed: Done when every message has its answer, or the channel is gone.
        is_late: Whether the sender has given up waiting.
    """

    def __init__(self, size: int) -> None:
        self.answers: list[Failure | None] = [None] * size
        self.indexes: list[int] = []
        self.tags = range(0)
        self.end: BaseException | None = None
        self.landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_late = False
        self._waiting: set[int] = set()
        self._low = 0

    def depart(self, first_tag: int) -> None:
        """Note that all are written, in one go."""
        self.tags = range(first_tag, first_tag + len(self.indexes))
        self._waiting, self._low = set(self.tags), first_tag
        self._land_if_complete()

    def answer(self, tag: int, failure: Failure | None) -> None:
        """Note the answer to one message."""
        if tag in self._waiting:
            self._waiting.remove(tag)
            self._note(tag, failure)
            self._land_if_complete()

    def answer_up_to(self, last: int, failure: Failure | None) -> None:
        """Note the answer to all up to a tag that have none."""
        end = min(last + 1, self.tags.stop)
        for tag in range(self._low, end):
            if tag in self._waiting:
                self._waiting.remove(tag)
                self._note(tag, failure)
        self._low = max(self._low, end)
        self._land_if_complete()

    def _note(self, tag: int, failure: Failure | None) -> None:
        if failure is not None:
            self.note(tag, failure)

    def note(self, tag: int, failure: Failure) -> None:
        """Note what is wrong with a message."""
        self.answers[self.indexes[tag - self.tags.start]] = failure

    def _land_if_complete(self) -> None:
        if not self._waiting and not self.landed.done():
            self.landed.set_result(None)

    def cut_short(self, end: BaseException) -> None:
        """Land without the missing answers."""
        self.end = end
        if not self.landed.done():
            self.landed.set_result(None)

    def unanswered(self) -> list[int]:
        """Give the indexes of messages without an answer."""
        return [self.indexes[tag - self.tags.start] for tag in sorted(self._waiting)]

    async def land(self) -> None:
        """Wait for the answers, as long as some come."""
        left = -1
        while not self.landed.done() and left != len(self._waiting):
            left = len(self._waiting)
            await asyncio.wait((self.landed,), timeout=ANSWER_LIMIT_S)
        self.is_late = not self.landed.done()


def _meaning(end: BaseException) -> Failure:
    """Say what the end of a channel means for a message that was on its way."""
    if isinstance(end, aiormq.ChannelNotFoundEntity):
        return _NO_EXCHANGE
    if isinstance(end, aiormq.ChannelAccessRefused):
        return Failure(FailureClass.CONFIGURATION, refusal(end))
    return _LOST


_SIZE_LIMIT = re.compile(r"larger than (?:configured )?max size '?(\d+)")


def _size_limit(end: BaseException) -> int | None:
    """Read the size that the server allows out of its refusal: it has no other way to say it."""
    found = _SIZE_LIMIT.search(str(end))
    return int(found[1]) if found else None


def _too_large(size: int, most: int) -> Failure:
    reason = f"its body takes {size} bytes, the broker takes {most}"
    return Failure(FailureClass.PERMANENT, reason)
