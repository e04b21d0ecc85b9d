"""What a running gateway counted: the same books as a replay, and what is under way.

Per router: matched + unmatched + invalid = messages.
Per way (source, router, route, target):
delivered + dropped + dead_lettered + given_back + pending = deliveries.
Per source: settled + given_back + in_flight = read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway_lab.messages.books import Result
from gateway_lab.routing.routed import Decision


class State(StrEnum):
    """How a source is."""

    WAITING = "waiting"
    """For a broker that is away, or a database."""

    RUNNING = "running"
    RED = "red"
    """Stopped: what it read and did not settle comes again once the reason is mended."""

    IDLE = "idle"
    """No router reads it."""

    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStats:
    """What one source did.

    Attributes:
        reason: Why it is in this state; empty if there is nothing to say.
        read: Messages read, each as often as it came.
        redelivered: Those of them that had come before, as far as the broker knows.
        in_flight: Messages read and not settled.
        retried: Times that a delivery was tried again.
        ambiguous: Failed tries that the broker may have stored all the same.
        given_back: Messages read and not settled when the source ended; they come again.
        lost: Messages that the broker removed before they were read.
        overtaken: Messages that were refused inside a pipeline and overtaken by later ones.
        blocked: Seconds, about, that its handler was found to block the event loop.
        window: How full the window is, 0 to 1; reading pauses when it is full.
    """

    source: str
    state: State
    reason: str
    read: int
    redelivered: int
    settled: int
    in_flight: int
    retried: int
    ambiguous: int
    given_back: int = 0
    lost: int = 0
    overtaken: int = 0
    blocked: int = 0
    window: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterStats:
    """What became of the messages of a source in a router."""

    source: str
    router: str
    messages: int
    matched: int
    unmatched: int
    invalid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WayStats:
    """What became of deliveries on one way; router and route are None as in a replay."""

    source: str
    router: str | None
    route: str | None
    target: str
    deliveries: int
    delivered: int
    dropped: int
    dead_lettered: int
    pending: int
    given_back: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A gateway's books at one moment.

    Attributes:
        digest: Of the config that decides.
        refused: Why the last reload changed nothing; empty if it did.
    """

    sources: tuple[SourceStats, ...]
    routers: tuple[RouterStats, ...]
    ways: tuple[WayStats, ...]
    digest: str = ""
    refused: str = ""


@dataclass(slots=True, eq=False)
class Tally:
    """Deliveries on one way, as they are counted."""

    decided: int = 0
    delivered: int = 0
    dropped: int = 0
    dead_lettered: int = 0
    given_back: int = 0

    @property
    def pending(self) -> int:
        """How many have not come to their end."""
        ended = self.delivered + self.dropped + self.dead_lettered + self.given_back
        return self.decided - ended


@dataclass(slots=True)
class Counters:
    """The books of one source while it runs."""

    source: str
    state: State = State.WAITING
    reason: str = ""
    read: int = 0
    redelivered: int = 0
    settled: int = 0
    retried: int = 0
    ambiguous: int = 0
    given_back: int = 0
    lost: int = 0
    overtaken: int = 0
    blocked: int = 0
    window: float = 0.0
    results: Counter[tuple[str, Result]] = field(default_factory=Counter)
    tallies: defaultdict[tuple[str | None, str | None, str], Tally] = field(
        default_factory=lambda: defaultdict(Tally)
    )

    def count(self, decisions: Sequence[Decision]) -> None:
        """Take decisions in; the same one stands for many messages, as a rule."""
        identities = list(map(id, decisions))
        found = dict(zip(identities, decisions, strict=True))
        for identity, number in Counter(identities).items():
            decision = found[identity]
            self.results[decision.router, decision.result] += number

    def give_back(self) -> None:
        """Book what is under way as given back: the source has ended, and it comes again."""
        self.given_back = self.read - self.settled
        for tally in self.tallies.values():
            tally.given_back += tally.pending

    def source_stats(self) -> SourceStats:
        """Return the numbers of the source."""
        return SourceStats(
            source=self.source,
            state=self.state,
            reason=self.reason,
            read=self.read,
            redelivered=self.redelivered,
            settled=self.settled,
            in_flight=self.read - self.settled - self.given_back,
            retried=self.retried,
            ambiguous=self.ambiguous,
            given_back=self.given_back,
            lost=self.lost,
            overtaken=self.overtaken,
            blocked=self.blocked,
            window=self.window,
        )

    def router_stats(self, router: str) -> RouterStats:
        """Return the numbers of a router."""
        matched, unmatched, invalid = (self.results[router, each] for each in Result)
        return RouterStats(
            source=self.source,
            router=router,
            messages=matched + unmatched + invalid,
            matched=matched,
            unmatched=unmatched,
            invalid=invalid,
        )

    def way_stats(self) -> list[WayStats]:
        """Return the numbers of each way that a delivery took."""
        return [
            WayStats(
                source=self.source,
                router=router,
                route=route,
                target=target,
                deliveries=tally.decided,
                delivered=tally.delivered,
                dropped=tally.dropped,
                dead_lettered=tally.dead_lettered,
                pending=tally.pending,
                given_back=tally.given_back,
            )
            for (router, route, target), tally in self.tallies.items()
        ]
