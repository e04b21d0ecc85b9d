"""What a replay found: books that balance, and frames to look further.

Frames of counts come in the order of the document. Frames of messages and deliveries are lazy:
they are made part by part when they are collected, so filter and select before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial

import polars as pl

from gateway_lab.captures.capture import Capture, as_utc
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.findings import Finding
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.offline.batched import batch_frame
from gateway_lab.offline.books import Books, RouterBook, TargetBook, check_books
from gateway_lab.offline.deliveries import DELIVERIES, RENDERED, deliveries, spans
from gateway_lab.offline.handled import HandledCapture
from gateway_lab.offline.handled_books import handled_books, handled_frame, hanging
from gateway_lab.offline.in_order import in_order
from gateway_lab.offline.lazily import lazily
from gateway_lab.offline.one_by_one import mismatches
from gateway_lab.offline.overruns import overruns
from gateway_lab.offline.questions import (
    UNMATCHED,
    count_channels,
    count_over_time,
    list_unmatched,
    sum_channels,
    sum_over_time,
)
from gateway_lab.offline.samples import (
    checked_filters,
    checked_step,
    mask_channels,
    sample,
)
from gateway_lab.offline.tally import Tally, nonzero, tally
from gateway_lab.offline.tasks import Run
from gateway_lab.offline.text import as_html, as_text
from gateway_lab.offline.unread import unread
from gateway_lab.routing.routed import DEAD_LETTER, DROP


@dataclass(frozen=True, eq=False)
class Replay:
    """A config over a capture.

    Attributes:
        run: The config, the capture and how to ask further questions.
        tally: The counts.
        compiled: Findings of the config, none of them an error.
    """

    run: Run
    tally: Tally
    compiled: tuple[Finding, ...]

    @property
    def config(self) -> GatewayConfig:
        """The config."""
        return self.run.config

    @property
    def capture(self) -> Capture:
        """The capture."""
        return self.run.capture

    @property
    def handlers(self) -> HandledCapture | None:
        """What its handlers made of the capture; None: none ran.

        Passed on in the place of the gateway, to another replay or a diff of the same capture, it
        has handlers run again only where the other config has them do something else.
        """
        return self.run.handled

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of the config, and of the traffic: `sources=` in vain, too many live channels."""
        found = overruns(self.run.plan, self.tally, self.channels)
        return (*self.compiled, *unread(self.run, self.tally), *hanging(self.run), *found)

    # --- counts ---

    @cached_property
    def _books(self) -> Books:
        return Books(
            messages=self.tally.messages,
            no_source=self.tally.no_source,
            not_replayed=dict(self.tally.not_replayed),
            sources=dict(self.tally.sources),
            handled=tuple(handled_books(self.tally)),
            routers=tuple(map(self._router_book, self.run.plan.routers)),
            targets=tuple(e for e in self._target_books if e.target not in self._unknown_targets),
        )

    def books(self) -> Books:
        """The books: they balance, or the replay would have raised."""
        return self._books

    def routers(self) -> pl.DataFrame:
        """Results: `router, messages, matched, unmatched, invalid, undecided`.

        `undecided` counts messages for which a condition was NULL when it was reached; they are
        matched or unmatched as well. A router that a masked capture cannot decide has nulls.
        """
        known = {each.router: each.as_row() for each in self._books.routers}
        schema = RouterBook.schema()
        unknown = [None] * (len(schema) - 1)
        rows = [known.get(name, (name, *unknown)) for name in self._router_names]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def routes(self) -> pl.DataFrame:
        """Matches: `router, route, messages, share, bytes, undecided`.

        `share` is of the messages that came into the router. With `match: all` a message counts
        for each route that it matches.
        """
        rows = [
            (name, route.name, *self._matched(name, route.name))
            for name in self._router_names
            for route in self.config.routers[name].routes
            if route.enabled
        ]
        schema = ["router", "route", "messages", "share", "bytes", "undecided"]
        types = [pl.String, pl.String, pl.Int64, pl.Float64, pl.Int64, pl.Int64]
        return pl.DataFrame(rows, schema=dict(zip(schema, types, strict=True)), orient="row")

    def targets(self) -> pl.DataFrame:
        """Outcomes: `target, broker, deliveries, delivered, dropped, dead_lettered, bytes`.

        A target that an undecidable router (see `routers`) sends to has nulls.

        The last rows, `drop` and `dead_letter`, are what goes to no target: by a route or
        `unmatched` that says so, and invalid messages.
        """
        brokers = {name: target.broker for name, target in self.config.targets.items()}
        known = {each.target: each.as_row()[1:] for each in self._books.targets}
        schema = TargetBook.schema_with_broker()
        unknown = (None,) * (len(schema) - 2)
        names = [each.target for each in self._target_books]
        rows = [(name, brokers.get(name), *known.get(name, unknown)) for name in names]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def flow(self) -> pl.DataFrame:
        """Where deliveries go: `source, router, route, target, outcome, deliveries, bytes`.

        No router: an invalid message. No route: a message that matched none.
        """
        rows = [(*key, *weight) for key, weight in nonzero(self.tally.deliveries)]
        names = ["source", "router", "route", "target", "outcome", "deliveries", "bytes"]
        types = [*[pl.String] * 5, pl.Int64, pl.Int64]
        frame = pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
        return in_order(frame, self._document_order())

    def invalid(self) -> pl.DataFrame:
        """Why bodies are invalid: `source, reason, messages`, the most frequent first."""
        rows = [(*key, count) for key, count in self.tally.invalid.items()]
        schema = {"source": pl.String, "reason": pl.String, "messages": pl.Int64}
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.sort("messages", "source", "reason", descending=[True, False, False])

    def handled(self) -> pl.DataFrame:
        """What became of messages in their handlers: `source, fate, reason, messages, tries`.

        A fate is `returned` (or `passed`, where there are middlewares alone), `ended`,
        `dead_lettered` or `invalid`. `tries` says how often the handler ran. Of a source with
        private values the texts of exceptions are left out, unless `gl.show_private()` was called.
        """
        return handled_frame(self.tally, self.run.plan)

    def undecided(self) -> pl.DataFrame:
        """Conditions that were NULL when they were reached: `router, route, messages`."""
        return (
            self.routes()
            .filter(pl.col("undecided") > 0)
            .select("router", "route", messages="undecided")
        )

    def channels(self) -> pl.DataFrame:
        """Channels written to: `target, broker, channel, messages, bytes`, the fullest first.

        A channel that is built from private values is masked, as in samples.
        """
        frame = sum_channels(list(self.run.ask(count_channels, "channels")))
        shown = mask_channels(frame, self.run.plan)
        return in_order(shown, {"target": [*self.config.targets]})

    def over_time(self, every: str = "1m") -> pl.DataFrame:
        """Deliveries by time received: `time, router, target, outcome, deliveries`.

        Args:
            every: The width of a step: `10s`, `1m`, `1h`, `1d`. `time` is its beginning.

        Raises:
            ReplayError: `every` is written differently.
        """
        ask = partial(count_over_time, every=checked_step(every))
        return sum_over_time(list(self.run.ask(ask, "over time")))

    def batches(self, name: str, *, guards: pl.DataFrame | None = None) -> pl.DataFrame:
        """The groups of a batch: `batch, partition, opened, closed, windows, messages`, and more.

        Behind those come the names of `group_by` and of the aggregates. `windows` is `simulated`
        where a batch is cut as if messages came as fast as they were received, and `recorded`
        where a guard says what a gateway stored.

        Args:
            name: Of the batch.
            guards: The table `gateway_batches` of a gateway that read the same messages from
                Kafka: `place, first, last`.

        Raises:
            ReplayError: The config has no batch of this name, or the guards lack a column.
        """
        return batch_frame(self.run, name, guards)

    # --- messages ---

    def deliveries(self, *, rendered: bool = False) -> pl.LazyFrame:
        """All deliveries, lazily, in the order of the capture, routers and routes.

        Args:
            rendered: Whether to write key, headers and body, as the gateway would.

        Returns:
            `seq, received, source, router, route, target, broker, channel, outcome, reason,
            bytes`, and if rendered `key, headers, body`. `bytes` is the captured body's length.
        """

        def make() -> Iterator[pl.DataFrame]:
            for seen in self.run.views():
                for span in spans(seen):
                    yield deliveries(seen, rendered=rendered, span=span)

        return lazily(make, RENDERED if rendered else DELIVERIES)

    def unmatched(self) -> pl.LazyFrame:
        """Messages that matched no route of a router: `seq, received, source, router, bytes`."""
        return lazily(lambda: map(list_unmatched, self.run.views()), UNMATCHED)

    def mismatches(self, n: int = 1_000, *, seed: int = 0) -> pl.DataFrame:
        """Decide some messages one by one, without handlers, and show where that differs.

        Args:
            n: How many messages, chosen by a hash of `seq` and `seed`.
            seed: Another seed chooses others.

        Returns:
            The deliveries of messages on which the two ways differ: `way` (`replay` or `one by
            one`) and the columns of `deliveries(rendered=True)`. Empty, unless there is a bug.

        Raises:
            ReplayError: The capture is masked.
        """
        return mismatches(self.run, n=n, seed=seed)

    def sample(self, n: int = 5, *, seed: int = 0, **where: str | None) -> pl.DataFrame:
        """Some deliveries with their messages, chosen by a hash of `seq` and `seed`.

        Args:
            n: How many at most.
            seed: Another seed chooses others; the same always the same.
            **where: `source`, `router`, `route`, `target`, `outcome`: only those.

        Returns:
            The columns of `deliveries()`, then `key` and `body` as text; private values in them
            are masked unless `gl.show_private()` was called.

        Raises:
            ReplayError: A name in `where` is not known.
        """
        return sample(self.run, n=n, seed=seed, where=checked_filters(self.run.plan, where))

    def between(self, start: datetime | str, end: datetime | str) -> Replay:
        """Look at what was received from `start` on and before `end`; nothing is decoded again.

        It is the replay of `capture.between(start, end)`, without the work that was done already.

        Args:
            start: A datetime or ISO 8601 text; without an offset it means UTC.
            end: Likewise.
        """
        run = replace(
            self.run,
            capture=self.capture.between(start, end),
            window=(as_utc(start), as_utc(end)),
        )
        return Replay(run, counted(run), self.compiled)

    # --- how ---

    def _router_book(self, router: str) -> RouterBook:
        counts = dict.fromkeys(Result, 0)
        for (_, name, result), (messages, _size) in self.tally.results.items():
            if name == router:
                counts[Result(result)] += messages
        undecided = [
            messages
            for (_, name, route), (messages, _size) in self.tally.undecided.items()
            if name == router and route is None
        ]
        return RouterBook(
            router=router,
            messages=sum(counts.values()),
            matched=counts[Result.MATCHED],
            unmatched=counts[Result.UNMATCHED],
            invalid=counts[Result.INVALID],
            undecided=sum(undecided),
        )

    @cached_property
    def _target_books(self) -> tuple[TargetBook, ...]:
        found = {key[3] for key, _ in nonzero(self.tally.deliveries)}
        names = [*self.config.targets, *sorted({DROP, DEAD_LETTER} & found)]
        return tuple(map(self._target_book, names))

    def _target_book(self, target: str) -> TargetBook:
        counts = dict.fromkeys(Outcome, 0)
        size = 0
        for key, (messages, bytes_) in self.tally.deliveries.items():
            if key[3] == target:
                counts[Outcome(key[4])] += messages
                size += bytes_
        return TargetBook(
            target=target,
            deliveries=sum(counts.values()),
            delivered=counts[Outcome.DELIVERED],
            dropped=counts[Outcome.DROPPED],
            dead_lettered=counts[Outcome.DEAD_LETTERED],
            bytes=size,
        )

    @property
    def _router_names(self) -> list[str]:
        return [name for name, router in self.config.routers.items() if router.enabled]

    @cached_property
    def _unknown_targets(self) -> set[str]:
        """Name the targets of routers that a masked capture cannot decide."""
        lost = [
            router
            for name, router in self.config.routers.items()
            if router.enabled and name not in self.run.plan.routers
        ]
        ends = [router.unmatched for router in lost] + [r.to for each in lost for r in each.routes]
        return {name for end in ends for name in ((end,) if isinstance(end, str) else end)}

    def _matched(self, router: str, route: str) -> tuple[int | float | None, ...]:
        if router not in self.run.plan.routers:
            return (None,) * 4
        due = sum(messages for (_, name), (messages, _) in self.tally.due.items() if name == router)
        messages = size = undecided = 0
        for source in self.run.plan.routers[router].sources:
            weight = self.tally.routes.get((source, router, route), (0, 0))
            messages, size = messages + weight[0], size + weight[1]
            undecided += self.tally.undecided.get((source, router, route), (0, 0))[0]
        return messages, messages / due if due else None, size, undecided

    def _document_order(self) -> dict[str, list[str]]:
        routers = self.run.plan.routers
        return {
            "source": [*self.config.sources],
            "router": [*routers],
            "route": list(
                dict.fromkeys(r.name for router in routers.values() for r in router.routes)
            ),
            "target": [*self.config.targets, DROP, DEAD_LETTER],
        }

    def __repr__(self) -> str:
        return as_text(self.config, self.books(), self.findings)

    def _repr_html_(self) -> str:
        return as_html(repr(self), (self.routers(), self.targets()))


def counted(run: Run) -> Tally:
    """Count all that a run looks at; the books must balance."""
    books = Tally()
    for part in run.ask(tally, "replay"):
        books.add(part)
    check_books(books)
    return books
