from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway_lab.brokers.kafka.watermark import Watermark

OFFSETS = st.integers(0, 30)


class Steps(RuleBasedStateMachine):
    """A watermark beside the plainest model: all that was read, and all that is done."""

    @initialize(start=OFFSETS)
    def start(self, start: int) -> None:
        self.mark = Watermark(start)
        self.read: dict[int, bool] = {}
        self.end = self.position = start
        self.is_cut = False

    @rule(gap=st.integers(0, 3))
    def reads_one(self, gap: int) -> None:
        assert self.mark.read(self.end + gap) == 0
        self.read[self.end + gap] = False
        self.end += gap + 1

    @rule(back=st.integers(1, 10))
    def reads_one_again(self, back: int) -> None:
        assert self.mark.read(self.end - back) is None

    @rule(offset=OFFSETS)
    def settles(self, offset: int) -> None:
        self.mark.settle(offset)
        if offset in self.read and not self.mark.is_closed:
            self.read[offset] = True

    @precondition(lambda self: self.read)
    @rule(data=st.data())
    def cuts(self, data) -> None:
        offset = data.draw(st.sampled_from(sorted(self.read)))
        self.mark.cut(offset)
        self.read = {each: done for each, done in self.read.items() if each < offset}
        self.end = offset
        self.is_cut = True

    @rule()
    def closes(self) -> None:
        self.mark.close()

    @invariant()
    def never_passes_what_is_open(self) -> None:
        still_open = [offset for offset, done in self.read.items() if not done]
        assert self.mark.position == min(still_open, default=self.end)
        assert self.mark.is_complete == (not still_open)
        assert [each for each in range(self.end + 1) if self.mark.is_open(each)] == still_open

    @invariant()
    def never_goes_back_but_by_a_cut(self) -> None:
        assert self.is_cut or self.mark.position >= self.position
        self.position, self.is_cut = self.mark.position, False


TestSteps = Steps.TestCase


@given(offsets=st.permutations(range(40)))
def test_any_order_of_settling_ends_behind_the_last(offsets: list[int]) -> None:
    mark = Watermark(0)
    for offset in range(40):
        mark.read(offset)
    done: set[int] = set()
    for offset in offsets:
        mark.settle(offset)
        done.add(offset)
        assert all(below in done for below in range(mark.position))
        assert mark.position not in done
    assert mark.position == 40


def test_what_is_settled_after_the_partition_went_elsewhere_moves_nothing() -> None:
    mark = Watermark(5)
    mark.read(5)
    mark.close()
    mark.settle(5)
    assert mark.position == 5
