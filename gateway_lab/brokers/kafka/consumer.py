"""The thread that owns a consumer of Kafka: all calls to the client, and all it calls back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as RawMessage

from gateway_lab.brokers.contract import BrokerError
from gateway_lab.brokers.kafka.errors import (
    FENCED,
    classify,
    configuration,
    error_of,
    is_configuration,
)
from gateway_lab.brokers.kafka.messages import read_message
from gateway_lab.brokers.kafka.partition import Partition, Subscription
from gateway_lab.brokers.kafka.settings import Settings
from gateway_lab.brokers.kafka.shelf import Read, Shelf
from gateway_lab.brokers.kafka.watermark import Watermark

Answer = TypeVar("Answer")

COMMIT_S: Final = 1.0
"""How often what is settled is committed."""

REVOKE_S: Final = 20.0
"""How long a partition that goes elsewhere waits for its messages in hand."""

AHEAD: Final = 1_000
"""Where handlers run, how many messages of a partition count as under way before they are read."""

_POLL_S: Final = 0.05
_FULL_S: Final = 1.0  # a shelf that is full for longer pauses fetching
_TOPICS_S: Final = 10.0
_ASK_S: Final = 5.0
_LAST_COMMIT_S: Final = 5.0


class ConsumerThread(threading.Thread):
    """Polls, hands over, commits and closes; see `source.py`.

    Attributes:
        failure: Why nothing more is read; None while all is well.
        lost: How many messages were deleted before this group had read them.
        ahead: How many messages count as under way before they are read.
    """

    def __init__(
        self,
        settings: Settings,
        subscription: Subscription,
        alias: str,
        where: str,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(name=f"kafka {where}", daemon=True)
        self.failure: Exception | None = None
        self.lost = self.ahead = 0
        self._alias, self._where, self._wake = alias, where, wake
        self._subscription = subscription
        own = {"error_cb": self._heard, "on_commit": self._committed}
        self._consumer = Consumer(settings | own)
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._shelf = Shelf()
        self._wanted = 0
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._leaving: set[Watermark] = set()
        self._subscribed: list[str] = []
        self._is_resting = self._is_stopping = self._is_paused = False
        self._commit_at = self._topics_at = 0.0
        self._full_since: float | None = None

    # --- called by the event loop ---

    def take(self, limit: int) -> list[Read]:
        """Take what is there, at most `limit`, and let the thread fetch as much again."""
        self._wanted = limit
        reads = self._shelf.take(limit)
        if self._is_resting:
            self.do(_nothing)
        return reads

    def do(self, call: Callable[[], None]) -> None:
        """Have the thread do something, soon."""
        self._calls.put(call)

    def stop(self) -> None:
        """Have the thread commit, leave the group and end."""
        self._is_stopping = True
        self.do(_nothing)

    # --- what the thread does ---

    def run(self) -> None:
        """Work until stopped."""
        try:
            while not self._is_stopping:
                self._turn()
        except KafkaException as exception:
            self._fail(BrokerError(classify(error_of(exception)), where=self._where))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing more is read
            self._fail(error)
        finally:
            self._end()

    def _turn(self) -> None:
        self._serve()
        if self._is_due("_topics_at", _TOPICS_S):
            self._subscribe()
        if self._is_due("_commit_at", COMMIT_S):
            self._commit()
        if self._has_room():
            self._fetch()
        else:
            self._rest()

    def _serve(self, wait_s: float = 0) -> None:
        """Do what was asked for; wait for the first if `wait_s` says so."""
        with suppress(Empty):
            call = self._calls.get(timeout=wait_s) if wait_s else self._calls.get_nowait()
            while True:
                call()
                call = self._calls.get_nowait()

    def _is_due(self, name: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < getattr(self, name):
            return False
        setattr(self, name, now + every_s)
        return True

    def _has_room(self) -> bool:
        return self.failure is None and len(self._shelf) < self._wanted

    def _fetch(self) -> None:
        """Hand over what has arrived: wait for one message, and take those behind it."""
        self._full_since = None
        if self._is_paused:
            self._is_paused = False
            self._consumer.resume(self._consumer.assignment())
        first = self._consumer.poll(_POLL_S)
        if first is not None:
            more = self._wanted - len(self._shelf) - 1
            self._hand_over([first, *(self._consumer.consume(more, 0) if more > 0 else ())])

    def _rest(self) -> None:
        """Wait until there is room; after a while no longer fetch, but still call back."""
        now = time.monotonic()
        self._full_since = self._full_since or now
        if not self._is_paused and now - self._full_since >= _FULL_S:
            self._is_paused = True
            self._consumer.pause(self._consumer.assignment())
        if self._is_paused and (message := self._consumer.poll(0)):
            self._hand_over([message])
        self._is_resting = True
        if not self._has_room():
            self._serve(_POLL_S)
        self._is_resting = False

    def _hand_over(self, raw: Iterable[RawMessage]) -> None:
        reads: list[Read] = []
        received = datetime.now(UTC)
        for each in raw:
            if (error := each.error()) is not None:
                self._judge(each, error)
                continue
            offset: Any = each.offset()
            key: Any = each.topic(), each.partition()
            partition = self._partitions.get(key)
            if partition is not None and (times := partition.mark.read(offset)) is not None:
                message = read_message(each, partition.place, offset, self._alias, received)
                reads.append((partition.mark, offset, message, times))
        if self.ahead:
            self._promise()
        if reads:
            self._shelf.put(reads)
            self._wake()

    def settle(self, reads: Sequence[Read]) -> None:
        """Take in what is done."""
        for mark, offset, _, _ in reads:
            mark.settle(offset)

    def give_back(self, reads: Sequence[Read]) -> None:
        """Put what is not done on the shelf again; of a partition that goes elsewhere, forget it."""
        back: list[Read] = []
        for mark, offset, message, attempts in reads:
            if mark in self._leaving:
                mark.cut(offset)
            elif mark.is_open(offset) and not mark.is_closed:
                mark.read_again(offset)
                back.append((mark, offset, message, attempts + 1))
        if back:
            self._shelf.put_back(back)
            self._wake()

    # --- handlers that may end the process ---

    def guard(self) -> None:
        """Let notes speak of what handlers have under way; see `contract.Starts`."""
        self.ahead = AHEAD
        for each in self._partitions.values():
            each.mark.is_guarded = True

    def _promise(self) -> None:
        """Commit, before messages are handed over, a note that speaks of them."""
        due = [each for each in self._partitions.values() if each.mark.end > each.promised]
        if offsets := [tp for each in due for tp in each.uncommitted(self.ahead)]:
            with suppress(KafkaException):  # a partition that went elsewhere, or the broker is away
                self._consumer.commit(offsets=offsets, asynchronous=False)
                for each in due:
                    each.promised = each.said

    def begin(self, reads: Sequence[Read], done: Callable[[], None]) -> None:
        """Count an end of each, and say so once the broker has it, or nobody can tell it."""
        marks = {mark for mark, _, _, _ in reads}
        for mark, offset, _, _ in reads:
            mark.begin(offset)
        parts = [each for each in self._partitions.values() if each.mark in marks]
        if offsets := [tp for each in parts for tp in each.uncommitted(self.ahead)]:
            with suppress(KafkaException):  # a partition that went elsewhere: so did the message
                self._consumer.commit(offsets=offsets, asynchronous=False)
        done()

    # --- topics and errors ---

    def _subscribe(self) -> None:
        if self._subscribed and self._subscription.is_fixed:
            return
        topics = self._subscription.topics()
        if topics and topics != self._subscribed:
            self._subscribed = topics
            self._consumer.subscribe(
                topics,
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._lost,
            )

    def _judge(self, message: RawMessage, error: KafkaError) -> None:
        """Take an error in a message's place; the client mends most by itself."""
        where = f"{self._where}, topic {message.topic()}" if message.topic() else self._where
        if is_configuration(error):
            self._fail(BrokerError(classify(error), where=where))
        elif error.code() == KafkaError._FATAL:  # noqa: SLF001 - its public name
            self._fail(BrokerError(FENCED, where=self._where))  # nothing else ends a consumer
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and (
            gone := self._subscription.gone()
        ):
            self._fail(configuration(f"topic {', '.join(gone)} was deleted", where=self._where))

    def _heard(self, error: KafkaError) -> None:
        if is_configuration(error):
            self._fail(BrokerError(classify(error), where=self._where))

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
            self._wake()

    # --- commits ---

    def _commit(self) -> None:
        """Send what is settled; the answer comes by callback, and without one it is sent again."""
        offsets = [tp for each in self._partitions.values() for tp in each.uncommitted(self.ahead)]
        if offsets:
            with suppress(KafkaException):
                self._consumer.commit(offsets=offsets, asynchronous=True)

    def _committed(self, error: KafkaError | None, offsets: Sequence[TopicPartition]) -> None:
        if error is not None and is_configuration(error):
            self._fail(BrokerError(classify(error), where=self._where))
        for each in offsets:
            partition = self._partitions.get((each.topic, each.partition))
            if partition and error is None and each.error is None:
                partition.committed = each.offset, each.metadata or ""
                partition.promised = partition.said

    # --- partitions come and go ---

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        starts: list[TopicPartition] = []
        try:
            for each in self._ask(lambda: self._committed_offsets(partitions)):
                start = self._start(each, each.offset)
                mark = Watermark(start, each.metadata)
                mark.is_guarded = bool(self.ahead)
                key = (each.topic, each.partition)
                known = (start, each.metadata or "") if each.offset == start else None
                self._partitions[key] = Partition(*key, mark, known)
                starts.append(TopicPartition(*key, start))
        except BrokerError as error:
            self._fail(error)
        consumer.incremental_assign(starts)
        if self._is_paused:
            consumer.pause(starts)

    def _committed_offsets(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        answers = self._consumer.committed(partitions, timeout=_ASK_S)
        for each in answers:
            if each.error:
                raise KafkaException(each.error)
        return answers

    def _start(self, partition: TopicPartition, committed: int) -> int:
        """Say where to begin: where it was left, or at the first message if it never was read."""
        ask = self._consumer.get_watermark_offsets
        first, end = self._ask(lambda: ask(partition, timeout=_ASK_S))
        if committed < 0:
            return first
        if first <= committed <= end:
            return committed
        self.lost += max(0, first - committed)
        why = "deleted before they were read" if committed < first else "read, and are gone since"
        raise configuration(
            f"messages of partition {partition.partition} were {why}",
            where=f"{self._where}, topic {partition.topic}",
            hint="read on from a place that you choose: set the group's offsets",
        )

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask the broker for as long as it is away; partitions wait meanwhile."""
        while not self._is_stopping:
            try:
                return question()
            except KafkaException as exception:
                if is_configuration(error_of(exception)):
                    raise BrokerError(classify(error_of(exception)), where=self._where) from None
            self._serve(_POLL_S)
        raise configuration("the source is closed", where=self._where)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Wait for what is in hand, commit, and let go; what is settled later is ignored."""
        going = self._take_out(partitions)
        self._leaving = {each.mark for each in going}
        deadline = time.monotonic() + REVOKE_S
        while not (self._is_stopping or all(each.is_complete for each in self._leaving)):
            if time.monotonic() > deadline:
                break
            self._serve(_POLL_S)
        offsets = [tp for each in going for tp in each.uncommitted()]
        if offsets and not self._is_stopping:  # `_end` has committed
            with suppress(KafkaException):  # what another member has by now comes again there
                consumer.commit(offsets=offsets, asynchronous=False)
        self._let_go(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let go without a commit: other members have the partitions already."""
        self._leaving = {each.mark for each in self._take_out(partitions)}
        self._let_go(consumer, partitions)

    def _take_out(self, partitions: list[TopicPartition]) -> list[Partition]:
        """Hand out nothing more of partitions, and forget what was fetched and never handed out."""
        keys = [(each.topic, each.partition) for each in partitions]
        going = [self._partitions.pop(key) for key in keys if key in self._partitions]
        marks = {each.mark for each in going}
        for mark, offset, _, _ in self._shelf.remove(marks.__contains__):
            mark.cut(offset)
        return going

    def _let_go(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for mark in self._leaving:
            mark.close()
        self._leaving = set()
        consumer.incremental_unassign(partitions)

    # --- the end ---

    def _end(self) -> None:
        self._is_stopping, self.ahead = True, 0
        self._serve()
        for mark, offset, _, times in self._shelf.remove(lambda _: True):
            if times == mark.times_before(offset):  # it was never handed out here
                mark.cut(offset)
        partitions = self._partitions.values()
        end, again = time.monotonic() + _LAST_COMMIT_S, 0.0
        with suppress(KafkaException, RuntimeError):
            while any(map(Partition.uncommitted, partitions)) and time.monotonic() < end:
                if time.monotonic() >= again:  # a rebalance refuses what comes meanwhile
                    self._commit()
                    again = time.monotonic() + COMMIT_S
                self._consumer.poll(_POLL_S)
        with suppress(KafkaException, RuntimeError):
            self._consumer.close()
        for each in self._partitions.values():
            each.mark.close()
        self._wake()


def _nothing() -> None:
    """Wake the thread."""
