"""Messages from broker to broker: the gateway beside a bare loop and a FastStream handler.

    python -m benchmarks.pairs [source target …]

The gateway runs the first router of the business config with all its targets on one broker, on
messages of the business capture. Each of the three runs in a process of its own; what is measured
goes from the first message read to the last one settled.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.stage import Done, Stage, addresses, business_messages
from benchmarks.table import ROUNDS, Figure, show


@dataclass(frozen=True, slots=True)
class Pair:
    """Two protocols.

    Attributes:
        count: How many messages go through the gateway and the bare loop.
        few: How many through FastStream.
        of_bare: What part of the bare loop's rate is demanded.
        of_faststream: How many times FastStream's; 0: nothing is demanded.
    """

    source: str
    target: str
    count: int
    few: int
    of_bare: float = 0.7
    of_faststream: float = 0

    @property
    def name(self) -> str:
        """How it is called in the table."""
        return f"{self.source} to {self.target}"


PAIRS = (
    Pair("kafka", "kafka", 100_000, 300, of_bare=0.6, of_faststream=40),
    Pair("kafka", "rabbitmq", 20_000, 300),
    Pair("kafka", "nats", 20_000, 300),
    Pair("kafka", "redis", 20_000, 300),
    Pair("rabbitmq", "kafka", 20_000, 300),
)


@dataclass(frozen=True, slots=True)
class Rates:
    """What some runs gave."""

    runs: Sequence[Done]
    count: int

    @property
    def a_second(self) -> float:
        """The median rate."""
        return self.count / statistics.median(run.seconds for run in self.runs)

    @property
    def cpu_us(self) -> float:
        """The median of CPU microseconds a message."""
        return statistics.median(run.cpu_s for run in self.runs) / self.count * 1e6

    def __str__(self) -> str:
        rates = [self.count / run.seconds for run in self.runs]
        return (
            f"{self.a_second:,.0f}/s ({min(rates):,.0f} to {max(rates):,.0f}), "
            f"{self.cpu_us:.1f} µs of CPU"
        )


def measure(pairs: Sequence[Pair] = PAIRS, rounds: int = ROUNDS) -> list[Figure]:
    """Start the servers and compare each pair."""
    protocols = [name for pair in pairs for name in (pair.source, pair.target)]
    figures: list[Figure] = []
    with addresses(*protocols) as urls:
        for pair in pairs:
            stage = Stage(pair.source, pair.target, urls, business_messages(pair.count))
            figures += _compare(pair, stage, rounds)
    return figures


def _compare(pair: Pair, stage: Stage, rounds: int) -> list[Figure]:
    sizes = {"gateway": pair.count, "bare": pair.count, "faststream": pair.few}
    runs: dict[str, list[Done]] = {who: [] for who in sizes}
    for _ in range(rounds):
        for who, size in sizes.items():
            runs[who].append(stage.run(who, size))
    ours, bare, peer = (Rates(runs[who], size) for who, size in sizes.items())
    return [
        _figure(pair, ours, "a bare loop of the clients", bare, pair.of_bare),
        _figure(
            pair, ours, "a FastStream handler that awaits its publish", peer, pair.of_faststream
        ),
    ]


def _figure(pair: Pair, ours: Rates, whom: str, theirs: Rates, demanded: float) -> Figure:
    ratio = ours.a_second / theirs.a_second
    return Figure(
        what=pair.name,
        value=str(ours),
        against=f"{whom}, {theirs}",
        ratio=f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}",
        demanded=f">= {demanded:g}" if demanded else "-",
        is_met=ratio >= demanded,
    )


if __name__ == "__main__":
    words = sys.argv[1:]
    wanted = set(zip(words[::2], words[1::2], strict=True))
    show(measure([each for each in PAIRS if not wanted or (each.source, each.target) in wanted]))
