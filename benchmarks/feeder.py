"""The process that publishes business messages to Kafka, at a steady rate or as fast as they go."""

from __future__ import annotations

import json
import time
from itertools import cycle
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.stage import PARTITIONS, SOURCE, Done, Job, business_messages
from gateway_lab.brokers.kafka.settings import read_settings, reading, writing

SENT = "sent"
"""A header: when the message was sent, in nanoseconds of the machine's clock."""

LEAD, STEP, STEP_S = 200_000, 5_000, 0.002


def feed(job: Job) -> Done:
    """Publish for ever."""
    address = read_settings("source", job.urls["source"])
    producer = Producer({**writing(address, print), "linger.ms": 0 if job.a_second else 5})
    progress = _Progress(job)
    messages = cycle(business_messages(20_000))
    begun, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begun) * job.a_second) - sent
        if not job.a_second:
            due = STEP if sent - progress.done() < LEAD else 0
        for _ in range(due):
            each = next(messages)
            headers: Any = [*each.headers, (SENT, str(time.monotonic_ns()).encode())]
            producer.produce(job.channel, each.body, each.key, headers=headers)
        sent += due
        producer.poll(0)
        while len(producer) > STEP:
            producer.poll(0.01)
        time.sleep(STEP_S)


class _Progress:
    """How many messages the gateway has settled, as far as it has committed."""

    def __init__(self, job: Job) -> None:
        group = f"{json.loads(job.config)['name']}.{SOURCE}"
        address = read_settings("source", job.urls["source"])
        self._consumer = Consumer(reading(address, group=group, member="", session_s=45))
        self._partitions = [TopicPartition(job.channel, each) for each in range(PARTITIONS)]
        self._looked_at = self._done = 0.0

    def done(self) -> float:
        """Return the number, a second old at most."""
        if time.monotonic() > self._looked_at + 1:
            self._looked_at = time.monotonic()
            committed = self._consumer.committed(self._partitions, timeout=10)
            self._done = sum(max(0, each.offset) for each in committed)
        return self._done
