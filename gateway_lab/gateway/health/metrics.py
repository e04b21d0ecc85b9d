"""The books as metrics for Prometheus: read from `Stats` when asked, nothing is counted twice.

docs/metrics.md is made from `METRICS`. Labels are names of the config and fixed words: never a
channel, a tenant or anything else of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Literal, TypeAlias

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from gateway_lab.gateway.counters import RouterStats, SourceStats, State, Stats, WayStats

PREFIX: Final = "gateway_lab_"

Samples: TypeAlias = Callable[[Stats], Iterable[tuple[tuple[str, ...], float]]]
"""Gives values of labels, and a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: Without the prefix, and without `_total`, which a counter gets.
        alarm: What to be told of, as PromQL and in words; empty: it is for looking at.
    """

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    meaning: str
    alarm: str
    samples: Samples

    @property
    def full_name(self) -> str:
        """The name that a scrape shows."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")

    def family(self, stats: Stats) -> Family:
        """Return its samples, in the library's words."""
        make = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = make(PREFIX + self.name, self.meaning, labels=self.labels)
        for labels, value in self.samples(stats):
            family.add_metric(labels, value)
        return family


# --- samples ---


def _of_sources(number: Callable[[SourceStats], float]) -> Samples:
    return lambda stats: [((each.source,), number(each)) for each in stats.sources]


def _states(stats: Stats) -> Iterator[tuple[tuple[str, ...], float]]:
    for each in stats.sources:
        for state in State:
            yield (each.source, state), each.state is state


def _results(stats: Stats) -> Iterator[tuple[tuple[str, ...], float]]:
    for each in stats.routers:
        for result in ("matched", "unmatched", "invalid"):
            yield (*_router(each), result), getattr(each, result)


def _of_ways(number: Callable[[WayStats], float]) -> Samples:
    return lambda stats: [(_way(each), number(each)) for each in stats.ways]


def _outcomes(stats: Stats) -> Iterator[tuple[tuple[str, ...], float]]:
    for each in stats.ways:
        for outcome in ("delivered", "dropped", "dead_lettered", "given_back"):
            yield (*_way(each), outcome), getattr(each, outcome)


def _router(stats: RouterStats) -> tuple[str, str]:
    return stats.source, stats.router


def _way(stats: WayStats) -> tuple[str, str, str, str]:
    """An empty label is the same to Prometheus as one that is not there."""
    return stats.source, stats.router or "", stats.route or "", stats.target


# --- the metrics ---

_SOURCE: Final = ("source",)
_WAY: Final = ("source", "router", "route", "target")

METRICS: Final = (
    Metric(
        name="config_refused",
        kind="gauge",
        labels=(),
        meaning="1 if the last reload was refused, and the config of before runs on.",
        alarm="`== 1`: what was rolled out does not run; the log says why",
        samples=lambda stats: [((), bool(stats.refused))],
    ),
    Metric(
        name="source_state",
        kind="gauge",
        labels=("source", "state"),
        meaning="1 for the state that a source is in, 0 for all others.",
        alarm='`gateway_lab_source_state{state="red"} == 1`: page somebody, it does not mend itself;'
        ' `gateway_lab_source_state{state="waiting"} == 1` for 5 minutes: a broker is away',
        samples=_states,
    ),
    Metric(
        name="messages_read",
        kind="counter",
        labels=_SOURCE,
        meaning="Messages read, each as often as it came: settled + given back + in flight.",
        alarm="`rate(gateway_lab_messages_read_total[15m]) == 0` where there is always traffic",
        samples=_of_sources(lambda each: each.read),
    ),
    Metric(
        name="messages_redelivered",
        kind="counter",
        labels=_SOURCE,
        meaning="Messages read that had come before, as far as the broker knows.",
        alarm="`rate(…[15m]) > 0` long after a restart: something ends processes, or leases",
        samples=_of_sources(lambda each: each.redelivered),
    ),
    Metric(
        name="messages_settled",
        kind="counter",
        labels=_SOURCE,
        meaning="Messages whose every delivery is confirmed, dropped by a rule or a dead letter.",
        alarm="`rate(…[5m]) == 0` while `gateway_lab_in_flight_messages > 0`: a target is stuck",
        samples=_of_sources(lambda each: each.settled),
    ),
    Metric(
        name="messages_given_back",
        kind="counter",
        labels=_SOURCE,
        meaning="Messages that were read and not settled when their source ended; they come again.",
        alarm="",
        samples=_of_sources(lambda each: each.given_back),
    ),
    Metric(
        name="messages_lost",
        kind="counter",
        labels=_SOURCE,
        meaning="Messages that the broker removed before they were read (trimmed, expired).",
        alarm="`increase(…[5m]) > 0`: keep messages longer, or read faster",
        samples=_of_sources(lambda each: each.lost),
    ),
    Metric(
        name="in_flight_messages",
        kind="gauge",
        labels=_SOURCE,
        meaning="Messages read and not settled.",
        alarm="",
        samples=_of_sources(lambda each: each.in_flight),
    ),
    Metric(
        name="window_fill_ratio",
        kind="gauge",
        labels=_SOURCE,
        meaning="How full the window of a source is, 0 to 1; when it is full, reading pauses.",
        alarm="`> 0.9` for 5 minutes: the targets are slower than the source",
        samples=_of_sources(lambda each: each.window),
    ),
    Metric(
        name="delivery_retries",
        kind="counter",
        labels=_SOURCE,
        meaning="Tries of deliveries that failed in a way that passes, and are repeated.",
        alarm="`rate(…[5m]) > 1` for 10 minutes: a target is away or throttles",
        samples=_of_sources(lambda each: each.retried),
    ),
    Metric(
        name="ambiguous_tries",
        kind="counter",
        labels=_SOURCE,
        meaning="Failed tries that the broker may have stored all the same: possible duplicates.",
        alarm="",
        samples=_of_sources(lambda each: each.ambiguous),
    ),
    Metric(
        name="handler_blocked_seconds",
        kind="counter",
        labels=_SOURCE,
        meaning="Seconds, about, that the source's handler was found to block the event loop.",
        alarm="it grows: one handler holds up all sources; the log names it and the place",
        samples=_of_sources(lambda each: each.blocked),
    ),
    Metric(
        name="order_overtaken",
        kind="counter",
        labels=_SOURCE,
        meaning="Messages that were refused inside a pipeline and overtaken by later ones.",
        alarm="`increase(…[15m]) > 0` where order matters: set `options: {order: strict}`",
        samples=_of_sources(lambda each: each.overtaken),
    ),
    Metric(
        name="router_messages",
        kind="counter",
        labels=("source", "router", "result"),
        meaning="Messages decided by a router; `result` is matched, unmatched or invalid.",
        alarm='`rate(…{result="invalid"}[15m]) > 0`: a producer broke the schema; a jump of '
        '`{result="unmatched"}`: a rule misses new messages',
        samples=_results,
    ),
    Metric(
        name="deliveries_decided",
        kind="counter",
        labels=_WAY,
        meaning="Deliveries that were decided. It is those with an outcome + pending.",
        alarm="",
        samples=_of_ways(lambda each: each.deliveries),
    ),
    Metric(
        name="deliveries",
        kind="counter",
        labels=(*_WAY, "outcome"),
        meaning="Deliveries that came to their end; `outcome` is delivered, dropped, "
        "dead_lettered, or given_back when the source ended before.",
        alarm='`increase(…{outcome="dead_lettered"}[15m]) > 0`: see [dead letters](dead-letters.md)',
        samples=_outcomes,
    ),
    Metric(
        name="pending_deliveries",
        kind="gauge",
        labels=_WAY,
        meaning="Deliveries decided and not at their end.",
        alarm="`min_over_time(…[10m]) > 0` and rising: this target does not keep up",
        samples=_of_ways(lambda each: each.pending),
    ),
)
BUILD_INFO: Final = PREFIX + "build_info"
CONFIG_INFO: Final = PREFIX + "config_info"


@dataclass(frozen=True, slots=True)
class Books(Collector):
    """All metrics of one gateway at one moment."""

    stats: Stats
    name: str

    def collect(self) -> Iterator[Family]:
        """Yield every metric, then memory, CPU and files of this process."""
        yield _info(BUILD_INFO, "The version that runs.", {"version": version("gateway-lab")})
        config = {"name": self.name, "digest": self.stats.digest}
        yield _info(CONFIG_INFO, "The config that runs.", config)
        for metric in METRICS:
            yield metric.family(self.stats)
        yield from _PROCESS.collect()


_PROCESS: Final = ProcessCollector(registry=None)


def _info(name: str, meaning: str, labels: dict[str, str]) -> Family:
    family = GaugeMetricFamily(name, meaning, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family


def expose(stats: Stats, name: str) -> bytes:
    """Write a scrape, in Prometheus' text format.

    It takes 10 microseconds a sample: with hundreds of routes, too long for an event loop.

    Args:
        stats: The books.
        name: Of the config that runs.
    """
    return generate_latest(Books(stats, name))
