"""How much later a message arrives through the gateway than through a bare loop, Kafka to Kafka.

    python -m benchmarks.latency [seconds]

Messages come at 5,000 a second; each carries the moment at which it was sent, and the clock is the
machine's. The loop and the gateway have the same settings, and take turns.
"""

from __future__ import annotations

import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from benchmarks.feeder import SENT
from benchmarks.stage import Job, Stage, addresses, begun_anew, business_messages, running
from benchmarks.table import ROUNDS, Figure, show
from gateway_lab.brokers.kafka.settings import read_settings, reading

A_SECOND, SECONDS, WARM_S = 5_000, 6.0, 3.0
START_S = 60.0
MEDIAN_MS, MOST_MS = 5.0, 25.0


def measure(seconds: float = SECONDS, rounds: int = ROUNDS) -> list[Figure]:
    """Start a server and compare."""
    added: list[tuple[float, float]] = []
    with addresses("kafka") as urls:
        for _ in range(rounds):
            ours, bare = (quantiles(urls, who, seconds) for who in ("gateway", "bare"))
            added.append((ours[0] - bare[0], ours[1] - bare[1]))
    median, most = zip(*added, strict=True)
    return [_figure("p50", median, MEDIAN_MS), _figure("p99", most, MOST_MS)]


def quantiles(urls: dict[str, str], who: str, seconds: float) -> tuple[float, float]:
    """Return the median and the 99th percentile in milliseconds."""
    job = Stage("kafka", "kafka", urls, business_messages(20_000), is_filled=False).job
    late = _Late(job)
    with running(begun_anew(job), who), running(job, "feeder", a_second=A_SECOND):
        late.collect(WARM_S + seconds)
    times = sorted(late.times[int(WARM_S * A_SECOND) :])
    assert times, who
    return times[len(times) // 2], times[len(times) * 99 // 100]


class _Late:
    """Reads what arrives at all targets."""

    def __init__(self, job: Job) -> None:
        self.times: list[float] = []
        address = read_settings("target", job.urls["target"])
        settings = reading(address, group=uuid.uuid4().hex, member="", session_s=45)
        self._consumer = Consumer({**settings, "fetch.wait.max.ms": 5})
        self._consumer.assign([TopicPartition(each, 0, OFFSET_END) for each in set(job.channels)])

    def collect(self, seconds: float) -> None:
        """Note how late each message is, for so long from the first on."""
        limit = time.monotonic() + START_S
        while not self.times:
            assert time.monotonic() < limit, "nothing arrives"
            self._note()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._note()
        self._consumer.close()

    def _note(self) -> None:
        first = self._consumer.poll(0.1)
        now = time.monotonic_ns()
        for each in [first, *self._consumer.consume(500, 0)] if first else []:
            headers: Any = dict(each.headers() or ())
            self.times.append((now - int(headers[SENT])) / 1e6)


def _figure(name: str, added: Sequence[float], most: float) -> Figure:
    value = statistics.median(added)
    return Figure(
        what=f"latency added at {A_SECOND:,} messages a second, {name}",
        value=f"{value:.1f} ms ({min(added):.1f} to {max(added):.1f})",
        against="a bare loop of the client",
        ratio=f"{value:.1f} ms",
        demanded=f"<= {most:g} ms",
        is_met=value <= most,
    )


if __name__ == "__main__":
    show(measure(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
