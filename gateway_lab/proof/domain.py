r"""What one value of a message may be: exact sets of values, and whether it may be NULL.

A set of values is a sorted tuple of *cuts*: the values from the first cut on are in it, from the
second cut on out of it, and so on; with an odd number of cuts it goes on to the end of the order.
Since each of our orders has a next value (`a` is followed by `a\0`, 1.0 by the next float), cuts
say closed and open bounds, single values, prefixes and "all but these" alike, and union,
intersection and difference are exact.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from gateway_lab.events.event_type import Kind

Cuts: TypeAlias = tuple[Any, ...]

_INT64 = (-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Domain:
    """The values that something may have.

    Attributes:
        cuts: The values other than NULL, see above. Booleans are 0 and 1.
        null: Whether it may be NULL.
    """

    cuts: Cuts
    null: bool

    def __bool__(self) -> bool:
        """Say whether anything is in it."""
        return self.null or bool(self.cuts)

    def __and__(self, other: Domain) -> Domain:
        if self is other:
            return self
        return Domain(intersection(self.cuts, other.cuts), self.null and other.null)

    def __or__(self, other: Domain) -> Domain:
        return Domain(union(self.cuts, other.cuts), self.null or other.null)

    def __sub__(self, other: Domain) -> Domain:
        return Domain(difference(self.cuts, other.cuts), self.null and not other.null)

    def meets(self, other: Domain) -> bool:
        """Say whether the two have anything in common."""
        return (self.null and other.null) or bool(intersection(self.cuts, other.cuts))

    def is_within(self, other: Domain) -> bool:
        """Say whether all of it is in the other."""
        return (other.null or not self.null) and not difference(self.cuts, other.cuts)

    def without_null(self) -> Domain:
        """Return the same values without NULL."""
        return replace(self, null=False) if self.null else self

    def __contains__(self, value: object) -> bool:
        return self.null if value is None else bool(bisect_right(self.cuts, value) & 1)


ONLY_NULL = Domain((), null=True)


def everything(kind: Kind) -> Domain:
    """Return all values of a kind and NULL; lists and objects count as one value, "present"."""
    return Domain(_WHOLE[kind], null=True)


_WHOLE: dict[Kind, Cuts] = {
    Kind.TEXT: ("",),
    Kind.BOOLEAN: (0, 2),
    Kind.INTEGER: _INT64,
    Kind.TIMESTAMP: _INT64,
    Kind.NUMBER: (-sys.float_info.max, math.inf),
    Kind.LIST: (0, 1),
    Kind.OBJECT: (0, 1),
}


def following(value: Any) -> Any:
    """Return the next value in the order of its kind."""
    if isinstance(value, str):
        return value + "\0"
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    return value + 1


def between(low: Any, high: Any) -> Cuts:
    """Return the values from `low` up to, without, `high`; None is no upper bound."""
    if high is None:
        return (low,)
    return (low, high) if low < high else ()


def values(them: Iterable[Any]) -> Cuts:
    """Return the set of some values."""
    cuts: list[Any] = []
    for value in sorted(set(them)):
        if cuts and cuts[-1] == value:
            cuts.pop()
        else:
            cuts.append(value)
        cuts.append(following(value))
    return tuple(cuts)


def with_prefix(prefix: str) -> Cuts:
    """Return the texts that begin so."""
    for at in range(len(prefix) - 1, -1, -1):
        after = ord(prefix[at]) + 1
        if after <= sys.maxunicode:
            behind_surrogates = 0xE000 if after == 0xD800 else after
            return (prefix, prefix[:at] + chr(behind_surrogates))
    return (prefix,)


def each(cuts: Cuts, limit: int) -> list[Any] | None:
    """List the values of a small set; None where there are more than `limit`."""
    found: list[Any] = []
    for low, high in intervals(cuts):
        value = low
        while high is None or value < high:
            if high is None or len(found) == limit:
                return None
            found.append(value)
            value = following(value)
    return found


def intervals(cuts: Cuts) -> Iterator[tuple[Any, Any]]:
    """Yield (first value, first value behind or None) of each unbroken run."""
    ends = (*cuts, None) if len(cuts) & 1 else cuts
    yield from zip(ends[::2], ends[1::2], strict=True)


def intersection(a: Cuts, b: Cuts) -> Cuts:
    """Return what is in both."""
    if len(a) <= 2:
        a, b = b, a
    if len(b) <= 2:
        return _clip(a, *b) if b else ()
    return _sweep(a, b)


def difference(a: Cuts, b: Cuts) -> Cuts:
    """Return what is in the first and not in the second."""
    if not a or not b:
        return a
    if len(a) <= 2:
        return _within(a, _clip(b, *a))
    return intersection(a, complement(b, a[0]))


def complement(cuts: Cuts, lowest: Any) -> Cuts:
    """Return what is not in the set, from `lowest` (not above the first cut) on."""
    if cuts and cuts[0] <= lowest:
        at = bisect_right(cuts, lowest)
        return cuts[at:] if at & 1 else (lowest, *cuts[at:])
    return (lowest, *cuts)


def union(a: Cuts, b: Cuts) -> Cuts:
    """Return what is in either."""
    cover = Cover(a)
    cover.add(b)
    return tuple(cover.cuts)


class Cover:
    """A set that grows in place: thousands of values one by one without copies."""

    def __init__(self, cuts: Cuts = ()) -> None:
        self.cuts = list(cuts)

    def add(self, cuts: Cuts) -> None:
        """Add the values of a set."""
        for low, high in intervals(cuts):
            self._add(low, high)

    def _add(self, low: Any, high: Any) -> None:
        cuts = self.cuts
        begin = bisect_left(cuts, low)
        end = len(cuts) if high is None else bisect_right(cuts, high)
        new = [] if begin & 1 else [low]
        if high is not None and not end & 1:
            new.append(high)
        cuts[begin:end] = new

    def has_all(self, cuts: Cuts) -> bool:
        """Say whether nothing of a set is left uncovered."""
        for low, high in intervals(cuts):
            at = bisect_right(self.cuts, low)
            if not at & 1 or (at < len(self.cuts) and (high is None or self.cuts[at] < high)):
                return False
        return True

    def rest(self, cuts: Cuts) -> Cuts:
        """Return what of a set is not covered."""
        if len(cuts) > 2:
            return difference(cuts, tuple(self.cuts))
        return _within(cuts, _clip(self.cuts, *cuts)) if cuts else ()


def _clip(cuts: list[Any] | Cuts, low: Any, high: Any = None) -> Cuts:
    """Return the part of a set between two bounds."""
    begin = bisect_right(cuts, low)
    end = len(cuts) if high is None else bisect_left(cuts, high)
    head = (low,) if begin & 1 else ()
    tail = (high,) if end & 1 and high is not None else ()
    return (*head, *cuts[begin:end], *tail)


def _within(interval: Cuts, inner: Cuts) -> Cuts:
    """Return what of an interval is not in a part of it."""
    low, *high = interval
    cuts = inner[1:] if inner and inner[0] == low else (low, *inner)
    if not high:
        return cuts
    return cuts[:-1] if cuts and cuts[-1] == high[0] else (*cuts, *high)


def _sweep(a: Cuts, b: Cuts) -> Cuts:
    found: list[Any] = []
    for low, high in intervals(a):
        found.extend(_clip(b, low, high))
    return tuple(found)
