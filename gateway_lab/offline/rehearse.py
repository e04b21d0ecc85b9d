"""Runs handlers over a capture, once: message after message, in the order of the capture.

Order is what makes it the same each time: handlers that know what came before, such as those of
two sources that share a store, see the messages as they were recorded. Live, keys run beside each
other.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, TypeAlias

import msgspec
import polars as pl

from gateway_lab.captures.format import COLUMNS
from gateway_lab.captures.rows import headers_column, message_of
from gateway_lab.config.plan import Plan
from gateway_lab.errors import CaptureError
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message
from gateway_lab.offline.handled import FATES, SENDS, WRITTEN, Fate, HandledCapture, Pieces
from gateway_lab.offline.parts import Part
from gateway_lab.offline.places import Places, places_of
from gateway_lab.offline.progress import watched
from gateway_lab.routing.rehearsal import GivenHandlers, Rehearsal, Rehearsed, handlers_of
from gateway_lab.routing.routed import Delivery, Routed

STEP_ROWS: Final = 250
"""Messages between two looks at how far it is."""

Bind: TypeAlias = Callable[[Places], Mapping[str, list[int]]]
"""Gives each source the numbers of the places that it reads."""


def rehearse(
    plan: Plan,
    parts: Sequence[Part],
    given: GivenHandlers,
    bind: Bind,
    *,
    is_rendered: bool = True,
) -> HandledCapture:
    """Run handlers over the parts of a capture.

    Args:
        plan: The config.
        parts: Of the capture.
        given: What is registered, or a `HandledCapture`: what that made of the same parts by
            another config. It does not run again on sources for which it would do the same now.
        bind: Says what each source reads.
        is_rendered: Whether what middlewares make of deliveries will be asked for.

    Raises:
        ConfigError: A function is registered for a source that declares no handler.
        CaptureError: There is no room for what they return.
    """
    handlers, known = handlers_of(given), given if isinstance(given, HandledCapture) else None
    with handlers.rehearse(plan) as rehearsal:
        handled = HandledCapture(handlers, plan, rehearsal.sources, rehearsal.publishes)
        running = handled.sources
        if known:
            fitting = {each for each in running if known.fits(plan, each, is_rendered=is_rendered)}
            bound = {part.key: (part, bind(places_of(part))) for part in parts}
            running -= _take(handled, known, fitting, bound)
        if running:
            sizes = [rows for part in parts for chunk in part.chunks() for rows in _steps(chunk)]
            works = (
                _Work(handled, rehearsal, running, part, bind(places_of(part))) for part in parts
            )
            steps = chain.from_iterable(work.steps() for work in works)
            deque(watched(steps, sizes, "handlers", is_slow=True), maxlen=0)
    return handled


def _take(
    handled: HandledCapture,
    known: HandledCapture,
    fitting: set[str],
    bound: Mapping[tuple[Hashable, ...], tuple[Part, Mapping[str, list[int]]]],
) -> set[str]:
    """Take over the sources that read what they read before, and name them."""
    taken = fitting
    for key, (_, places) in bound.items():
        taken = {name for name in taken if known.bound.get((key, name)) == places[name]}
    for part, _ in bound.values():
        for source in taken:
            handled.take(known, part, source)
    return taken


def _steps(chunk: Part) -> Iterator[int]:
    for start in range(0, chunk.rows, STEP_ROWS):
        yield min(STEP_ROWS, chunk.rows - start)


class _Work:
    """One part on its way through the handlers."""

    def __init__(
        self,
        handled: HandledCapture,
        rehearsal: Rehearsal,
        running: frozenset[str],
        part: Part,
        bound: Mapping[str, list[int]],
    ) -> None:
        self._handled, self._rehearsal, self._part = handled, rehearsal, part
        places = places_of(part)
        self._readers = [
            tuple(name for name, at in bound.items() if number in at and name in running)
            for number in range(len(places.names))
        ]
        self._index = places.index
        begun = {name: handled.begin(part, name, bound[name]) for name in running}
        self._pieces = {name: pieces for name, pieces in begun.items() if bound[name]}

    def steps(self) -> Iterator[None]:
        """Handle all messages, some at each step."""
        for chunk in self._part.chunks():
            frame = chunk.read(*COLUMNS)
            begin = chunk.offset - self._part.offset
            notes: dict[str, _Notes] = defaultdict(_Notes)
            for start in range(0, chunk.rows, STEP_ROWS):
                self._step(frame.slice(start, STEP_ROWS), begin + start, notes)
                yield
            for source, pieces in self._pieces.items():
                self._keep(source, pieces, notes[source], (frame, begin))

    def _step(self, frame: pl.DataFrame, begin: int, notes: dict[str, _Notes]) -> None:
        places = self._index.slice(begin, frame.height).to_list()
        jobs = [
            (begin + at, source, message_of(row))
            for at, (row, place) in enumerate(zip(frame.iter_rows(named=True), places, strict=True))
            for source in self._readers[place]
        ]
        done = self._rehearsal.handle([(source, message) for _, source, message in jobs])
        for (row, source, message), each in zip(jobs, done, strict=True):
            notes[source].note(row, message, each, publishes=self._rehearsal.publishes)
            if each.is_stopped:
                self._handled.stopped.setdefault(source, each.reason)

    def _keep(
        self, source: str, pieces: Pieces, noted: _Notes, came: tuple[pl.DataFrame, int]
    ) -> None:
        _write(noted.bodies_of(*came), pieces.bodies, pieces.folder.path)
        for kind, (rows, schema) in noted.kinds().items():
            if rows:
                _write(_frame(rows, schema), getattr(pieces, kind), pieces.folder.path)
        self._handled.sent[source] |= {target for _, _, target, *_ in noted.sends}


def _write(rows: pl.DataFrame, files: list[Path], folder: Path) -> None:
    path = folder / f"{token_hex(8)}.parquet"
    try:
        rows.write_parquet(path, compression="lz4")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CaptureError(
            f"there is no room for what handlers return: {type(error).__name__}",
            where=str(folder),
            hint="free some space, or let TMPDIR name a folder with more",
        ) from error
    files.append(path)


@dataclass(slots=True)
class _Notes:
    """What became of the messages of one source in one run of rows."""

    fates: list[tuple[Any, ...]] = field(default_factory=list)
    bodies: list[tuple[int, bytes | None]] = field(default_factory=list)
    sends: list[tuple[Any, ...]] = field(default_factory=list)
    written: list[tuple[Any, ...]] = field(default_factory=list)

    def note(self, row: int, message: Message, done: Rehearsed, *, publishes: bool) -> None:
        """Note what became of a message."""
        fate, reason = _fate(done)
        ran = done.tries - (fate is Fate.INVALID)  # it is judged before the function runs
        self.fates.append((row, fate.value, reason, ran, len(message.body or b"")))
        routed = done.routed
        if routed is None:
            return
        if fate in {Fate.RETURNED, Fate.PASSED}:
            handled = routed.handled
            body = message.body if isinstance(handled, msgspec.UnsetType) else handled
            self.bodies.append((row, body))
        for each in routed.deliveries:
            if each.outcome is not Outcome.DELIVERED:
                continue
            if each.router is None:
                self.sends.append((row, each.route, *_named(each), each.key, *_content(each)))
            elif publishes:
                self.written.append((row, each.router, each.route, each.target, *_content(each)))

    def bodies_of(self, frame: pl.DataFrame, begin: int) -> pl.DataFrame:
        """Put what came out into the place of what went in."""
        bodies: list[bytes | None] = [None] * frame.height
        for row, body in self.bodies:
            bodies[row - begin] = body
        return frame.with_columns(body=pl.Series("body", bodies, dtype=pl.Binary))

    def kinds(self) -> dict[str, tuple[list[tuple[Any, ...]], Mapping[str, pl.DataType]]]:
        """Return the rows of all but the bodies, and their columns."""
        return {
            "fates": (self.fates, FATES),
            "sends": (self.sends, SENDS),
            "written": (self.written, WRITTEN),
        }


def _fate(done: Rehearsed) -> tuple[Fate, str | None]:
    """Return what became of a message, and why; no reason where it went on, or sent something."""
    routed = done.routed
    if routed is None:
        return (Fate.STOPPED if done.is_stopped else Fate.DEAD_LETTERED), done.reason
    if routed.invalid is not None:
        return Fate.INVALID, routed.invalid
    if routed.handled is None:
        return Fate.ENDED, _end(routed)
    return (Fate.PASSED if routed.handled is msgspec.UNSET else Fate.RETURNED), None


def _end(routed: Routed) -> str | None:
    return next((each.reason for each in routed.deliveries if each.reason), None)


def _named(each: Delivery) -> tuple[str | None, ...]:
    return each.target, each.broker, each.channel


def _content(each: Delivery) -> tuple[Headers, bytes | None]:
    return each.headers, each.body


def _frame(rows: Sequence[tuple[Any, ...]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    columns = dict(zip(schema, zip(*rows, strict=True), strict=True)) if rows else {}
    series = [
        headers_column([[{"name": n, "value": v} for n, v in each] for each in columns[name]])
        if name == "headers" and rows
        else pl.Series(name, columns.get(name, ()), dtype=kind)
        for name, kind in schema.items()
    ]
    return pl.DataFrame(series)
