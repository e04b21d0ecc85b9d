from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.brokers.kafka.note import LONGEST, Past, write_note
from gateway_lab.brokers.kafka.watermark import Watermark

COUNTS = st.dictionaries(st.integers(0, 10**12), st.integers(1, 5), max_size=30)


@given(position=st.integers(0, 10**12), counts=COUNTS, beyond=st.integers(1, 50))
def test_what_is_written_is_read(position: int, counts: dict[int, int], beyond: int) -> None:
    there = {position + offset: counts[offset] for offset in sorted(counts)}
    end = max(there, default=position) + beyond
    past = Past(position, write_note(position, end, there))
    assert {offset: past.times(offset) for offset in there} == there
    for before, after in pairwise([*there, end]):
        assert past.times(after - 1) == there[before]  # what is done counts with the one before
    assert past.times(end) == 0


@given(count=st.integers(1, 5_000))
def test_a_note_is_never_longer_than_a_server_takes(count: int) -> None:
    counts = {offset * 1_000: 1 + offset % 3 for offset in range(count)}
    note = write_note(0, count * 1_000, counts)
    assert len(note) <= LONGEST
    past = Past(0, note)
    known = [offset for offset in counts if past.times(offset)]
    assert known == list(counts)[: len(known)]
    assert all(past.times(offset) == counts[offset] for offset in known)


def test_most_notes_are_short() -> None:
    assert write_note(7, 7, {}) == ""
    assert write_note(100, 10_100, dict.fromkeys(range(100, 10_100), 1)) == "gw1:0x1,10000"


@pytest.mark.parametrize(
    "note",
    [None, "", "somebody else's", "gw1:", "gw1:0x1,", "gw1:axb,3", "gw1:0x1,9\n", "gw2:0x1,9"],
)
def test_the_text_of_somebody_else_says_nothing(note: str | None) -> None:
    past = Past(5, note)
    assert [past.times(offset) for offset in (0, 5, 6)] == [0, 0, 0]


def test_a_count_of_somebody_else_is_bounded() -> None:
    assert Past(0, "gw1:0x999999999,1").times(0) == 1_000_000


def test_each_member_counts_on() -> None:
    note = ""
    for times in range(4):
        mark = Watermark(3, note)
        assert [mark.read(offset) for offset in (3, 4, 9)] == [times] * 3
        mark.settle(4)
        note = mark.note
    mark = Watermark(3, note)
    mark.read(3)
    mark.read_again(3)
    assert Past(3, mark.note).times(3) == 6


def test_what_is_ahead_counts_as_read_once() -> None:
    past = Past(5, write_note(5, 8, {6: 3}, ahead=100))
    assert [past.times(offset) for offset in (5, 6, 7, 8, 107, 108)] == [0, 3, 3, 1, 1, 0]
    assert write_note(5, 5, {}, ahead=100) == "gw1:0x1,100"
    assert write_note(5, 8, {5: 1}, ahead=100) == "gw1:0x1,103"


@given(position=st.integers(0, 10**12), failures=COUNTS)
def test_failures_of_handlers_are_read_again(position: int, failures: dict[int, int]) -> None:
    there = {position + offset: failures[offset] for offset in sorted(failures)}
    end = max(there, default=position) + 1
    past = Past(position, write_note(position, end, dict.fromkeys(there, 1), failures=there))
    assert past.failures == there
    assert all(past.times(offset) == 1 for offset in there)


def test_the_failures_of_many_leave_room_for_the_counts() -> None:
    counts = {offset * 1_000: 1 + offset % 3 for offset in range(5_000)}
    note = write_note(0, 5_000_000, counts, ahead=1_000, failures=dict.fromkeys(counts, 2))
    assert len(note) <= LONGEST
    past = Past(0, note)
    assert list(past.failures) == list(counts)[: len(past.failures)]
    assert past.times(0) == 1


def test_a_guarded_member_counts_ends_and_not_reads() -> None:
    note, told = "", []
    for _ in range(3):  # it dies each time, with two messages under way
        mark = Watermark(3, note)
        mark.is_guarded = True
        told.append([mark.read(offset) for offset in (3, 4)])
        mark.begin(4)
        note = mark.note_ahead(10)
    assert told == [[0, 0], [1, 2], [1, 3]]
    assert Past(3, note).times(14) == 1


def test_a_handler_that_fails_by_itself_has_ended_no_process() -> None:
    mark = Watermark(0, "gw1:0x4,2;1x2")
    mark.is_guarded = True
    assert [mark.read(offset) for offset in (0, 1)] == [4, 4]
    assert [mark.failures_before(offset) for offset in (0, 1)] == [0, 2]
    mark.begin(0)
    mark.failed(0, 1)
    assert mark.note == "gw1:0x1,1x4,2;1x2,0x1"
    mark.settle(1)
    assert mark.note == "gw1:0x1,2;0x1"
    mark.settle(0)
    assert mark.note == ""
