"""Reading from RabbitMQ: deliveries pile up to the window, are settled in runs, die with a channel.

A handle is a delivery tag plus what all earlier channels of this source have counted to: handles
only grow, and one of a lost channel is known by being too small.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import cast

import aiormq
from aiormq.abc import AbstractChannel

from gateway_lab.brokers.contract import Batch, Handle
from gateway_lab.brokers.rabbitmq.contents import (
    Content,
    Properties,
    Taker,
    read_delivery,
    read_properties,
)
from gateway_lab.brokers.rabbitmq.frames import encode_acks, encode_requeues
from gateway_lab.brokers.rabbitmq.link import (
    Link,
    arriving,
    ask,
    close_quietly,
    forget,
    release_writers,
    write_through,
)
from gateway_lab.messages.message import Message
from gateway_lab.protocols.rabbitmq import ID_FROM_PROPERTY

WINDOW = 10_000
"""How many messages a source holds unsettled; the server sends no more."""

LEASE_S = 20 * 60.0
"""How long a message is held: then it goes back, before the server's 30 minutes close the channel."""

UNREAD_BYTES = 64 * 1024 * 1024
"""How much may wait to be read: beyond it, nothing is taken from the connection."""

_LEASE_STEPS = 4  # how often in a lease its age is looked at


class RabbitmqSource:
    """Reads some queues of one virtual host.

    Args:
        link: A connection of its own.
        queues: Names of queues, each with the channel that its messages are said to come from.
        id_from: Where a message's own id stands, as the options say it.
        window: How many messages may be unsettled, for each queue.
        lease_s: How long one may be.
    """

    starts = None
    lost = 0  # AMQP does not tell what a queue has dropped

    def __init__(
        self,
        link: Link,
        queues: Sequence[tuple[str, str]],
        *,
        id_from: str | None,
        window: int,
        lease_s: float,
    ) -> None:
        self._link, self._queues = link, queues
        self._id_of = _reader_of_ids(id_from)
        self._window, self._lease_s = window, lease_s
        self._inbox: _Inbox | None = None
        self._counted = 0
        self._lock = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect and start to consume.

        Raises:
            BrokerError: Of class `configuration`, such as a queue that is not there.
        """
        await self._consuming()
        self._watch = asyncio.create_task(self._watch_leases())

    async def read(self, limit: int) -> Batch:
        """Wait for at least one message and return what has arrived; see the contract."""
        while True:
            inbox = await self._consuming()
            if not inbox.arrived:
                await inbox.wait()
            if inbox.arrived:
                return self._batch(inbox, limit)

    def _batch(self, inbox: _Inbox, limit: int) -> Batch:
        messages: list[Message] = []
        handles: list[int] = []
        attempts: list[int] = []
        received, alias = datetime.now(UTC), self._link.alias
        for method, header, body in inbox.take(limit):
            delivery, properties = read_delivery(method), read_properties(header)
            handle = inbox.base + delivery.tag
            handles.append(handle)
            attempts.append(properties.delivery_count or int(delivery.is_redelivered))
            messages.append(
                Message(
                    body=body,
                    key=properties.key,
                    headers=properties.headers,
                    timestamp=properties.timestamp,
                    received=received,
                    broker=alias,
                    protocol="rabbitmq",
                    channel=inbox.channels[delivery.consumer_tag],
                    position=str(handle),
                    id=self._id_of(properties),
                )
            )
        return Batch(messages, handles, attempts)

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Acknowledge: what makes a run from the lowest with one frame; see the contract."""
        if self._inbox is not None:
            await self._inbox.settle(cast("Sequence[int]", handles))

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Put messages back into their queues; see the contract."""
        if self._inbox is not None:
            await self._inbox.give_back(cast("Sequence[int]", handles))

    async def close(self) -> None:
        """Stop consuming and close the connection: the server takes back what is unsettled."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
        if self._inbox is not None:
            await self._inbox.close()
        await self._link.close()

    # --- the channel ---

    async def _consuming(self) -> _Inbox:
        """Return the inbox that messages arrive in; open a channel, if there is none."""
        async with self._lock:
            if self._inbox is None or self._inbox.is_over:
                self._inbox = await self._link.patiently(self._consume)
            return self._inbox

    async def _consume(self) -> _Inbox:
        if self._inbox is not None:
            self._counted = self._inbox.top
            await self._inbox.close()
        channel = await self._link.channel()
        inbox = _Inbox(channel, self._counted)
        await ask(channel.basic_qos(prefetch_count=self._window))
        for number, (queue, said) in enumerate(self._queues):
            inbox.channels[str(number)] = said
            try:
                await ask(channel.basic_consume(queue, _never_called, consumer_tag=str(number)))
            except aiormq.AMQPChannelError as error:
                raise self._link.refused(error, queue) from None
        return inbox

    # --- leases ---

    async def _watch_leases(self) -> None:
        """Give everything back when one message was held too long.

        Nothing comes again until somebody reads: while a target is away for hours, a message goes
        back once, not every half hour.
        """
        while True:
            await asyncio.sleep(self._lease_s / _LEASE_STEPS)
            inbox = self._inbox
            if inbox is not None and inbox.is_overdue():
                await inbox.close()


def _reader_of_ids(id_from: str | None) -> Callable[[Properties], str | None]:
    if id_from is None:
        return lambda _: None
    if id_from == ID_FROM_PROPERTY:
        return lambda properties: properties.message_id or None
    wanted = id_from.partition(".")[2].lower()

    def read(properties: Properties) -> str | None:
        values = [value for name, value in properties.headers if name.lower() == wanted]
        return values[-1].decode(errors="backslashreplace") or None if values else None

    return read


async def _never_called(_: object) -> None:
    """Stand for the callback that aiormq asks for: deliveries are taken before it."""


def _size(content: Content) -> int:
    _, header, body = content
    return len(header) + len(body)


class _Inbox:
    """What arrives on one channel, and what of it is settled.

    Attributes:
        base: What handles of this channel are larger than.
        channels: Consumer tag to the channel that messages are said to come from.
        arrived: What nobody has read yet.
        top: The largest handle so far.
        is_over: Whether nothing will arrive any more and all handles are void.
    """

    def __init__(self, channel: AbstractChannel, base: int) -> None:
        self.base = self.top = self._low = base
        self.channels: dict[str, str] = {}
        self.arrived: deque[Content] = deque()
        self.is_over = False
        self._channel = channel
        self._settled: set[int] = set()
        self._tops: deque[int] = deque(maxlen=_LEASE_STEPS)
        self._unread_bytes = 0
        self._has_news = asyncio.Event()
        self._taker = Taker(self._add)
        self._arriving = arriving(channel)
        self._arriving.takers[channel.number] = self._taker
        channel.on_consumer_cancel_callbacks.add(self._end)
        self._closing = channel.closing
        self._closing.add_done_callback(self._end)

    def _add(self, content: Content) -> None:
        self.arrived.append(content)
        self.top += 1
        self._unread_bytes += _size(content)
        self._has_news.set()
        if self._unread_bytes > UNREAD_BYTES:
            self._arriving.pause()

    async def wait(self) -> None:
        """Wait until something arrived, or nothing will."""
        await self._has_news.wait()

    def take(self, limit: int) -> list[Content]:
        """Take the oldest out."""
        taken = [self.arrived.popleft() for _ in range(min(limit, len(self.arrived)))]
        self._unread_bytes -= sum(map(_size, taken))
        if self._unread_bytes <= UNREAD_BYTES:
            self._arriving.resume()
        if not self.arrived:
            self._has_news.clear()
        return taken

    # --- settling ---

    async def settle(self, handles: Iterable[int]) -> None:
        """Acknowledge those that are not settled yet."""
        fresh = self._note(handles)
        if not fresh:
            return
        base, low = self.base, self._low
        run = [each for each in fresh if each <= low]
        singles = [each - base for each in fresh if each > low]
        # The server wants the last of a run to be unsettled until now; those before may be gone.
        multiple = max(run) - base if run else None
        await self._write(encode_acks(self._channel.number, multiple, singles))

    async def give_back(self, handles: Iterable[int]) -> None:
        """Requeue those that are not settled yet, in their order."""
        fresh = self._note(handles)
        tags = [each - self.base for each in sorted(fresh)]
        if tags:
            await self._write(encode_requeues(self._channel.number, tags))

    def _note(self, handles: Iterable[int]) -> set[int]:
        """Note handles as settled; return those that were not."""
        if self.is_over:
            return set()
        low, settled = self._low, self._settled
        fresh = {each for each in handles if each > low} - settled
        settled |= fresh
        while low + 1 in settled:
            low += 1
            settled.remove(low)
        self._low = low
        return fresh

    async def _write(self, payload: bytes) -> None:
        await write_through(self._channel, payload, self._closing)

    # --- the end ---

    def is_overdue(self) -> bool:
        """Look at the age of the oldest unsettled; to be called once in each step of a lease."""
        is_overdue = len(self._tops) == _LEASE_STEPS and self._low < self._tops[0]
        self._tops.append(self.top)
        return is_overdue and not self.is_over

    def _end(self, _: object) -> None:
        """Void all handles: the channel is gone, or one of its queues."""
        self.is_over = True
        self.arrived.clear()
        self._arriving.resume()
        forget(self._channel, self._taker)
        self._has_news.set()
        release_writers(self._channel)

    async def close(self) -> None:
        """Close the channel: the server puts everything unsettled back."""
        self._end(None)
        await close_quietly(self._channel)
