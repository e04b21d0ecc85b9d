from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.batches.window import Timeline, Window

TIMES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), max_size=30)


def cut(times: list[int], received: list[int], *, size: int, every: int) -> list[tuple[int, ...]]:
    window: Window[int] = Window(size=size, every_us=every)
    pushed = [window.push(at, times[at], received[at]) for at in range(len(times))]
    return [batch for batch in (*pushed, window.flush()) if batch]


def test_a_batch_closes_with_its_last_message_not_with_the_next() -> None:
    window: Window[str] = Window(size=2, every_us=100)
    assert window.push("a", 0, 0) is None
    assert window.push("b", 1, 1) == ("a", "b")
    assert len(window) == 0


def test_a_message_exactly_at_the_end_of_the_time_begins_the_next_batch() -> None:
    window: Window[str] = Window(size=9, every_us=100)
    assert window.push("a", 1000, 1000) is None
    assert window.push("b", 1099, 1001) is None
    assert window.push("c", 1100, 1002) == ("a", "b")
    assert window.flush() == ("c",)


def test_time_counts_from_the_first_message_also_when_later_ones_are_older() -> None:
    assert cut([50, 10, 149, 150], [0, 0, 0, 0], size=9, every=100) == [(0, 1, 2), (3,)]


def test_an_idle_batch_closes_when_its_timer_rings() -> None:
    window: Window[str] = Window(size=9, every_us=100)
    assert window.rings_us is None
    window.push("a", 7, 500)
    assert window.rings_us == 600
    assert window.expired(599) is None
    assert window.expired(600) == ("a",)
    assert window.expired(10_000) is None


def test_the_timer_is_of_the_wall_not_of_old_timestamps() -> None:
    assert cut([0, 1, 2], [500, 501, 600], size=9, every=100) == [(0, 1), (2,)]


def test_nothing_is_open_at_first_and_flushing_gives_nothing() -> None:
    window: Window[str] = Window(size=3, every_us=100)
    assert window.flush() is None
    assert list(Timeline([], []).cut(size=3, every_us=100)) == []


def test_with_size_one_each_message_is_a_batch() -> None:
    assert cut([0, 500, 1000], [0, 0, 0], size=1, every=100) == [(0,), (1,), (2,)]


@given(times=TIMES, size=st.integers(1, 6), every=st.integers(0, 12))
def test_all_at_once_cuts_as_one_by_one(
    times: list[tuple[int, int]], size: int, every: int
) -> None:
    stamps = [time for time, _ in times]
    received = [sum(step for _, step in times[: at + 1]) for at in range(len(times))]
    ends = Timeline(stamps, received).cut(size=size, every_us=every)
    whole = [tuple(range(*each)) for each in ends]
    assert whole == cut(stamps, received, size=size, every=every)


@given(times=TIMES, size=st.integers(1, 6), every=st.integers(1, 12))
def test_batches_are_runs_that_hold_every_message_once(
    times: list[tuple[int, int]], size: int, every: int
) -> None:
    stamps = [time for time, _ in times]
    batches = cut(stamps, stamps, size=size, every=every)
    assert [at for batch in batches for at in batch] == list(range(len(times)))
    assert all(len(batch) <= size for batch in batches)
    assert all(stamps[at] < stamps[batch[0]] + every for batch in batches for at in batch)
