"""What becomes of messages when a producer comes to its end: the client is a fake here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from gateway_lab.brokers.contract import FailureClass
from gateway_lab.brokers.kafka import sink as kafka_sink
from gateway_lab.brokers.kafka.settings import OnError
from gateway_lab.brokers.kafka.sink import KafkaSink
from gateway_lab.testing.connector_rig import LIMIT_S, an_outgoing, classes, numbers, soon

pytestmark = pytest.mark.anyio

FATAL = KafkaError(KafkaError._FATAL, fatal=True)
OUT_OF_ORDER = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)


class KnownTopics:
    async def find(self, topics: list[str]) -> frozenset[str]:
        return frozenset(topics) - {"absent"}


class FakeCluster:
    """Makes producers that confirm what they are told to, and keeps what was stored.

    Args:
        lives: How many messages each producer confirms before it fails for good.
    """

    def __init__(self, *lives: int) -> None:
        self.stored: list[bytes] = []
        self.producers: list[FakeProducer] = []
        self._lives = iter(lives)

    def make_producer(self, on_error: OnError) -> FakeProducer:
        self.producers.append(FakeProducer(self, next(self._lives, 10**9), on_error))
        return self.producers[-1]


class FakeProducer:
    def __init__(self, cluster: FakeCluster, life: int, on_error: OnError) -> None:
        self.cluster, self.life, self.on_error = cluster, life, on_error
        self.queue: list[tuple[bytes, Callable[..., None]]] = []
        self.is_broken = self.is_closed = self.is_away = self.is_stalled = False
        self.refusal: KafkaError | None = None

    def produce(self, _topic: str, value: Any, _key: Any, *more: Any) -> None:
        assert not self.is_closed
        if self.is_broken:
            raise KafkaException(FATAL)
        self.queue.append((value, more[1]))

    def poll(self, _timeout: float) -> int:
        if self.refusal:
            self.on_error(self.refusal)
            return 0
        if self.is_away:
            return 0
        served = len(self.queue)
        for value, on_delivery in self._drain():
            if value == b"stalled" and self.is_stalled:
                self.queue.append((value, on_delivery))
            elif value == b"large":
                on_delivery(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)
            elif self.life:
                self.life -= 1
                self.cluster.stored.append(value)
                on_delivery(None, None)
            else:
                on_delivery(FATAL if self.is_broken else OUT_OF_ORDER, None)
                self.is_broken = True
        return served

    def _drain(self) -> list[tuple[bytes, Callable[..., None]]]:
        drained, self.queue = self.queue, []
        return drained

    def purge(self) -> None:
        for _, on_delivery in self._drain():
            on_delivery(KafkaError(KafkaError._PURGE_INFLIGHT), None)

    def flush(self, _timeout: float) -> int:
        return 0

    def close(self) -> None:
        self.is_closed = True

    def __len__(self) -> int:
        return len(self.queue)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_sink, "_REBUILD_S", 0.001)


def make_sink(cluster: FakeCluster) -> KafkaSink:
    topics, make_producer = cast("Any", KnownTopics()), cast("Any", cluster.make_producer)
    return KafkaSink(topics, make_producer)


@pytest.mark.parametrize("lives", [(0,), (5,), (15,), (5, 0, 0, 3)])
async def test_a_producer_that_ends_is_replaced_and_order_is_kept(lives: tuple[int, ...]) -> None:
    cluster = FakeCluster(*lives)
    sink = make_sink(cluster)
    batches = [[an_outgoing("t", each) for each in numbers(10, n)] for n in (0, 10)]
    assert await soon(asyncio.gather(*map(sink.send, batches))) == [[None] * 10] * 2
    assert await soon(sink.send([an_outgoing("t", b"20")])) == [None]
    assert cluster.stored == numbers(21)
    assert [each.is_closed for each in cluster.producers] == [True] * len(lives) + [False]
    await sink.close()


async def test_a_broker_that_refuses_us_answers_everything_that_is_open() -> None:
    cluster = FakeCluster()
    sink = make_sink(cluster)
    cluster.producers[0].refusal = KafkaError(KafkaError._AUTHENTICATION)
    failures = await soon(sink.send([an_outgoing("t", each) for each in numbers(3)]))
    assert classes(failures) == [FailureClass.CONFIGURATION] * 3
    assert await soon(sink.send([an_outgoing("t")])) == [None]
    await sink.close()


async def test_closing_answers_what_is_open_and_sends_no_more() -> None:
    cluster = FakeCluster()
    sink = make_sink(cluster)
    cluster.producers[0].is_away = True
    sending = asyncio.create_task(sink.send([an_outgoing("t"), an_outgoing("absent")]))
    await asyncio.sleep(0)
    await sink.close()
    failures = await soon(sending)
    assert classes(failures) == [FailureClass.RETRYABLE, FailureClass.UNROUTABLE]
    assert [each.is_ambiguous for each in failures if each] == [True, False]
    assert classes(await soon(sink.send([an_outgoing("t")]))) == [FailureClass.RETRYABLE]
    assert cluster.stored == []


async def test_a_cancelled_send_leaves_the_sink_in_order() -> None:
    cluster = FakeCluster(3)
    sink = make_sink(cluster)
    for _ in range(3):
        sending = asyncio.create_task(sink.send([an_outgoing("t", b"cancelled")]))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
    assert await soon(sink.send([an_outgoing("t", each) for each in numbers(5)])) == [None] * 5
    assert [each for each in cluster.stored if each != b"cancelled"] == numbers(5)
    assert not sink._sendings
    await sink.close()


async def test_a_message_that_is_too_large_does_not_wait_for_ever_for_those_that_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster()
    sink = make_sink(cluster)
    (producer,) = cluster.producers
    producer.is_stalled = True
    stopped = asyncio.create_task(sink.send([an_outgoing("t", b"stalled")]))
    await until(lambda: len(producer) == 1)
    stopped.cancel()  # its source has ended: nobody waits for the answer
    await asyncio.wait([stopped])
    monkeypatch.setattr(kafka_sink, "_ALONE_S", 0.01)
    assert classes(await soon(sink.send([an_outgoing("t", b"large")]))) == [FailureClass.RETRYABLE]
    assert await soon(sink.send([an_outgoing("t", b"1")])) == [None]
    monkeypatch.setattr(kafka_sink, "_ALONE_S", LIMIT_S)
    refused = asyncio.create_task(sink.send([an_outgoing("t", b"large")]))
    await until(lambda: sink._turn.locked() and not sink._sendings)
    producer.is_stalled = False
    assert classes(await soon(refused)) == [FailureClass.PERMANENT]
    await sink.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110 - a fake rings no bell
            await asyncio.sleep(0)
