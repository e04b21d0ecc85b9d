"""The ledger: what was promised to a producer, held against what arrived.

It knows nothing of the gateway. A producer's message counts as acknowledged once its broker has
confirmed it; others may arrive or not. Readers that share no code with the connectors hand in
everything that lies in the targets and among the dead letters.

    1 lost        acknowledged, and not in every place where it belongs
    2 alien       nobody published it, or it does not belong where it lies
    3 damaged     body, its sum, key, headers or time differ
    4 duplicates  more than the bound allows, or of several gateway ids
    5 disorder    the first occurrences of a key are not in order
    6 letters     a dead letter without the expected reason
    7 lag         a source is not read to its end
    8 books       what gateways counted is not what happened
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.live.books import Books, misbooked
from tests.live.script import LETTERS, WAYS, Headers, Record, Script, is_whole, number_of

ID_HEADER: Final = "x-gw-id"
CLASS_HEADER: Final = "x-gw-dlq-class"
CONTROL: Final = ("x-gw-", "nats-")
EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is allowed, by what was done to the gateways.

    Attributes:
        duplicates: How many occurrences beyond the first there may be, in all places together;
            0 where nobody was killed.
        keeps_order: Whether the first occurrences of a key are promised in order.
        one_id: Whether every occurrence of a message has the same gateway id; the positions of
            RabbitMQ end with the connection, so not there.
        deduplicates: Whether the target stores a delivery once, however often it is sent.
    """

    duplicates: int = 0
    keeps_order: bool = True
    one_id: bool = True
    deduplicates: bool = False


@dataclass(slots=True)
class Verdict:
    """What a ledger finds.

    Attributes:
        violations: Check to how often it was violated; only those that were.
        examples: Check to a few of them, in words.
    """

    attempted: int
    acknowledged: int
    arrived: int = 0
    letters: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def is_clean(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations

    def convict(self, check: str, example: str, times: int = 1) -> None:
        """Note a violation."""
        self.violations[check] += times
        if len(self.examples[check]) < EXAMPLES:
            self.examples[check].append(example)

    def __str__(self) -> str:
        told = f"{self.acknowledged} acknowledged, {self.arrived} arrived, {self.letters} letters"
        found = [
            f"{self.violations[c]} {c} ({'; '.join(self.examples[c])})" for c in self.violations
        ]
        return f"{told}, {self.duplicates} duplicates: {', '.join(found) or 'clean'}"


class _Place:
    """What lies in one channel, in the order of reading."""

    def __init__(self, count: int) -> None:
        self.ids: list[bytes | None] = [None] * count
        self.last: dict[bytes | None, int] = {}


class Ledger:
    """The ledger of one script; `ways` says where each kind of message belongs."""

    def __init__(self, script: Script, ways: Mapping[str, Mapping[str, str]] = WAYS) -> None:
        self._script, self._ways = script, ways
        self._acknowledged = bytearray(script.count)
        self._places: dict[str, _Place] = {
            place: _Place(script.count) for kind in script.mix for place in ways[kind]
        }
        self._verdict = Verdict(script.count, 0)
        self._stored: Counter[str] = Counter()
        self._of_many_ids = 0

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """Note what a broker has confirmed to the producer."""
        for number in numbers:
            self._acknowledged[number] = 1

    def arrive(self, place: str, records: Iterable[Record], *, added: Headers = ()) -> None:
        """Note what lies in a place, in the order of reading."""
        for record in records:
            self._stored[place] += 1
            number = number_of(record.body)
            if number is None or number >= self._script.count:
                self._verdict.convict("alien", f"{place}: {record.body[:40]!r}")
            elif place not in self._ways[self._script.kind(number)]:
                self._verdict.convict("alien", f"{number} lies in {place}")
            else:
                self._compare(place, number, record, added)
                self._place(place, number, record)

    def _compare(self, place: str, number: int, record: Record, added: Headers) -> None:
        """Hold a message against what was published."""
        expected = self._script.record(number)
        passed = {name: value for name, value in record.headers if not is_control(name)}
        differs = {
            "sum": not is_whole(record.body),
            "body": record.body != expected.body,
            "key": record.key != expected.key,
            "headers": passed != dict((*expected.headers, *added)),
            "time": record.timestamp_ms != expected.timestamp_ms,
        }
        if any(differs.values()):
            what = ", ".join(name for name, is_so in differs.items() if is_so)
            self._verdict.convict("damaged", f"{what} of {number} in {place}")
        if place == LETTERS:
            self._judge_letter(number, dict(record.headers).get(CLASS_HEADER))

    def _judge_letter(self, number: int, of_class: bytes | None) -> None:
        expected = self._ways[self._script.kind(number)][LETTERS]
        if of_class is None or of_class.decode() != expected:
            self._verdict.convict("letters", f"{number} is {of_class!r}, expected {expected}")

    def _place(self, name: str, number: int, record: Record) -> None:
        """Note an occurrence: a first one has its place in the order of its key."""
        place = self._places[name]
        id_ = dict(record.headers).get(ID_HEADER, b"")
        if place.ids[number] is not None:
            self._verdict.duplicates += 1
            self._of_many_ids += place.ids[number] != id_
            return
        place.ids[number] = id_
        if name != LETTERS and place.last.get(record.key, -1) > number:
            self._verdict.out_of_order += 1
        place.last[record.key] = max(number, place.last.get(record.key, -1))

    def judge(
        self, bounds: Bounds, *, lag: Mapping[str, int], books: Sequence[Books] = ()
    ) -> Verdict:
        """Say what is violated.

        Args:
            bounds: What is allowed.
            lag: Source to how much of it nobody has finished; all 0 at the end.
            books: What each gateway process counted, in their order; none if they do not tell.
        """
        verdict = self._verdict
        verdict.acknowledged = sum(self._acknowledged)
        verdict.letters = self._stored[LETTERS]
        verdict.arrived = sum(self._stored.values()) - verdict.letters
        self._find_lost(verdict)
        if verdict.duplicates > bounds.duplicates:
            example = f"{verdict.duplicates}, at most {bounds.duplicates} are allowed"
            verdict.convict("duplicates", example, verdict.duplicates - bounds.duplicates)
        if bounds.one_id and self._of_many_ids:
            verdict.convict("duplicates", "under another gateway id", self._of_many_ids)
        if bounds.keeps_order and verdict.out_of_order:
            verdict.convict("disorder", "behind a later one of its key", verdict.out_of_order)
        for source, left in lag.items():
            if left:
                verdict.convict("lag", f"{left} left in {source}")
        for problem in misbooked(books, self._stored.total(), deduplicates=bounds.deduplicates):
            verdict.convict("books", problem)
        return verdict

    def _find_lost(self, verdict: Verdict) -> None:
        for number in range(self._script.count):
            if self._acknowledged[number]:
                for place in self._ways[self._script.kind(number)]:
                    if self._places[place].ids[number] is None:
                        verdict.convict("lost", f"{number} is not in {place}")


def is_control(name: str) -> bool:
    """Say whether a header is the gateway's or a broker's own."""
    return name.lower().startswith(CONTROL)
