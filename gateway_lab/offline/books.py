"""The books of a replay: every message and every delivery is somewhere, or it is an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

import polars as pl

from gateway_lab.errors import ReplayError
from gateway_lab.offline.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterBook:
    """matched + unmatched + invalid = messages."""

    router: str
    messages: int
    matched: int
    unmatched: int
    invalid: int
    undecided: int

    @classmethod
    def schema(cls) -> dict[str, type[pl.DataType]]:
        """The columns of `as_row`."""
        return {each.name: pl.String if each.name == "router" else pl.Int64 for each in fields(cls)}

    def as_row(self) -> tuple[str | int, ...]:
        """The values in the order of `schema`."""
        return astuple(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandledBook:
    """routed + ended + dead_lettered + invalid = messages.

    Attributes:
        routed: Messages that came to the routers: a handler returned an event.
        ended: Messages that a handler ended.
        dead_lettered: Messages that it refused, or failed at with each of its tries.
        invalid: Messages that never came to it, or that its own model refused.
        tries: How often it ran.
    """

    source: str
    messages: int
    routed: int
    ended: int
    dead_lettered: int
    invalid: int
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBook:
    """delivered + dropped + dead_lettered = deliveries; `drop` and `dead_letter` stand for themselves."""

    target: str
    deliveries: int
    delivered: int
    dropped: int
    dead_lettered: int
    bytes: int

    @classmethod
    def schema_with_broker(cls) -> dict[str, type[pl.DataType]]:
        """The columns of a table of targets: `as_row`, and the broker behind the name."""
        counts = {each.name: pl.Int64 for each in fields(cls) if each.name != "target"}
        return {"target": pl.String, "broker": pl.String, **counts}

    def as_row(self) -> tuple[str | int, ...]:
        """The values in the order of the fields."""
        return astuple(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The books of a replay.

    Attributes:
        messages: Messages of the capture.
        no_source: Those that no source reads.
        not_replayed: Source to those whose handler did not run.
        sources: Source to the messages that it read.
        handled: What handlers made of the messages of each source that has one.
        routers: Those that can be told; of a masked capture some cannot.
        targets: Likewise: those that no router sends to which cannot be told.
    """

    messages: int
    no_source: int
    not_replayed: dict[str, int]
    sources: dict[str, int]
    handled: tuple[HandledBook, ...]
    routers: tuple[RouterBook, ...]
    targets: tuple[TargetBook, ...]

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    __repr__ = __str__


def _lines(books: Books) -> Iterator[str]:
    seen = ", ".join(f"{name} {count:,}" for name, count in books.sources.items())
    yield f"{books.messages:,} messages: {seen or 'no source has any'}"
    if books.no_source:
        yield f"  no_source: {books.no_source:,} messages that no source reads"
    for source, count in books.not_replayed.items():
        yield (
            f"  not_replayed: {count:,} messages of {source}, whose handler did not run "
            "(handlers=gateway runs it)"
        )
    for done in books.handled:
        yield (
            f"  {done.source}, handled: {done.routed:,} routed + {done.ended:,} ended + "
            f"{done.dead_lettered:,} dead_lettered + {done.invalid:,} invalid = {done.messages:,}"
        )
    for each in books.routers:
        yield (
            f"  {each.router}: {each.matched:,} matched + {each.unmatched:,} unmatched + "
            f"{each.invalid:,} invalid = {each.messages:,}"
        )
    for book in books.targets:
        yield (
            f"  → {book.target}: {book.delivered:,} delivered + {book.dropped:,} dropped + "
            f"{book.dead_lettered:,} dead_lettered = {book.deliveries:,}"
        )


def check_books(tally: Tally) -> None:
    """Compare what was decided with what came in.

    Raises:
        ReplayError: A sum is off: what was counted must not be believed.
    """
    for (source, router), (messages, deliveries) in tally.due.items():
        booked = sum(
            weight[0] for key, weight in tally.results.items() if key[:2] == (source, router)
        )
        if booked != messages:
            raise _off(
                f"router {router!r}", f"{booked} results", f"{messages} messages of {source}"
            )
        made = [
            weight[0] for key, weight in tally.deliveries.items() if key[:2] == (source, router)
        ]
        if sum(made) != deliveries or min(made, default=0) < 0:
            raise _off(f"router {router!r}", f"{sum(made)} deliveries", f"{deliveries} that follow")
    for source in {source for source, _, _ in tally.handled}:
        fates = sum(weight[0] for key, weight in tally.handled.items() if key[0] == source)
        if fates != tally.sources[source]:
            due = f"{tally.sources[source]} messages of {source}"
            raise _off(f"source {source!r}", f"{fates} that were handled", due)


def _off(where: str, booked: str, due: str) -> ReplayError:
    return ReplayError(
        f"the books do not balance: {booked} for {due}",
        where=where,
        hint="this is a defect of gateway_lab; please report it with the config",
    )
