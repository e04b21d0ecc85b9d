"""The routes of one router for the messages of one event type."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal

from gateway_lab.events.event_type import EventType
from gateway_lab.proof.boxes import Box, Budget, TooComplexError
from gateway_lab.proof.claims import Choice, RuleRoute
from gateway_lab.proof.normal import null_boxes, restrict, true_boxes
from gateway_lab.proof.space import Space
from gateway_lab.proof.taken import Taken
from gateway_lab.proof.witness import Answer, Witness, Witnesses
from gateway_lab.rules.tree import references

_STEPS = 2_000_000
"""The work for one router and event type, in comparisons of two boxes: some seconds; and again
for its witnesses, in conditions decided."""
_MOST_BOXES_TRIED = 8


@dataclass(slots=True)
class Verdict:
    """What was found of one route.

    Attributes:
        takers: Of a shadowed route: the indexes of the routes that take its messages.
        witness: Of a shadowed route: a message that another one takes.
        undecided: A message that reaches the condition and for which it is NULL.
    """

    says: Literal["open", "unreachable", "shadowed", "unknown"] = "unknown"
    takers: tuple[int, ...] = ()
    witness: Witness | None = None
    undecided: Witness | None = None


class Study:
    """One pass over the routes, in order.

    Attributes:
        space: What the messages may be.
        verdicts: Of each route that is for this event type, by its index.
        unmatched: A message that no route takes, None where none was found.
        is_exhaustive: Whether it was proven that there is no such message.
    """

    def __init__(
        self,
        routes: Sequence[RuleRoute],
        match: Literal["first", "all"],
        event_type: EventType | None,
        *,
        choice: Choice | None,
        known: Mapping[str, Collection[str]],
    ) -> None:
        self._match = match
        self._guard = choice.guard(event_type) if choice and event_type else None
        applicable = [at for at, route in enumerate(routes) if route.is_for(event_type)]
        self._conditions = [routes[at].condition for at in applicable]
        self.space = Space(event_type, references(*self._conditions, self._guard), known)
        if self._guard is not None:
            restrict(self.space, self._guard)
        self._budget = Budget(_STEPS)
        self._taken = Taken(self.space, self._budget)
        verdicts = [self._study(number) for number in range(len(applicable))]
        self.verdicts = dict(zip(applicable, verdicts, strict=True))
        for verdict in verdicts:
            verdict.takers = tuple(applicable[number] for number in verdict.takers)
        self.unmatched, self.is_exhaustive = self._look_for_unmatched()

    @cached_property
    def _witnesses(self) -> Witnesses:
        """Compiled when first needed."""
        return Witnesses(self.space, self._conditions, self._guard, Budget(_STEPS))

    def _study(self, number: int) -> Verdict:
        """Look at one route behind those before it, then count what it takes as taken."""
        verdict = Verdict()
        boxes: list[Box] = []
        with suppress(TooComplexError):
            boxes = true_boxes(self._conditions[number], self.space, self._budget)
            self._judge(number, boxes, verdict)
            self._look_for_undecided(number, verdict)
        for box in boxes:
            self._taken.add(number, box)
        return verdict

    def _judge(self, number: int, boxes: Sequence[Box], verdict: Verdict) -> None:
        if not boxes:
            verdict.says = "unreachable"
        elif self._match == "all" or any(self._taken.left(box) for box in boxes):
            verdict.says = "open"
        else:
            verdict.takers = tuple({taker for box in boxes for taker in self._taken.takers(box)})
            verdict.says = "shadowed"
            verdict.witness = self._search(
                boxes, lambda answer: number in answer.true and min(answer.true) < number
            )

    def _look_for_undecided(self, number: int, verdict: Verdict) -> None:
        def reaches(answer: Answer) -> bool:
            is_taken = self._match == "first" and min(answer.true, default=number) < number
            return number in answer.null and not is_taken

        for box in null_boxes(self._conditions[number], self.space, self._budget):
            left = self._taken.left(box) if self._match == "first" else [box]
            if (witness := self._search(left, reaches)) is not None:
                verdict.undecided = witness
                return

    def _look_for_unmatched(self) -> tuple[Witness | None, bool]:
        try:
            left = self._taken.left({})
        except TooComplexError:
            left = [{}]
        self._witnesses.budget = Budget(_STEPS)  # this one question is always worth it
        return self._search(left, lambda answer: not answer.true), not left

    def _search(self, boxes: Iterable[Box], fits: Callable[[Answer], bool]) -> Witness | None:
        """Return the first message of some boxes of which the engine says what it should."""
        with suppress(TooComplexError):
            for answer in self._answers(boxes):
                if fits(answer):
                    return answer.witness
        return None

    def _answers(self, boxes: Iterable[Box]) -> Iterator[Answer]:
        for box in islice(boxes, _MOST_BOXES_TRIED):
            yield from self._witnesses.of(box)
            if narrowed := self._taken.narrow(box):
                yield from self._witnesses.of(narrowed)
