"""What handlers made of the messages of a capture: what a view of it needs to know.

The bodies that came out stand in the place of those that went in, row by row, in files of a
temporary folder: so all that looks at a capture looks at them in the same way, and a handler runs
once on a message, whatever is asked afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Final, Literal, TypeAlias
from weakref import finalize

import polars as pl

from gateway_lab.captures.format import COLUMNS
from gateway_lab.config.plan import Plan
from gateway_lab.messages.books import Outcome
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.parts import Part
from gateway_lab.routing.rehearsal import CanRehearse
from gateway_lab.routing.routed import DEAD_LETTER, DROP


class Fate(StrEnum):
    """What became of a message in its handler; without one, in the middlewares."""

    RETURNED = "returned"
    PASSED = "passed"
    ENDED = "ended"
    DEAD_LETTERED = "dead_lettered"
    INVALID = "invalid"
    STOPPED = "stopped"


END_OF: Final[Mapping[Fate, tuple[str, Outcome]]] = {
    Fate.ENDED: (DROP, Outcome.DROPPED),
    Fate.DEAD_LETTERED: (DEAD_LETTER, Outcome.DEAD_LETTERED),
}
"""What stands as the target of a message that came to no router, and its outcome."""

FATES: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "fate": pl.Categorical(),
    "reason": pl.String(),
    "tries": pl.UInt32(),
    "bytes": pl.UInt32(),
}
"""A row a message, ascending: `row` of the part, `bytes` of the body that went in."""

SENDS: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    **{name: pl.String() for name in ("route", "target", "broker", "channel")},
    **{name: COLUMNS[name] for name in ("key", "headers", "body")},
}
"""What handlers sent by themselves, in the order in which they did."""

WRITTEN: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    **{name: pl.String() for name in ("router", "route", "target")},
    **{name: COLUMNS[name] for name in ("headers", "body")},
}
"""What is delivered where middlewares may have changed it."""


@dataclass(frozen=True, slots=True)
class HandledPart:
    """What became of the messages of one source in one part.

    Attributes:
        source: Its name.
        part: The rows of the part, with the bodies that came out; null where none did.
        fates: Columns `FATES`.
        sends: Columns `SENDS`.
        written: Columns `WRITTEN`; None: no middleware changes what is delivered.
    """

    source: str
    part: Part
    fates: pl.DataFrame
    sends: pl.DataFrame
    written: pl.DataFrame | None

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return sum(int(each.estimated_size()) for each in (self.fates, self.sends))

    @property
    def rows(self) -> pl.Series:
        """The rows of the part that came to the routers."""
        return self.of(Fate.RETURNED, Fate.PASSED)["row"]

    @property
    def ends(self) -> pl.DataFrame:
        """The messages that were dropped or are dead letters: `row, fate, reason, bytes`."""
        ended = self.of(Fate.ENDED, Fate.DEAD_LETTERED)
        return ended.drop_nulls("reason").drop("tries")

    @property
    def invalid(self) -> pl.DataFrame:
        """The messages that are invalid: `row, reason, bytes`."""
        return self.of(Fate.INVALID).select("row", "reason", "bytes")

    def of(self, *fates: Fate) -> pl.DataFrame:
        """The messages that met one of these fates."""
        return self.fates.filter(pl.col("fate").cast(pl.String).is_in(list(fates)))

    def count(self, *fates: Fate) -> int:
        """Count them."""
        return self.of(*fates).height

    def within(self, inside: pl.Series) -> HandledPart:
        """Narrow it down to some rows of the part."""
        fates, sends = (
            frame.filter(inside.gather(frame["row"])) for frame in (self.fates, self.sends)
        )
        return replace(self, fates=fates, sends=sends)


class Folder:
    """A temporary folder, gone with the last that holds it."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="gateway-lab-handled-"))
        finalize(self, rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The files of one source in one part."""

    folder: Folder
    bodies: list[Path] = field(default_factory=list)
    fates: list[Path] = field(default_factory=list)
    sends: list[Path] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class HandledCapture:
    """What handlers made of a capture; it is on disk for as long as somebody holds it.

    It can be passed on in the place of the gateway: handlers run again only on sources for which
    another config would have them do something else.

    Attributes:
        handlers: What ran.
        plan: The config that it was handled by.
        sources: Those that were handled.
        publishes: Whether middlewares may have changed what is delivered.
        stopped: Sources that would stop, with the reason.
        pieces: The files, by the key of a part and source.
        sent: The targets that the handlers of each source sent to.
        bound: Which places a source read, by the key of a part and source.
    """

    handlers: CanRehearse
    plan: Plan
    sources: frozenset[str]
    publishes: bool
    stopped: dict[str, str] = field(default_factory=dict)
    pieces: dict[tuple[Hashable, str], Pieces] = field(default_factory=dict)
    sent: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    bound: dict[tuple[Hashable, str], list[int]] = field(default_factory=dict)
    folder: Folder = field(default_factory=Folder)

    def fits(self, plan: Plan, source: str, *, is_rendered: bool) -> bool:
        """Say whether a handler would have done the same by another config.

        Args:
            plan: The other config.
            source: Whose handler.
            is_rendered: Whether what middlewares make of deliveries is asked for, too.
        """
        if is_rendered and self.publishes and self.plan.digest != plan.digest:
            return False
        one, other = self.plan.sources.get(source), plan.sources.get(source)
        if one is None or other is None or source not in self.sources:
            return False
        judged = ("event_types", "by", "choices", "otherwise", "handled")
        if any(getattr(one, name) != getattr(other, name) for name in judged):
            return False
        if one.retry.attempts != other.retry.attempts:
            return False
        places = ((source, target) for target in self.sent[source])
        return all(self.plan.targets.get(each) == plan.targets.get(each) for each in places)

    def begin(self, part: Part, source: str, bound: list[int]) -> Pieces:
        """Begin to note what becomes of the messages of a source in a part."""
        pieces = self.pieces[part.key, source] = Pieces(folder=self.folder)
        self.bound[part.key, source] = bound
        return pieces

    def take(self, known: HandledCapture, part: Part, source: str) -> None:
        """Take over what is known of a source in a part."""
        key = (part.key, source)
        self.pieces[key], self.bound[key] = known.pieces[key], known.bound[key]
        self.sent[source] = known.sent[source]
        if source in known.stopped:
            self.stopped[source] = known.stopped[source]

    def of(self, part: Part, source: str) -> HandledPart:
        """Return what became of the messages of a source in a part."""
        pieces = self.pieces[part.key, source]
        key = (str(pieces.folder.path), source, part.key)
        return CACHE.get(("handled", *key), lambda: self._read(part, source, pieces, key))

    def _read(
        self, part: Part, source: str, pieces: Pieces, key: tuple[Hashable, ...]
    ) -> HandledPart:
        came_out = replace(part, key=key, came=part)
        if pieces.bodies:
            came_out = replace(came_out, scan=pl.scan_parquet(pieces.bodies), offset=0)
        written = _frame(pieces.written, WRITTEN) if self.publishes else None
        fates, sends = _frame(pieces.fates, FATES), _frame(pieces.sends, SENDS)
        return HandledPart(source, came_out, fates, sends, written)


Handled: TypeAlias = HandledCapture | Literal["already"] | None
"""What is known of handlers: what they made of a capture; that the capture holds what they returned
already; or nothing, so that their sources are not replayed."""


def _frame(paths: list[Path], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    read = [pl.read_parquet(path) for path in paths]
    return pl.concat([pl.DataFrame(schema=dict(schema)), *read])
