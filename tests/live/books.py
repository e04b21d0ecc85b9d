"""What a gateway process counted, and whether that is what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from gateway_lab.gateway.counters import Stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The sums of one process over all its sources and ways.

    Attributes:
        is_killed: Whether it was killed at that moment; else it ended by itself.
    """

    is_killed: bool
    read: int
    settled: int
    decided: int
    delivered: int
    dropped: int
    dead_lettered: int

    @classmethod
    def of(cls, stats: Stats, *, is_killed: bool) -> Books:
        """Add up."""
        return cls(
            is_killed=is_killed,
            read=sum(each.read for each in stats.sources),
            settled=sum(each.settled for each in stats.sources),
            decided=sum(each.deliveries for each in stats.ways),
            delivered=sum(each.delivered for each in stats.ways),
            dropped=sum(each.dropped for each in stats.ways),
            dead_lettered=sum(each.dead_lettered for each in stats.ways),
        )

    @property
    def pending(self) -> int:
        """Deliveries whose end is not known."""
        return self.decided - self.delivered - self.dropped - self.dead_lettered

    def as_json(self) -> dict[str, object]:
        """Return the numbers by name."""
        return asdict(self)


def misbooked(books: Sequence[Books], stored: int, *, deduplicates: bool) -> Iterator[str]:
    """Name what does not balance.

    A process that ended by itself has nothing under way. What is stored was confirmed, or was
    under way when a process was killed; what was confirmed is stored, though a target that
    deduplicates stores it once.

    Args:
        books: Of each process.
        stored: What lies in the targets and among the dead letters.
        deduplicates: Whether the target does.
    """
    for each in books:
        if not each.is_killed and each.pending:
            yield f"{each.pending} deliveries are pending at the end"
        if not each.is_killed and each.read != each.settled:
            yield f"{each.read} read, {each.settled} settled at the end"
    confirmed = sum(each.delivered + each.dead_lettered for each in books)
    unknown = sum(each.pending for each in books if each.is_killed)
    if books and stored > confirmed + unknown:
        yield f"{stored} stored, {confirmed} confirmed and {unknown} under way at a kill"
    is_repeated = deduplicates and any(each.is_killed for each in books)
    if confirmed > stored and not is_repeated:
        yield f"{confirmed} confirmed, {stored} stored"
