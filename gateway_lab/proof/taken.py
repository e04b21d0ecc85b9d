"""What the routes so far take: it grows route by route and says what of a box is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from gateway_lab.proof.boxes import (
    MOST_BOXES,
    Box,
    Budget,
    TooComplexError,
    is_within,
    meets,
    subtract,
)
from gateway_lab.proof.domain import Cover, Domain, each
from gateway_lab.proof.space import Space

_MOST_SPARED = 32
_MOST_POINTS = 16
"""A box is found by the values of a variable that allows it no more than these."""


class Part(NamedTuple):
    """A box of a route; parts sort in the order in which they were taken."""

    order: int
    route: int
    box: Box


@dataclass(slots=True)
class _Index:
    """Boxes, found by the few values that they allow one of their variables."""

    by_value: dict[int, dict[Any, list[Part]]] = field(default_factory=dict)
    others: list[Part] = field(default_factory=list)

    def add(self, part: Part) -> None:
        """Put a box where `near` finds it."""
        for variable, domain in part.box.items():
            if (points := _points(domain)) is not None:
                slot = self.by_value.setdefault(variable, {})
                for point in points:
                    slot.setdefault(point, []).append(part)
                return
        self.others.append(part)

    def near(self, box: Box, space: Space) -> Iterator[Part]:
        """Yield all that may meet a box, and some that do not; maybe twice."""
        yield from self.others
        for variable, slot in self.by_value.items():
            points = _points(box.get(variable, space.bases[variable]))
            found = slot.values() if points is None else (slot.get(p, []) for p in points)
            yield from chain.from_iterable(found)


def _points(domain: Domain) -> list[Any] | None:
    points = each(domain.cuts, _MOST_POINTS)
    return points + [None] * domain.null if points is not None else None


class Taken:
    """The messages that some routes take, as boxes.

    Boxes that bind one variable only are united per variable: what they leave of a box is one
    box again, however many they are. Only the others can cut it into pieces.
    """

    def __init__(self, space: Space, budget: Budget) -> None:
        self._space, self._budget = space, budget
        self._count = 0
        self._everything: list[int] = []
        self._covers: dict[int, Cover] = {}
        self._nulls: set[int] = set()
        self._spent: dict[int, Domain] = {}
        self._single, self._multiple = _Index(), _Index()

    def add(self, route: int, box: Box) -> None:
        """Take the messages of a box away."""
        self._count += 1
        if not box:
            self._everything.append(route)
        elif len(box) > 1:
            self._multiple.add(Part(self._count, route, box))
        else:
            self._cover(*next(iter(box.items())))
            self._single.add(Part(self._count, route, box))

    def _cover(self, variable: int, domain: Domain) -> None:
        cover, base = self._covers.setdefault(variable, Cover()), self._space.bases[variable]
        cover.add(domain.cuts)
        self._nulls |= {variable} if domain.null else set()
        if cover.has_all(base.cuts):
            self._spent[variable] = Domain((), base.null and variable not in self._nulls)

    def left(self, box: Box) -> list[Box]:
        """Return what of a box no route so far takes; not narrowed to it where `narrow` will do.

        Raises:
            TooComplexError: It falls into too many pieces.
        """
        if self._everything or not all(self._spent.values()):
            return []
        rest = self.narrow(box, {**box, **self._spent})
        if rest is None or not self._space.is_possible(rest):
            return []
        pieces, _ = self._minus(rest, self._near(rest, self._multiple))
        return [piece for piece in pieces if self.narrow(piece, piece) is not None]

    def narrow(self, box: Box, variables: Iterable[int] | None = None) -> Box | None:
        """Take from a box what single variables decide; None where nothing is left."""
        rest = dict(box)
        for variable in self._covers.keys() if variables is None else variables:
            if (cover := self._covers.get(variable)) is not None:
                before = box.get(variable, self._space.bases[variable])
                null = before.null and variable not in self._nulls
                rest[variable] = Domain(cover.rest(before.cuts), null)
                if not rest[variable]:
                    return None
        return rest

    def takers(self, box: Box) -> tuple[int, ...]:
        """Name the routes that take a box of which nothing is left: none that could be spared."""
        near = sorted(self._near(box, self._single) + self._near(box, self._multiple))
        alone = [part.route for part in near if is_within(box, part.box)]
        if alone or self._everything:
            return (min(alone + self._everything),)
        near = [part for part in near if meets(box, part.box)]
        with suppress(TooComplexError):
            near = self._without_spare(box, near)
        return tuple(dict.fromkeys(part.route for part in near))

    def _without_spare(self, box: Box, near: list[Part]) -> list[Part]:
        """Leave out routes, the first ones first, as long as nothing of the box is left."""
        needed = set(self._minus(box, near)[1])
        for route in sorted(needed)[:_MOST_SPARED]:
            rest = [part for part in near if part.route in needed - {route}]
            if not self._minus(box, rest)[0]:
                needed.remove(route)
        return [part for part in near if part.route in needed]

    def _near(self, box: Box, index: _Index) -> list[Part]:
        found = {part.order: part for part in index.near(box, self._space)}
        self._budget.spend(len(found))
        return list(found.values())

    def _minus(self, box: Box, parts: Iterable[Part]) -> tuple[list[Box], tuple[int, ...]]:
        """Take parts from a box, one after the other; say also which routes took something."""
        pieces, takers = [box], dict[int, None]()
        for part in parts:
            self._budget.spend(len(pieces))
            hit = [piece for piece in pieces if meets(piece, part.box)]
            if not hit:
                continue
            takers[part.route] = None
            pieces = [piece for piece in pieces if not meets(piece, part.box)]
            for piece in hit:
                rests = subtract(piece, part.box, self._space.bases)
                pieces += [rest for rest in rests if self._space.is_possible(rest)]
            if len(pieces) > MOST_BOXES:
                raise TooComplexError
        return pieces, tuple(takers)
