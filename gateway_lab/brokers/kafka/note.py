"""What a commit says besides its offset: how often the messages above it were read already.

Kafka itself counts no deliveries, but it keeps a short text with each committed offset. Whoever has
the partition next reads there that a message comes for the third time, also after a crash. Counts
are of what was read up to the last commit, so a crash within its second is not among them, unless
the note speaks of offsets ahead: those count as read before they are.

    gw1:0x2,5x1,9        from the committed offset on: five were read twice, the next four once
    gw1:0x2,5x1,9;3x1    the handler of the fourth has failed once
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

LONGEST: Final = 4_000
"""Characters of a note; a server takes 4,096 bytes unless it is told otherwise."""

LONGEST_FAILURES: Final = 1_000
"""Of them, those that say what has failed."""

_BEGINS: Final = "gw1:"
_NOTE: Final = re.compile(
    r"gw1:((?:\d{1,18}x\d{1,9},)+)(\d{1,18})(?:;((?:\d{1,18}x\d{1,9},)*\d{1,18}x\d{1,9}))?"
)
_MOST: Final = 1_000_000  # a count past that is nobody's


def write_note(
    position: int,
    end: int,
    counts: Mapping[int, int],
    *,
    ahead: int = 0,
    failures: Mapping[int, int] | None = None,
) -> str:
    """Write how often messages were read.

    Args:
        position: The offset that is committed.
        end: One past the last offset that was read.
        counts: How often each open message was read, by ascending offset; what is between them is
            done, and counts with the one before it.
        ahead: How many offsets from `end` on count as read once.
        failures: How often the handlers of open messages have failed, where they have.
    """
    if not counts and not ahead:
        return ""
    failed = _write_failures(position, failures or {})
    runs: list[str] = []
    size, last = len(_BEGINS) + 20 + len(failed), 0
    for offset, count in counts.items():
        if count == last:
            continue
        run = f"{offset - position}x{count},"
        if size + len(run) > LONGEST:
            end, ahead = offset, 0  # what follows counts as never read
            break
        runs.append(run)
        size, last = size + len(run), count
    if ahead and last != 1:
        runs.append(f"{end - position}x1,")
    return f"{_BEGINS}{''.join(runs)}{end + ahead - position}{failed}"


def _write_failures(position: int, failures: Mapping[int, int]) -> str:
    """Write as many as there is room for; others count as never failed."""
    text = ""
    for offset, count in failures.items():
        one = f"{',' if text else ';'}{offset - position}x{count}"
        if len(text) + len(one) > LONGEST_FAILURES:
            break
        text += one
    return text


class Past:
    """What earlier members of the group have read of a partition.

    Args:
        position: The offset that was committed.
        note: What came with it; the text of somebody else says nothing.

    Attributes:
        end: One past the last offset that was read by any.
        failures: Offset to how often its handler has failed.
    """

    __slots__ = ("_counts", "_starts", "end", "failures")

    def __init__(self, position: int, note: str | None) -> None:
        self._starts: list[int] = []
        self._counts: list[int] = []
        self.failures: dict[int, int] = {}
        self.end = position
        if found := _NOTE.fullmatch(note or ""):
            for start, count in _pairs(found[1].rstrip(",")):
                self._starts.append(position + start)
                self._counts.append(min(count, _MOST))
            self.end = position + int(found[2])
            if found[3]:
                self.failures = {position + at: min(n, _MOST) for at, n in _pairs(found[3])}

    def times(self, offset: int) -> int:
        """Say how often a message was read."""
        if offset >= self.end:
            return 0
        run = bisect_right(self._starts, offset) - 1
        return self._counts[run] if run >= 0 else 0


def _pairs(text: str) -> list[tuple[int, int]]:
    return [(int(at), int(count)) for at, count in (pair.split("x") for pair in text.split(","))]
