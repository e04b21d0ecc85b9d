"""Mutants of the gateway: each breaks one rule that keeps messages, and the harness must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from confluent_kafka import TopicPartition

from gateway_lab.brokers.contract import Batch, Broker, Failure, Outgoing, Sink, Source
from gateway_lab.brokers.kafka.consumer import ConsumerThread
from tests.live.failpoints import is_letter


def early(broker: Broker) -> Any:
    """Settle what is read before any of it is confirmed."""
    return _Changed(broker, source=_EarlySource)


def hasty(broker: Broker) -> Any:
    """Take a dead letter for confirmed before it is."""
    return _Changed(broker, sink=_HastySink)


def positional(broker: Broker) -> Any:
    """Commit how far Kafka was read, whatever became of it."""
    hand_over = ConsumerThread._hand_over

    def commits(thread: ConsumerThread, raw: Any) -> None:
        hand_over(thread, raw)
        read = [
            TopicPartition(each.topic, each.number, each.mark.end)
            for each in thread._partitions.values()
        ]
        thread._consumer.commit(offsets=read, asynchronous=False)

    patch.object(ConsumerThread, "_hand_over", commits).start()
    return broker


def forgetful(broker: Broker) -> Any:
    """Give all deliveries of a message one id on NATS, which stores each id once."""
    named = "gateway_lab.brokers.nats.sink.message_id"
    patch(named, lambda delivery, *_: delivery.rpartition("-")[0]).start()
    return broker


MUTANTS: Mapping[str, Any] = MappingProxyType(
    {"early": early, "hasty": hasty, "positional": positional, "forgetful": forgetful}
)
"""Name to what turns a broker into the mutant's."""


class _Changed:
    """A broker with another source or sink in front of its own."""

    def __init__(self, broker: Broker, *, source: Any = None, sink: Any = None) -> None:
        self._broker, self._source, self._sink = broker, source, sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def source(self, *args: Any, **kwargs: Any) -> Any:
        source = await self._broker.source(*args, **kwargs)
        return self._source(source) if self._source else source

    def sink(self) -> Any:
        return self._sink(self._broker.sink()) if self._sink else self._broker.sink()


class _EarlySource:
    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def read(self, limit: int) -> Batch:
        batch = await self._source.read(limit)
        await self._source.settle(batch.handles)
        return batch


class _HastySink:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._later: list[asyncio.TimerHandle] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        letters = [each for each in batch if is_letter(each)]
        others = iter(await self._sink.send([each for each in batch if not is_letter(each)]))
        if letters:  # they are on their way, and nobody waits for them
            loop = asyncio.get_running_loop()
            send = self._sink.send
            self._later.append(loop.call_later(5, lambda: loop.create_task(send(letters))))
        return [None if is_letter(each) else next(others) for each in batch]
