"""How far a partition may be committed: below the lowest message that is not done."""

from __future__ import annotations

from gateway_lab.brokers.kafka.note import Past, write_note


class Watermark:
    """Follows one partition from the moment it is assigned until it is revoked.

    A partition that is assigned again gets a new one: what is settled late, after the partition
    went elsewhere, belongs to a watermark that is closed, and moves nothing.

    Offsets are read in ascending order and may have gaps (compaction, transactions).

    Args:
        start: The offset that reading begins at.
        note: What the group has committed with it.

    Attributes:
        end: One past the last offset that was read, or `start`.
        is_closed: Whether the partition was revoked or lost.
        is_guarded: Whether what counts is how often a process died with a message under way, and
            not how often it was read.
    """

    __slots__ = ("_failures", "_open", "_past", "end", "is_closed", "is_guarded")

    def __init__(self, start: int, note: str | None = None) -> None:
        self.end = start
        self.is_closed = self.is_guarded = False
        self._past = Past(start, note)
        self._failures: dict[int, int] = {}
        self._open: dict[int, int] = {}  # how often each was read, in the order of reading

    @property
    def position(self) -> int:
        """The offset to commit: everything below it is done."""
        return next(iter(self._open), self.end)

    @property
    def is_complete(self) -> bool:
        """Whether everything that was read is done."""
        return not self._open

    @property
    def note(self) -> str:
        """What to commit with `position`: how often what is open was read."""
        return self.note_ahead(0)

    def note_ahead(self, ahead: int) -> str:
        """Return the note where so many of the next offsets count as read."""
        position, failures = self.position, self._failures
        return write_note(position, self.end, self._open, ahead=ahead, failures=failures)

    def read(self, offset: int) -> int | None:
        """Take in an offset; return how often members that are gone have read it.

        None if it, or one behind it, was read here before.
        """
        if offset < self.end:
            return None
        self.end = offset + 1
        if offset >= self._past.end:  # nobody has read it before
            self._open[offset] = 1
            return 0
        times = self._past.times(offset)
        self._open[offset] = max(1, times) if self.is_guarded else times + 1
        if failures := self._past.failures.get(offset):
            self._failures[offset] = failures
        return times

    def times_before(self, offset: int) -> int:
        """Say how often members that are gone have read an offset."""
        return self._past.times(offset) if offset < self._past.end else 0

    def read_again(self, offset: int) -> None:
        """Take in that an open offset is handed out once more."""
        self._open[offset] += 1

    def begin(self, offset: int) -> None:
        """Count one end more of an offset, before its handler can bring it about."""
        if offset in self._open:
            self._open[offset] += 1

    def failed(self, offset: int, tries: int) -> None:
        """Take in that a handler has failed by itself: it is not what ends processes."""
        if offset in self._open:
            self._open[offset], self._failures[offset] = 1, tries

    def failures_before(self, offset: int) -> int:
        """Say how often its handler had failed with members that are gone."""
        return self._past.failures.get(offset, 0)

    def is_open(self, offset: int) -> bool:
        """Say whether an offset was read and is not done."""
        return offset in self._open

    def settle(self, offset: int) -> None:
        """Take in an offset that is done; one that is not open is ignored."""
        if not self.is_closed:
            self._open.pop(offset, None)
            if self._failures:
                self._failures.pop(offset, None)

    def cut(self, offset: int) -> None:
        """Forget an offset and all above it, as if they had never been read."""
        while self._open and next(reversed(self._open)) >= offset:
            self._open.popitem()
        self.end = min(self.end, offset)

    def close(self) -> None:
        """Ignore what is settled from now on."""
        self.is_closed = True
