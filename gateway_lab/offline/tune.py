"""Tune: what other values of a config would cost and gain on the same traffic. It sends nothing.

What points of a grid share is worked out once: batches for each size and time, deliveries for
each combination of settings.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from gateway_lab.batches.cost import DEFAULT_COST, StoreCost
from gateway_lab.captures.capture import Capture, require_capture
from gateway_lab.config.document import require_config
from gateway_lab.config.durations import duration_us
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import Retry
from gateway_lab.errors import ReplayError
from gateway_lab.offline.compare import Change
from gateway_lab.offline.diff import diff
from gateway_lab.offline.grid import applied, points, read_grid, tunable
from gateway_lab.offline.latency import Arrivals, Timing
from gateway_lab.offline.objective import MEASURES, read_objective
from gateway_lab.offline.progress import watched
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from gateway_lab.offline.tasks import make_run
from gateway_lab.offline.tuning import Tuning
from gateway_lab.routing.rehearsal import GivenHandlers

T = TypeVar("T")

_DIGITS = 3
"""Of latencies in seconds: what is less than a millisecond is nothing to choose by."""

_OF_ROWS = frozenset(
    {"batches", "rows_per_batch", "latency_p50", "latency_p99", "latency_max", "cost", "busy"}
)


def tune(  # noqa: PLR0913 - all but four are rarely given
    config: GatewayConfig,
    capture: Capture,
    grid: Mapping[str, Any],
    objective: str,
    *,
    cost: StoreCost = DEFAULT_COST,
    sources: Mapping[str, str | tuple[str, ...]] | None = None,
    handlers: GivenHandlers | None = None,
) -> Tuning:
    """Try a grid of values on a capture, and find the best.

    Latencies are simulated: batches close as a gateway would close them if messages came as they
    were received, and are stored one after the other at `cost`.

    Args:
        config: What runs today; every point is compared with it.
        capture: The messages.
        grid: Path to values: `settings.NAME`, `batches.NAME.size` and `.every`,
            `retry.attempts`, `.initial`, `.factor` and `.max`, `sources.NAME.retry.…`.
        objective: A measure to make small, and conditions: `cost where latency_p99 <= 5s`.
            Measures are the columns of `Tuning.frame`; `latency` is short for `latency_p99`.
        cost: What a transaction and a row cost; `gl.measure_store(url)` measures it.
        sources: As for `replay`.
        handlers: As for `replay`; they run again where a point changes something for them, as
            another number of attempts does.

    Raises:
        ReplayError: The grid names what cannot be tuned, is empty or too large, or a value cannot
            stand there; the objective cannot be read; the config has errors.
    """
    require_config(config)
    require_capture(capture)
    wanted, tried = read_objective(objective), read_grid(config, grid)
    if not config.batches and (named := _OF_ROWS.intersection(wanted.names)):
        problem = f"{min(named)!r} is of batches, and the config has none"
        raise ReplayError(problem, where=objective)
    own = {path: tunable(config)[path] for path in tried}
    every = list(points(tried))
    if own not in every:
        every.insert(0, own)
    trial = Trial(config, capture, cost, dict(sources or {}), handlers)
    sizes = [capture.count] * len(every)
    rows = list(watched(map(trial.row, every), sizes, "tune", is_slow=True))
    frame = _frame(every, rows, own)
    return Tuning(config, capture, wanted, cost, tuple(tried), frame)


@dataclass(eq=False)
class Trial:
    """A config on a capture, with other values again and again; it remembers what it worked out."""

    config: GatewayConfig
    capture: Capture
    cost: StoreCost
    sources: Mapping[str, str | tuple[str, ...]]
    handlers: GivenHandlers | None
    known: dict[Hashable, Any] = field(default_factory=dict)

    def row(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return all measures of a point."""
        config = applied(self.config, point)
        return {
            **_of_rows(self._timings(config), self._seconds()),
            **self._once(self._decides(point), lambda: self._deliveries(config)),
            "retry_wait": max(map(_retry_wait, _retries(config))),
        }

    def _decides(self, point: Mapping[str, Any]) -> Hashable:
        """Name what of a point decides where messages go."""
        heads = ("settings.",) if self.handlers is None else ("settings.", "retry.", "sources.")
        return tuple(item for item in point.items() if item[0].startswith(heads))

    def _deliveries(self, config: GatewayConfig) -> dict[str, float | None]:
        handlers = self._handled()
        compared = diff(self.config, config, self.capture, sources=self.sources, handlers=handlers)
        if compared.unknown:
            return dict.fromkeys(("moved", "moved_share", "letters"))
        moved = sum(n for way, n in compared.ways.items() if way.change is not Change.SAME)
        books = self._replayed(config, handlers).books()
        letters = sum(each.dead_lettered for each in books.targets)
        return {"moved": moved, "moved_share": compared.moved_share, "letters": letters}

    def _handled(self) -> GivenHandlers | None:
        """Return what handlers made of the capture with what runs today; None: there are none."""
        if self.handlers is None:
            return None
        return self._once("handled", lambda: self._replayed(self.config, self.handlers).handlers)

    def _replayed(self, config: GatewayConfig, handlers: GivenHandlers | None) -> Replay:
        return replay(config, self.capture, sources=self.sources, handlers=handlers)

    # --- batches ---

    def _timings(self, config: GatewayConfig) -> list[Timing]:
        found = [self._timing(name, config) for name in config.batches]
        return [each for each in found if each is not None]

    def _timing(self, name: str, config: GatewayConfig) -> Timing | None:
        batch = config.batches[name]
        cost = self.cost if batch.store else None
        every_us = duration_us(batch.every)
        make = self._arrivals(name).time
        return self._once(
            (name, batch.size, every_us),
            lambda: make(size=batch.size, every_us=every_us, cost=cost),
        )

    def _arrivals(self, name: str) -> Arrivals:
        def make() -> Arrivals:
            run, _ = make_run(
                self.config, self.capture, sources=self.sources, handlers=self._handled()
            )
            return Arrivals(run, run.plan.batches[name])

        return self._once(name, make)

    def _seconds(self) -> float:
        return max((self._arrivals(name).seconds for name in self.config.batches), default=0.0)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self.known:
            self.known[key] = make()
        found: T = self.known[key]
        return found


def _of_rows(timings: Sequence[Timing], seconds: float) -> dict[str, float | None]:
    """Put all batches together: sums, and the latencies of the slowest."""
    if not timings:
        return dict.fromkeys(sorted(_OF_ROWS))
    batches, cost = sum(each.batches for each in timings), sum(each.cost for each in timings)
    return {
        "batches": batches,
        "rows_per_batch": sum(each.rows for each in timings) / batches,
        "latency_p50": round(max(each.p50 for each in timings), _DIGITS),
        "latency_p99": round(max(each.p99 for each in timings), _DIGITS),
        "latency_max": round(max(each.longest for each in timings), _DIGITS),
        "cost": cost,
        "busy": cost / seconds if seconds else None,
    }


def _retries(config: GatewayConfig) -> Iterator[Retry]:
    yield from (each.retry or config.retry for each in config.sources.values())


def _retry_wait(retry: Retry) -> float:
    """Return the longest time from the first try to the last, in seconds."""
    first, longest = duration_us(retry.initial) / 1e6, duration_us(retry.max) / 1e6
    waits, wait = 0.0, min(first, longest)
    for _ in range(min(retry.attempts - 1, 10_000)):
        waits, wait = waits + wait, min(wait * retry.factor, longest)
    return waits


def _frame(
    every: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], own: Mapping[str, Any]
) -> pl.DataFrame:
    whole = {"batches": pl.Int64, "moved": pl.Int64, "letters": pl.Int64}
    values = {path: pl.Series([each[path] for each in every], strict=False) for path in own}
    measured = {
        name: pl.Series([row[name] for row in rows], dtype=whole.get(name, pl.Float64))
        for name in MEASURES
    }
    changes = [sum(each[path] != own[path] for path in own) for each in every]
    return pl.DataFrame({"point": range(len(every)), **values, "changes": changes, **measured})
