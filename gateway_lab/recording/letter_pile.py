"""Letters sorted: which enter again, which stay and why, and how many there are of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Final, NamedTuple

import msgspec

from gateway_lab.brokers.contract import Batch, Source
from gateway_lab.brokers.wrapped import WrappedSource
from gateway_lab.gateway.letter import Letter, Reopened, read_letter, reopen
from gateway_lab.messages.message import Message
from gateway_lab.recording.letter_filter import Where
from gateway_lab.recording.reentry import Aside, Reentry

MAX_KINDS: Final = 1_000
"""Kinds of letters that are told apart; the reasons of more are not told."""

NO_LETTER: Final = "it is not a dead letter"
NOT_WANTED: Final = "--where leaves it"
BEHIND: Final = "it stands behind a letter that stays"
CAME_BACK: Final = "it failed since this run began: it waits for the next"


class Kind(NamedTuple):
    """What letters of one kind have in common."""

    source: str
    of_class: str
    router: str | None
    route: str | None
    target: str
    reason: str


@dataclass(slots=True)
class Pile:
    """The letters of one kind.

    Attributes:
        example: The first of them, as it was before it failed.
    """

    first: datetime
    last: datetime
    example: Reopened = field(repr=False)
    letters: int = 0

    def add(self, letter: Letter) -> None:
        """Count one more."""
        self.letters += 1
        self.first, self.last = min(self.first, letter.first), max(self.last, letter.last)


@dataclass(slots=True)
class Piles:
    """What was found in the channels.

    Attributes:
        wanted: Letters that enter again.
        staying: Reason to the number of messages that stay for it.
        may_be_more: Whether a broker hands out no more while what stays is not settled.
    """

    wanted: dict[Kind, Pile] = field(default_factory=dict)
    staying: Counter[str] = field(default_factory=Counter)
    may_be_more: bool = False

    @property
    def letters(self) -> int:
        """How many letters enter again."""
        return sum(each.letters for each in self.wanted.values())

    def add(self, message: Reopened) -> None:
        """Count a letter that enters again."""
        letter = message.letter
        kind = Kind(
            letter.source,
            letter.of_class,
            letter.router,
            letter.route,
            letter.target,
            letter.reason,
        )
        if kind not in self.wanted and len(self.wanted) >= MAX_KINDS:
            kind = Kind("…", "…", None, None, "…", "of more kinds than are told apart")
        if kind not in self.wanted:
            self.wanted[kind] = Pile(letter.first, letter.last, message)
        self.wanted[kind].add(letter)


@dataclass(slots=True)
class Sorter:
    """Sorts what was read from one channel.

    Attributes:
        run: Names this run: what it wrote itself is not sent again.
        is_log: Whether the broker only knows how far a reader has come in a partition: then
            nothing behind a letter that stays may be settled.
        moves_aside: Whether letters that stay are moved to a channel of their own.
        is_dry: Whether everything stays.
        hands_out: How many messages the broker hands out that are not settled; None: any number.
        begun: When the run began, if messages go back to their source: what fails there again
            has a letter of the gateway, and would be sent back for ever.
    """

    reentry: Reentry
    where: Where | None
    protocols: Mapping[str, str]
    piles: Piles
    run: str
    is_log: bool
    moves_aside: bool
    is_dry: bool
    hands_out: int | None
    begun: datetime | None = None
    _held: int = 0
    _ended: set[tuple[str, str | None]] = field(default_factory=set)

    def __call__(self, raw: Message) -> Message | None:
        """Return what goes to the pump; None: it stays where it is."""
        message = self._sort(raw)
        self._held += message is None or self.is_dry
        if self.hands_out and self._held >= self.hands_out:
            self.piles.may_be_more = True
        return message

    def _sort(self, raw: Message) -> Message | None:
        letter, place = read_letter(raw), (raw.channel, raw.partition)
        if letter and letter.run == self.run:  # it failed again; counted there
            self._end(place)
            return None
        if letter and self.begun and letter.last >= self.begun:
            self.piles.staying[CAME_BACK] += 1
            self._end(place)
            return None
        if place in self._ended:
            self.piles.staying[BEHIND] += 1
            return None
        message = reopen(letter, self.protocols) if letter else None
        if message is None:
            return self._stay(raw, NO_LETTER, place)
        if why := self._refuse(message):
            return self._stay(raw, why, place)
        self.piles.add(message)
        return message

    def _refuse(self, message: Reopened) -> str | None:
        if self.where and not self.where(message):
            return NOT_WANTED
        return self.reentry.refuse(message.letter, message)

    def _stay(self, raw: Message, why: str, place: tuple[str, str | None]) -> Message | None:
        self.piles.staying[why] += 1
        if self.moves_aside and not self.is_dry:
            return Aside(**msgspec.structs.asdict(raw))
        self._end(place)
        return None

    def _end(self, place: tuple[str, str | None]) -> None:
        if self.is_log and not self.is_dry:
            self._ended.add(place)


class LetterSource(WrappedSource):
    """Gives letters as the messages that they were; what stays is read and never settled.

    Attributes:
        heard: When something was read last, in seconds of the monotonic clock.
    """

    def __init__(self, source: Source, sort: Callable[[Message], Message | None]) -> None:
        super().__init__(source)
        self._sort = sort
        self.heard = monotonic()

    async def read(self, limit: int) -> Batch:
        """Wait for letters that enter again; see `contract.Source.read`."""
        while True:
            batch = await super().read(limit)
            self.heard = monotonic()
            if sorted_ := self._sorted(batch):
                return sorted_

    def _sorted(self, batch: Batch) -> Batch | None:
        found = [
            (message, handle, attempts)
            for raw, handle, attempts in zip(
                batch.messages, batch.handles, batch.attempts, strict=True
            )
            if (message := self._sort(raw)) is not None
        ]
        if not found:
            return None
        messages, handles, attempts = zip(*found, strict=True)
        return Batch(messages, handles, attempts)
