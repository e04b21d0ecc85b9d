"""The ledger itself: it convicts each kind of violation, and nobody who is innocent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.live.books import Books
from tests.live.ledger import Bounds, Ledger, Verdict
from tests.live.script import BROKEN, LETTERS, MIXED, OUT, SECOND, WAYS, Record, Script, is_whole

SCRIPT = Script(seed=7, count=70, keys=5, mix=MIXED)
Tamper = Callable[[dict[str, list[Record]]], object]


def delivered(number: int, id_: bytes = b"", headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    record = SCRIPT.record(number)
    own = (("x-gw-id", id_ or b"id-%d" % number), ("x-gw-route", b"kinds"), *headers)
    return replace(record, headers=(*record.headers, *own))


def all_delivered() -> dict[str, list[Record]]:
    """Everything where it belongs, in order."""
    places: dict[str, list[Record]] = {OUT: [], SECOND: [], LETTERS: []}
    for number in range(SCRIPT.count):
        for place, of_class in WAYS[SCRIPT.kind(number)].items():
            letter = (("x-gw-dlq-class", of_class.encode()),) if of_class else ()
            places[place].append(delivered(number, headers=letter))
    return places


def judge(
    tamper: Tamper = len,
    *,
    bounds: Bounds | None = None,
    acknowledged: range = range(SCRIPT.count),
    lag: int = 0,
    books: tuple[Books, ...] = (),
) -> Verdict:
    ledger = Ledger(SCRIPT)
    ledger.acknowledge(acknowledged)
    places = all_delivered()
    tamper(places)
    for place, records in places.items():
        ledger.arrive(place, records)
    return ledger.judge(bounds or Bounds(), lag={"kafka": lag}, books=books)


def the_books(**changes: int) -> Books:
    counted = {"read": 70, "settled": 70, "decided": 90, "delivered": 70, "dead_lettered": 20}
    return Books(is_killed=False, **{"dropped": 0, **counted, **changes})


def test_what_is_all_there_in_order_is_clean() -> None:
    verdict = judge(books=(the_books(),))
    assert verdict.is_clean, verdict
    assert (verdict.arrived, verdict.letters, verdict.duplicates) == (70, 20, 0)


def test_a_message_that_is_nowhere_is_lost() -> None:
    assert judge(lambda places: places[OUT].pop(3)).violations == {"lost": 1}


def test_a_message_of_two_targets_that_is_in_one_is_lost() -> None:
    assert judge(lambda places: places[SECOND].pop()).violations == {"lost": 1}


def test_a_dead_letter_that_is_nowhere_is_lost() -> None:
    assert judge(lambda places: places[LETTERS].pop(0)).violations == {"lost": 1}


def test_what_no_broker_confirmed_may_be_missing_or_there() -> None:
    assert judge(lambda places: places[OUT].pop(), acknowledged=range(SCRIPT.count - 7)).is_clean
    assert judge(acknowledged=range(10)).is_clean


def test_what_nobody_published_is_alien() -> None:
    stranger = Record(b"{}", None, (), None)
    assert judge(lambda places: places[OUT].append(stranger)).violations == {"alien": 1}
    beyond = replace(delivered(3), body=Script(7, 99).body(98))
    assert judge(lambda places: places[OUT].append(beyond)).violations == {"alien": 1}


def test_what_lies_where_it_does_not_belong_is_alien() -> None:
    parked = delivered(3)
    assert judge(lambda places: places[OUT].append(parked)).violations == {"alien": 1}


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda record: replace(record, body=record.body.replace(b"data", b"date")), "alien"),
        (lambda record: replace(record, body=record.body[:-11] + b'"00000000"}'), "damaged"),
        (lambda record: replace(record, body=record.body + b" "), "damaged"),
        (lambda record: replace(record, body=Script(8, 70).body(0)), "damaged"),
        (lambda record: replace(record, key=b"key-4"), "damaged"),
        (lambda record: replace(record, key=None), "damaged"),
        (lambda record: replace(record, headers=record.headers[1:]), "damaged"),
        (lambda record: replace(record, headers=(*record.headers, ("more", b""))), "damaged"),
        (lambda record: replace(record, timestamp_ms=1), "damaged"),
        (lambda record: replace(record, timestamp_ms=None), "damaged"),
    ],
    ids=["form", "sum", "length", "seed", "key", "no key", "header", "added", "time", "no time"],
)
def test_what_is_changed_on_the_way_is_convicted(
    damage: Callable[[Record], Record], what: str
) -> None:
    def tamper(places: dict[str, list[Record]]) -> None:
        places[OUT][0] = damage(places[OUT][0])

    assert what in judge(tamper).violations


def test_a_changed_byte_is_seen_without_the_seed() -> None:
    body = SCRIPT.body(3)
    assert is_whole(body)
    assert not is_whole(body.replace(b'"data":"', b'"data":"0', 1))
    assert is_whole(SCRIPT.body(MIXED.index(BROKEN)))


def test_a_duplicate_without_a_kill_is_one_too_many() -> None:
    verdict = judge(lambda places: places[OUT].append(places[OUT][0]))
    assert verdict.violations == {"duplicates": 1}


def test_duplicates_are_allowed_up_to_the_bound() -> None:
    def twice(places: dict[str, list[Record]]) -> None:
        places[OUT] += places[OUT][:5]

    assert judge(twice, bounds=Bounds(duplicates=5)).is_clean
    assert judge(twice, bounds=Bounds(duplicates=4)).violations == {"duplicates": 1}


def test_a_duplicate_has_the_same_gateway_id() -> None:
    def again(places: dict[str, list[Record]]) -> None:
        places[OUT].append(delivered(0, b"another"))

    bounds = Bounds(duplicates=10)
    assert judge(again, bounds=bounds).violations == {"duplicates": 1}
    assert judge(again, bounds=replace(bounds, one_id=False)).is_clean


def test_first_occurrences_of_a_key_are_in_order() -> None:
    def swapped(places: dict[str, list[Record]]) -> None:
        of_a_key = [at for at, each in enumerate(places[OUT]) if each.key == b"key-0"]
        first, second = of_a_key[:2]
        places[OUT][first], places[OUT][second] = places[OUT][second], places[OUT][first]

    assert judge(swapped).violations == {"disorder": 1}
    assert judge(swapped, bounds=Bounds(keeps_order=False)).is_clean


def test_a_repeated_run_is_in_order_and_so_are_other_keys() -> None:
    def replayed(places: dict[str, list[Record]]) -> None:
        places[OUT] += places[OUT][5:20]

    def by_key(places: dict[str, list[Record]]) -> None:
        places[OUT].sort(key=lambda each: each.key or b"")

    assert judge(replayed, bounds=Bounds(duplicates=15)).is_clean
    assert judge(by_key).is_clean


def test_a_letter_says_why_as_expected() -> None:
    def reworded(places: dict[str, list[Record]]) -> None:
        places[LETTERS][0] = delivered(3, headers=(("x-gw-dlq-class", b"permanent"),))
        places[LETTERS][1] = delivered(6)

    assert judge(reworded).violations == {"letters": 2}


def test_a_source_that_is_not_read_to_its_end_is_convicted() -> None:
    assert judge(lag=3).violations == {"lag": 1}


@pytest.mark.parametrize(
    "changes",
    [{"delivered": 69}, {"delivered": 71, "decided": 91}, {"settled": 69}, {"decided": 91}],
    ids=["stored, not counted", "counted, not stored", "not settled", "pending"],
)
def test_books_that_tell_something_else_are_convicted(changes: dict[str, int]) -> None:
    assert "books" in judge(books=(the_books(**changes),)).violations


def test_books_of_a_killed_process_may_leave_open_what_was_under_way() -> None:
    killed = replace(the_books(settled=3, delivered=10, dead_lettered=5), is_killed=True)
    rest = the_books(read=67, settled=67, decided=75, delivered=60, dead_lettered=15)
    assert judge(books=(killed, rest)).is_clean
    assert "books" in judge(books=(killed, replace(rest, delivered=61, decided=76))).violations
    nothing = replace(rest, delivered=0, dead_lettered=0, decided=0)
    assert "books" in judge(books=(replace(killed, decided=15), nothing)).violations


def test_a_target_that_deduplicates_stores_less_than_was_confirmed_after_a_kill_only() -> None:
    killed = replace(the_books(settled=0), is_killed=True)
    bounds = Bounds(deduplicates=True)
    assert judge(books=(killed, the_books()), bounds=bounds).is_clean
    assert "books" in judge(books=(the_books(), the_books()), bounds=bounds).violations
