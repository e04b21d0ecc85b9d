"""The books of a part: counts that add up, and travel back from wherever they were made."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import polars as pl

from gateway_lab.config.plan import Plan, RouterPlan, SourcePlan, TargetPlan
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.offline.columns import Stream, invalid_weights
from gateway_lab.offline.decide import Decided, decide
from gateway_lab.offline.handled import END_OF, Fate, HandledPart
from gateway_lab.offline.targets import Written, write
from gateway_lab.offline.view import View
from gateway_lab.routing.conclude import Conclusion, conclude
from gateway_lab.routing.routed import DEAD_LETTER, DROP

MAX_REASONS = 1000
"""Different reasons counted apart for a source; further ones are counted together."""

OTHER_REASONS = "further reasons"

Weight: TypeAlias = tuple[int, int]
"""Messages and bytes."""

DeliveryKey: TypeAlias = tuple[str, str | None, str | None, str, str]
"""Source, router, route, target and outcome."""

HandledKey: TypeAlias = tuple[str, str, str | None]
"""Source, fate and reason."""

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Tally:
    """Counts over some messages; two add up.

    Attributes:
        messages: All messages looked at.
        no_source: Those that no source reads.
        not_replayed: Source name to those whose handler did not run.
        handled: (source, fate, reason) to messages, and how often the handler ran for them.
        results: (source, router, result) to messages and bytes.
        routes: (source, router, route) to those that matched the route.
        undecided: (source, router, route) to those for which the condition was NULL; with None
            for the route those for which any was.
        sources: Source name to the messages that it read.
        due: (source, router) to the messages that came in and the deliveries that follow: what
            the books are checked against.
        deliveries: Messages and bytes by `DeliveryKey`.
        invalid: (source, reason) to messages.
        channels: (source, target) to channels that messages could go to, to at most one
            more than the target's bound.
    """

    messages: int = 0
    no_source: int = 0
    not_replayed: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    results: dict[tuple[str, str, str], Weight] = field(default_factory=dict)
    routes: dict[tuple[str, str, str], Weight] = field(default_factory=dict)
    undecided: dict[tuple[str, str, str | None], Weight] = field(default_factory=dict)
    due: dict[tuple[str, str], Weight] = field(default_factory=dict)
    deliveries: dict[DeliveryKey, Weight] = field(default_factory=dict)
    invalid: dict[tuple[str, str], int] = field(default_factory=dict)
    channels: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    handled: dict[HandledKey, Weight] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Take in the counts of further messages."""
        self.messages += other.messages
        self.no_source += other.no_source
        for source, count in other.not_replayed.items():
            self.not_replayed[source] = self.not_replayed.get(source, 0) + count
        for source, count in other.sources.items():
            self.sources[source] = self.sources.get(source, 0) + count
        _add(self.due, other.due)
        _add(self.results, other.results)
        _add(self.routes, other.routes)
        _add(self.undecided, other.undecided)
        _add(self.deliveries, other.deliveries)
        for (source, reason), count in other.invalid.items():
            _count_reason(self.invalid, source, reason, count)
        for handled, weight in other.handled.items():
            _weigh(self.handled, self._room(*handled), weight)
        for key, names in other.channels.items():
            self.channels[key] = self.channels.get(key, frozenset()) | names

    def _room(self, source: str, fate: str, reason: str | None) -> HandledKey:
        """Return the key of a reason; of too many the further ones have one together."""
        key = (source, fate, reason)
        is_full = reason and key not in self.handled and len(self.handled) >= MAX_REASONS
        return (source, fate, OTHER_REASONS) if is_full else key


def _add(into: dict[K, Weight], other: dict[K, Weight]) -> None:
    for key, weight in other.items():
        _weigh(into, key, weight)


def _weigh(into: dict[K, Weight], key: K, weight: Weight) -> None:
    messages, size = into.get(key, (0, 0))
    into[key] = messages + weight[0], size + weight[1]


def _count_reason(into: dict[tuple[str, str], int], source: str, reason: str, count: int) -> None:
    key = (source, reason)
    if key not in into and len(into) >= MAX_REASONS:
        key = (source, OTHER_REASONS)
    into[key] = into.get(key, 0) + count


def tally(seen: View) -> Tally:
    """Count everything in a part."""
    books = Tally(seen.messages, seen.no_source, dict(seen.not_replayed), dict(seen.bound))
    ended = {each.source: each.count(Fate.ENDED, Fate.DEAD_LETTERED) for each in seen.handled}
    for source, count in seen.bound.items():
        for router in seen.plan.sources[source].routers:
            books.due[source, router] = (count - ended.get(source, 0), 0)
    for stream in seen.streams:
        _refuse_all(books, stream.source, stream.judged.invalid)
        for name in stream.source.routers:
            _count_router(books, seen, seen.plan.routers[name], stream)
    for untyped in seen.untyped:
        _refuse_all(books, untyped.source, untyped.invalid)
    for handled in seen.handled:
        _count_handled(books, seen.plan, handled)
    return books


def _count_handled(books: Tally, plan: Plan, handled: HandledPart) -> None:
    """Book what became of messages in their handler, and what it sent by itself."""
    source = handled.source
    told = handled.fates.filter(pl.col("fate").cast(pl.String) != Fate.STOPPED)
    runs = pl.col("tries").cast(pl.Int64).sum()
    for fate, reason, messages, tries in told.group_by("fate", "reason").agg(pl.len(), runs).rows():
        other = Tally(handled={(source, fate, reason): (messages, tries)})
        books.add(other)
    size = pl.col("bytes").cast(pl.Int64).sum()
    for fate, messages, length in handled.ends.group_by("fate").agg(pl.len(), size).rows():
        end = END_OF[Fate(fate)]
        _weigh(books.deliveries, (source, None, None, *end), (messages, length))
    size = pl.col("body").bin.size().fill_null(0).cast(pl.Int64).sum()
    sent = handled.sends.group_by("route", "target").agg(pl.len(), size)
    for route, target, messages, length in sent.rows():
        key = (source, None, route, target, Outcome.DELIVERED)
        _weigh(books.deliveries, key, (messages, length))
    for (target,), theirs in handled.sends.partition_by("target", as_dict=True).items():
        _note_channels(books, source, plan.targets[source, target], theirs["channel"].unique())


def _refuse_all(books: Tally, source: SourcePlan, invalid: pl.DataFrame) -> None:
    for reason, messages, size in invalid_weights(invalid).rows():
        _refuse(books, source, reason, (messages, size))


def _refuse(books: Tally, source: SourcePlan, reason: str, weight: Weight) -> None:
    """Book invalid messages: one dead letter (or drop) of the source, invalid in every router."""
    _count_reason(books.invalid, source.name, reason, weight[0])
    outcome, target = Outcome.DEAD_LETTERED, DEAD_LETTER
    if source.on_invalid == DROP:
        outcome, target = Outcome.DROPPED, DROP
    _weigh(books.deliveries, (source.name, None, None, target, outcome), weight)
    for router in source.routers:
        _weigh(books.results, (source.name, router, Result.INVALID), weight)


def _count_router(books: Tally, seen: View, router: RouterPlan, stream: Stream) -> None:
    decided = decide(router, stream)
    conclusions = [conclude(router, router.routes, state) for state in decided.states]
    source = stream.source.name
    for state, messages, size in decided.weights.rows():
        _book(books, source, router.name, conclusions[state], (messages, size))
    for name in {each.target for all_ in conclusions for each in all_.deliveries}:
        if (source, name) in seen.plan.targets:
            target = seen.plan.targets[source, name]
            written = write(target, stream)
            _count_refused(books, router, target, (stream, decided, conclusions, written))
            _note_channels(books, source, target, written.names)


def _book(books: Tally, source: str, router: str, found: Conclusion, weight: Weight) -> None:
    _weigh(books.results, (source, router, found.result), weight)
    for route in found.routes:
        _weigh(books.routes, (source, router, route), weight)
    undecided = (*found.undecided, None) if found.undecided else ()
    for name in undecided:
        _weigh(books.undecided, (source, router, name), weight)
    _weigh(books.due, (source, router), (0, weight[0] * len(found.deliveries)))
    for each in found.deliveries:
        _weigh(books.deliveries, (source, router, each.route, each.target, each.outcome), weight)


def _count_refused(
    books: Tally,
    router: RouterPlan,
    target: TargetPlan,
    about: tuple[Stream, Decided, list[Conclusion], Written],
) -> None:
    """Move what the target refuses from delivered to dead-lettered."""
    stream, decided, conclusions, written = about
    refused = written.refused["at"]
    if refused.is_empty():
        return
    rows = {"state": decided.rows().gather(refused), "bytes": stream.judged.sizes.gather(refused)}
    sums = pl.DataFrame(rows).group_by("state").agg(pl.len(), pl.col("bytes").cast(pl.Int64).sum())
    for state, messages, size in sums.rows():
        for each in conclusions[state].deliveries:
            if each.target == target.name:
                key = (stream.source.name, router.name, each.route, each.target)
                _weigh(books.deliveries, (*key, Outcome.DELIVERED), (-messages, -size))
                _weigh(books.deliveries, (*key, Outcome.DEAD_LETTERED), (messages, size))


def _note_channels(books: Tally, source: str, target: TargetPlan, names: pl.Series) -> None:
    known = books.channels.get((source, target.name), frozenset())
    books.channels[source, target.name] = known | frozenset(names.head(target.max_channels + 1))


def nonzero(counts: dict[K, Weight]) -> Iterator[tuple[K, Weight]]:
    """Leave out what was moved elsewhere altogether."""
    return ((key, weight) for key, weight in counts.items() if weight != (0, 0))
