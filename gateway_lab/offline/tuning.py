"""What a tuning found: a row a point, the frontier of those that no other beats, and the best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any, cast

import polars as pl

from gateway_lab.batches.cost import StoreCost
from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ReplayError
from gateway_lab.offline.documents import document_changes
from gateway_lab.offline.grid import applied
from gateway_lab.offline.objective import MEASURES, Objective, frontier, told
from gateway_lab.offline.text import html_table


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """A grid of values on a capture.

    Attributes:
        config: What runs today.
        capture: The messages.
        objective: What was looked for.
        cost: What the database was reckoned with.
        paths: What the grid varies.
        frame: A row a point: `point`, a column for each path, `changes` (how many of them
            differ from what runs today; 0 is today), and the measures. `batches` and `rows_per_batch`; `latency_p50`, `latency_p99` and
            `latency_max` (seconds from a message to the commit of its row, of the slowest batch);
            `cost` (seconds of the database for the whole capture) and `busy` (as a share of the
            capture's time); `moved` and `moved_share` (deliveries that do not stay the same);
            `letters` (dead letters); `retry_wait` (seconds from the first try to the dead letter
            at most, half of that on average). Without batches those of rows are
            null, and of a masked capture those of deliveries that it does not tell.
    """

    config: GatewayConfig
    capture: Capture
    objective: Objective
    cost: StoreCost
    paths: tuple[str, ...]
    frame: pl.DataFrame

    @property
    def axes(self) -> tuple[str, str]:
        """The two measures that are traded for each other."""
        return ("cost", "latency_p99") if self.config.batches else ("moved", "letters")

    @cached_property
    def frontier(self) -> pl.DataFrame:
        """The points that no other beats in both axes, in the order of the first."""
        return frontier(self.frame, self.axes)

    @cached_property
    def best_point(self) -> dict[str, Any]:
        """The row of the best point; of equal ones that which moves and changes least.

        Raises:
            ReplayError: No point meets the conditions.
        """
        met = self.frame.filter(self.objective.met()).drop_nulls(self.objective.measure)
        if met.is_empty():
            names = {name for name, _, _ in self.objective.conditions}
            spans = [self._span(each) for each in sorted(names)]
            problem = f"no point of {self.frame.height:,} meets {self.objective.text!r}"
            raise ReplayError(problem, hint=f"{', '.join(spans)}: allow more, or try other values")
        ranked = met.sort(self.objective.measure, "moved", "changes", *self.axes, "point")
        return ranked.row(0, named=True)

    @property
    def today(self) -> dict[str, Any]:
        """The row of what runs today."""
        return self.frame.row(by_predicate=pl.col("changes") == 0, named=True)

    @property
    def best(self) -> GatewayConfig:
        """The config of the best point, to be written and run.

        Raises:
            ReplayError: No point meets the conditions.
        """
        return self._config_of(self.best_point)

    def config_of(self, point: int) -> GatewayConfig:
        """Return the config of a point, by its number.

        Raises:
            ReplayError: There is no such point.
        """
        if not 0 <= point < self.frame.height:
            problem = f"there is no point {point}"
            raise ReplayError(problem, hint=f"they are numbered from 0 to {self.frame.height - 1}")
        return self._config_of(self.frame.row(point, named=True))

    def changes(self) -> pl.DataFrame:
        """What the best point changes in the document: `path, change, old, new`.

        Raises:
            ReplayError: No point meets the conditions.
        """
        return document_changes(self.config, self.best)

    def measured(self, row: Mapping[str, Any]) -> list[str]:
        """Write the measures of a row that are not the same in all, each as `cost 1.2 s`."""
        names = [each for each in MEASURES if self.frame[each].n_unique() > 1]
        return [told(each, row[each]) for each in names]

    def _config_of(self, row: Mapping[str, Any]) -> GatewayConfig:
        return applied(self.config, {path: row[path] for path in self.paths})

    def _span(self, name: str) -> str:
        found = self.frame[name]
        least, most = cast("float", found.min()), cast("float", found.max())
        return f"{told(name, least)} at the least and {told(name, most)} at the most"

    def __repr__(self) -> str:
        head = (
            f"Tuning of {self.config.name} {self.config.digest[:12]} over "
            f"{self.capture.count:,} messages: {self.frame.height:,} points, "
            f"looking for {self.objective.text}"
        )
        return "\n".join([head, *(f"  {each}" for each in self._lines())])

    def _lines(self) -> Iterator[str]:
        yield repr(self.cost)
        yield f"today: {self._told(self.today)}"
        try:
            yield f"best: {self._told(self.best_point)}"
        except ReplayError as error:
            yield f"best: {error.problem}"
        yield f"frontier: {self.frontier.height:,} points"

    def _told(self, row: Mapping[str, Any]) -> str:
        values = ", ".join(f"{path} = {row[path]}" for path in self.paths)
        names = dict.fromkeys([*self.objective.names, *self.axes, "moved"])
        measured = ", ".join(told(name, row[name]) for name in names if row[name] is not None)
        return f"{values}: {measured}"

    def _repr_html_(self) -> str:
        head, *lines = repr(self).splitlines()
        items = "".join(f"<li>{escape(each.strip())}</li>" for each in lines)
        named = {"batches", "rows_per_batch", "moved", *self.objective.names, *self.axes}
        kept = [each for each in MEASURES if each in named and self.frame[each].n_unique() > 1]
        table = html_table(self.frontier.select("point", *self.paths, *kept))
        return f"<div><p>{escape(head)}</p><ul>{items}</ul>{table}</div>"
