"""Sending to Kafka: one producer, whose answers the event loop fetches while any are open.

The client would call a callback for each message from another thread, and each call would wait
for the interpreter's lock: tried, it costs as much again as all the rest of sending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from types import MethodType
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing
from gateway_lab.brokers.kafka.errors import (
    TOO_LARGE,
    UNROUTABLE,
    classify,
    error_of,
    is_configuration,
)
from gateway_lab.brokers.kafka.settings import OnError
from gateway_lab.brokers.kafka.topics import Topics
from gateway_lab.protocols.kafka import check_channel, check_header

_SHORTEST_S: Final = 0.001
_LONGEST_S: Final = 0.02
"""How often answers are fetched: a busy sink has them at once, a broker that is away costs little."""

_REBUILD_S: Final = 0.25
_FLUSH_S: Final = 1.0
_ALONE_S: Final = 5.0

_ANY_PARTITION: Final = -1  # librdkafka's RD_KAFKA_PARTITION_UA
_CLOSED: Final = Failure(FailureClass.RETRYABLE, "the sink is closed", is_ambiguous=True)
_STALLED: Final = Failure(
    FailureClass.RETRYABLE, "the broker has not answered earlier messages yet"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_LOST: Final = frozenset(
    {
        KafkaError._FATAL,  # noqa: SLF001 - its public names
        KafkaError._GAPLESS_GUARANTEE,  # noqa: SLF001
        KafkaError._PURGE_INFLIGHT,  # noqa: SLF001
        KafkaError._PURGE_QUEUE,  # noqa: SLF001
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.PRODUCER_FENCED,
        KafkaError.UNKNOWN_PRODUCER_ID,
    }
)
"""What ends a producer, not a message: another one sends what has no answer, in order."""


class Producer(Protocol):
    """What is used of `confluent_kafka.Producer`."""

    def produce(self, topic: str, value: bytes | None, key: bytes | None, *more: Any) -> None:
        """Queue a message: partition, callback, the same again, milliseconds, headers.

        By their places, as names cost a third of the call.
        """

    def poll(self, timeout: float) -> int:
        """Call back for the answers that are there, and say how many."""

    def purge(self) -> None:
        """Give up what is queued or on its way; each message has an answer."""

    def flush(self, timeout: float) -> int:
        """Wait until every message has an answer, and say how many have none."""

    def close(self) -> object:
        """End the client."""

    def __len__(self) -> int: ...


class _Sending:
    """A batch on its way: counts its answers down, and wakes its sender once.

    Attributes:
        answers: For each message its failure, None if confirmed, `...` while there is no answer.
        queued: How many of its messages the client has, or are answered.
    """

    __slots__ = ("_left", "_on_lost", "answers", "batch", "done", "queued")

    def __init__(self, batch: Sequence[Outgoing], on_lost: Callable[[], None]) -> None:
        self.batch = batch
        self.answers: list[Any] = [...] * len(batch)
        self.queued = 0
        self.done = asyncio.get_running_loop().create_future()
        self._left = len(batch)
        self._on_lost = on_lost

    def answer(self, index: int, failure: Failure | None) -> None:
        """Note what became of a message."""
        self.answers[index] = failure
        self._left -= 1
        if not self._left:
            self._wake()

    def _wake(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def delivered(self, index: int, error: KafkaError | None, _: object) -> None:
        """Take an answer of the client."""
        if error is None:  # the way of nearly all, without another call
            self.answers[index] = None
            self._left -= 1
            if not self._left:
                self._wake()
        elif _is_lost(error):
            self._on_lost()
        else:
            self.answer(index, classify(error))

    @property
    def waiting(self) -> list[int]:
        """Those that were queued and have no answer."""
        return self._open(0, self.queued)

    @property
    def unqueued(self) -> list[int]:
        """Those that are to be queued."""
        return self._open(self.queued, len(self.batch))

    def _open(self, start: int, end: int) -> list[int]:
        return [index for index in range(start, end) if self.answers[index] is ...]


class KafkaSink:
    """Sends to any topic of one cluster; see `contract.Sink`.

    Args:
        topics: Those that there are: Kafka would create others.
        make_producer: Called for the first producer, and again when one came to its end.
    """

    sends_at_once = 64  # the client keeps order by itself, and tries again by itself

    def __init__(self, topics: Topics, make_producer: Callable[[OnError], Producer]) -> None:
        self._topics, self._make_producer = topics, make_producer
        self._producer = make_producer(self._heard)
        self._turn = asyncio.Lock()
        self._sendings: dict[_Sending, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._pause = _SHORTEST_S
        self._is_lost = self._is_closed = False
        self._refused: Failure | None = None

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send messages and wait for every answer; see the contract.

        A broker that is away is no failure here: the client sends again, in order, for as long
        as it takes.
        """
        if self._is_closed:
            return [_CLOSED] * len(batch)
        if not batch:
            return []
        async with self._turn:  # batches are queued one after the other, and answered together
            sending = await self._start(batch)
        answers = await self._finish(sending)
        if TOO_LARGE in answers:
            for index in [each for each, answer in enumerate(answers) if answer is TOO_LARGE]:
                answers[index] = await self._send_alone(batch[index])
        return answers

    async def _send_alone(self, message: Outgoing) -> Failure | None:
        """Try again what was too large: the server refuses requests, and others were in this one."""
        async with self._turn:
            try:
                async with asyncio.timeout(_ALONE_S):
                    await self._be_alone()
            except TimeoutError:  # a partition that stalls may not hold up all others
                return _STALLED
            [answer] = await self._finish(await self._start([message]))
        return answer

    async def _be_alone(self) -> None:
        """Wait until the client has nothing, also of sends that nobody waits for any more."""
        while len(self._producer) and not self._is_closed:
            self._watch()
            await asyncio.sleep(_SHORTEST_S)

    async def _start(self, batch: Sequence[Outgoing]) -> _Sending:
        sending = _Sending(batch, self._lose)
        self._sendings[sending] = None
        try:
            await self._queue_all(sending)
        except BrokerError as error:
            self._answer_all(sending, error.failure)
        except asyncio.CancelledError:
            del self._sendings[sending]
            raise
        return sending

    async def _queue_all(self, sending: _Sending) -> None:
        channels = {each.channel for each in sending.batch}
        there = await self._topics.find([each for each in channels if _problem(each) is None])
        headers = chain.from_iterable([each.headers for each in sending.batch])
        names = set(map(itemgetter(0), headers))
        if not channels <= there or any(map(check_header, names)):
            self._refuse(sending, there)
        self._watch()
        self._queue(sending)
        while sending.queued < len(sending.batch):  # no room: answers make it, or a new producer
            await asyncio.sleep(_SHORTEST_S)
            self._queue(sending)

    def _refuse(self, sending: _Sending, there: frozenset[str]) -> None:
        """Answer what is not to be queued at all."""
        for index, message in enumerate(sending.batch):
            if failure := _refusal(message, there):
                sending.answer(index, failure)

    async def _finish(self, sending: _Sending) -> list[Failure | None]:
        try:
            await sending.done
        finally:
            self._sendings.pop(sending, None)
        return sending.answers

    def _queue(self, sending: _Sending) -> None:
        """Queue messages from where it stopped, until one finds no room."""
        if self._is_closed:
            self._answer_all(sending, _CLOSED)
        while not self._is_lost and sending.queued < len(sending.batch):
            try:
                self._produce(sending, sending.unqueued)
            except BufferError:
                return
            except (KafkaException, UnicodeError) as exception:
                self._take(sending, exception)

    def _produce(self, sending: _Sending, indexes: Sequence[int]) -> None:
        """Queue some messages of a batch; `queued` is the first that was not, if it raises."""
        produce, delivered, batch = self._producer.produce, sending.delivered, sending.batch
        time, milliseconds = None, 0
        for index in indexes:
            sending.queued = index
            message = batch[index]
            headers = message.headers
            if message.timestamp is not time:  # those of a moment share one, as a rule
                time = message.timestamp
                milliseconds = _milliseconds(time)
            produce(
                message.channel,
                message.body,
                message.key,
                _ANY_PARTITION,
                MethodType(delivered, index),  # half the cost of a partial
                None,
                milliseconds,
                headers if isinstance(headers, list) else list(headers),
            )
        sending.queued = len(batch)

    def _take(self, sending: _Sending, exception: Exception) -> None:
        """Take what the client says of the next message, or of itself."""
        failure = Failure(FailureClass.PERMANENT, "the name of a header is no text")
        if isinstance(exception, KafkaException):
            error = error_of(exception)
            if _is_lost(error):
                self._lose()
                return
            failure = classify(error)
        sending.answer(sending.queued, failure)
        sending.queued += 1

    def _answer_all(self, sending: _Sending, failure: Failure) -> None:
        """Answer what has no answer yet, queued or not."""
        sending.queued = len(sending.batch)
        for index in sending.waiting:
            sending.answer(index, failure)

    # --- answers ---

    def _watch(self) -> None:
        """See to it that answers are fetched, soon."""
        self._pause = _SHORTEST_S
        if self._timer is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._fetch)

    def _fetch(self) -> None:
        self._timer = None
        served = self._producer.poll(0)
        if self._refused:
            self._give_up(self._refused)
        if not self._sendings:
            return
        self._pause = _SHORTEST_S if served else min(1.5 * self._pause, _LONGEST_S)
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._fetch)

    def _heard(self, error: KafkaError) -> None:
        """Take an error of the whole client; it mends the others itself."""
        if is_configuration(error):
            self._refused = classify(error)
        elif error.fatal():
            self._lose()

    # --- a producer that came to its end ---

    def _lose(self) -> None:
        if not self._is_lost and not self._is_closed:
            self._is_lost = True
            asyncio.get_running_loop().call_later(_REBUILD_S, self._rebuild)

    def _rebuild(self) -> None:
        """Send what has no answer with another producer, in the order in which it was queued."""
        if self._is_closed:
            return
        self._replace_producer()
        try:
            for sending in self._sendings:
                self._produce_again(sending)
        except (BufferError, KafkaException):
            self._lose()
        self._watch()

    def _produce_again(self, sending: _Sending) -> None:
        queued = sending.queued
        try:
            self._produce(sending, sending.waiting)
        finally:
            sending.queued = queued

    def _give_up(self, failure: Failure) -> None:
        """Answer everything that is open: the broker refuses us."""
        self._replace_producer()
        for sending in self._sendings:
            for index in sending.waiting:
                sending.answer(index, failure)
        self._refused = None

    def _replace_producer(self) -> None:
        self._end_producer()
        self._producer = self._make_producer(self._heard)
        self._is_lost = False

    def _end_producer(self) -> None:
        """Get the answers that are there, and a purge for the rest."""
        self._is_lost = True  # what is purged has no answer
        self._producer.poll(0)
        self._producer.purge()
        self._producer.flush(_FLUSH_S)
        self._producer.close()

    async def close(self) -> None:
        """Send nothing more; what is open is answered as unknown."""
        if self._is_closed:
            return
        self._is_closed = self._is_lost = True
        if self._timer:
            self._timer.cancel()
        for sending in self._sendings:
            self._answer_all(sending, _CLOSED)
        await asyncio.to_thread(self._end_producer)


_problem = lru_cache(maxsize=4_096)(check_channel)


def _is_lost(error: KafkaError) -> bool:
    return error.code() in _LOST or error.fatal()


def _refusal(message: Outgoing, there: Container[str]) -> Failure | None:
    if problem := _problem(message.channel):
        return Failure(FailureClass.PERMANENT, f"illegal topic: {problem}")
    for name, _ in message.headers:
        if problem := check_header(name):
            return Failure(FailureClass.PERMANENT, f"illegal header: {problem}")
    return None if message.channel in there else UNROUTABLE


def _milliseconds(time: datetime | None) -> int:
    """Return Unix time; 0, which Kafka's client takes for now, where there is none before it."""
    return max(0, (time - _EPOCH) // _MILLISECOND) if time else 0
