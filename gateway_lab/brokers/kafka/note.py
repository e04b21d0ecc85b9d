"""What a commit says besides its offset: how often the messages above it were read already.

Kafka itself counts no deliveries, but it keeps a short text with each committed offset. Whoever has
the partition next reads there that a message comes for the third time, also after a crash. Counts
are of what was read up to the last commit, so a crash within its second is not among them.

    gw1:0x2,5x1,9    from the committed offset on: five were read twice, the next four once
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

LONGEST: Final = 4_000
"""Characters of a note; a server takes 4,096 bytes unless it is told otherwise."""

_BEGINS: Final = "gw1:"
_NOTE: Final = re.compile(r"gw1:((?:\d{1,18}x\d{1,9},)+)(\d{1,18})")
_MOST: Final = 1_000_000  # a count past that is nobody's


def write_note(position: int, end: int, counts: Mapping[int, int]) -> str:
    """Write how often messages were read.

    Args:
        position: The offset that is committed.
        end: One past the last offset that was read.
        counts: How often each open message was read, by ascending offset; what is between them is
            done, and counts with the one before it.
    """
    if not counts:
        return ""
    runs: list[str] = []
    size, last = len(_BEGINS) + 20, 0
    for offset, count in counts.items():
        if count == last:
            continue
        run = f"{offset - position}x{count},"
        if size + len(run) > LONGEST:
            end = offset  # what follows counts as never read
            break
        runs.append(run)
        size, last = size + len(run), count
    return f"{_BEGINS}{''.join(runs)}{end - position}"


class Past:
    """What earlier members of the group have read of a partition.

    Args:
        position: The offset that was committed.
        note: What came with it; the text of somebody else says nothing.

    Attributes:
        end: One past the last offset that was read by any.
    """

    __slots__ = ("_counts", "_starts", "end")

    def __init__(self, position: int, note: str | None) -> None:
        self._starts: list[int] = []
        self._counts: list[int] = []
        self.end = position
        if found := _NOTE.fullmatch(note or ""):
            for run in found[1].rstrip(",").split(","):
                start, count = run.split("x")
                self._starts.append(position + int(start))
                self._counts.append(min(int(count), _MOST))
            self.end = position + int(found[2])

    def times(self, offset: int) -> int:
        """Say how often a message was read."""
        if offset >= self.end:
            return 0
        run = bisect_right(self._starts, offset) - 1
        return self._counts[run] if run >= 0 else 0
