"""A part of a capture as a config sees it: which messages each source has, by event type."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import polars as pl

from gateway_lab.captures.binding import Sources, bind
from gateway_lab.captures.mask import masked_type
from gateway_lab.config.plan import INVALID, Plan, SourcePlan
from gateway_lab.events.event_type import EventType
from gateway_lab.offline.between import Narrowed, Window, narrow_places, within
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.handled import Fate, Handled, HandledCapture, HandledPart
from gateway_lab.offline.message_columns import message_column
from gateway_lab.offline.parts import Part
from gateway_lab.offline.passing import look_ahead
from gateway_lab.offline.places import Places, places_of
from gateway_lab.offline.targets import refusable_references
from gateway_lab.routing.routed import DEAD_LETTER, DROP
from gateway_lab.rules.fill import compile_node
from gateway_lab.rules.tree import Field, Node, Reference, column_name, references


@dataclass(frozen=True, slots=True)
class Untyped:
    """Messages of a source that are invalid before any stream has them.

    No event type was chosen for them, or they went no further than to their handler.

    Attributes:
        invalid: Columns `row` (of the part), `reason` and `bytes`.
    """

    source: SourcePlan
    part: Part
    invalid: pl.DataFrame

    @classmethod
    def of(cls, source: SourcePlan, part: Part, rows: pl.Series, reason: str) -> Untyped:
        """Make those of some rows that have one reason."""
        sizes = part.read(pl.col("body").bin.size().fill_null(0).alias("bytes"))[rows]
        return cls(source, part, sizes.select(row=rows, reason=pl.lit(reason), bytes="bytes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A part as a plan sees it.

    Attributes:
        messages: How many there are.
        streams: Messages with an event type, or without one where the source has none.
        untyped: Messages that no stream has, and that are invalid.
        handled: What handlers made of the messages of the sources that have them.
        bound: Source name to the messages that it read.
        no_source: How many messages no source reads.
        not_replayed: Source name to the count of messages whose handler did not run.
    """

    plan: Plan
    part: Part
    messages: int
    streams: tuple[Stream, ...]
    untyped: tuple[Untyped, ...]
    handled: tuple[HandledPart, ...]
    bound: dict[str, int]
    no_source: int
    not_replayed: dict[str, int]


def view(
    plan: Plan,
    part: Part,
    *,
    sources: Sources,
    bound: Mapping[str, list[int]] | None = None,
    window: Window | None = None,
    handled: Handled = None,
) -> View:
    """Bind the messages of a part to the sources of a plan, and choose their event types.

    Args:
        plan: The config.
        part: The messages.
        sources: Where sources are to be found in the capture instead, see `captures/binding.py`.
        bound: Source name to places, where that is settled already; `sources` is not asked then.
        window: Only what was received in it.
        handled: What is known of handlers.
    """
    places = places_of(part)
    inside = None if window is None else within(part, window)
    if inside is not None:
        places = narrow_places(places, inside)
    bound = bind(plan.sources, places.names, sources) if bound is None else bound
    counts = {name: sum(places.counts[at] for at in found) for name, found in bound.items()}
    parts = _handled(part, handled, bound)
    needy = {name for name in bound if plan.sources[name].handled and handled != "already"}
    waiting = needy - parts.keys()
    claimed = {number for numbers in bound.values() for number in numbers}
    replayed = {name: at for name, at in bound.items() if at and name not in waiting}
    targets = [target for (name, _), target in plan.targets.items() if name in replayed]
    with ThreadPoolExecutor(1) as beside:
        beside.submit(look_ahead, part, targets)
        found = [
            _prepared(plan, whole if inside is None else _narrowed(whole, inside, window))
            for name, numbers in replayed.items()
            for whole in (
                _routed(plan.sources[name], parts[name])
                if name in parts
                else _split(plan.sources[name], part, places, numbers)
            )
        ]
    inner = [each if inside is None else each.within(inside) for each in parts.values()]
    untyped = [each for each in found if isinstance(each, Untyped)]
    untyped += [
        Untyped(plan.sources[each.source], part, each.invalid)
        for each in inner
        if each.count(Fate.INVALID)
    ]
    stopped = {each.source: each.count(Fate.STOPPED) for each in inner}
    late = {name: counts[name] if name in waiting else stopped.get(name, 0) for name in counts}
    return View(
        plan=plan,
        part=part,
        messages=sum(places.counts),
        streams=tuple(each for each in found if isinstance(each, Stream)),
        untyped=tuple(untyped),
        handled=tuple(inner),
        bound={name: n - late[name] for name, n in counts.items() if name not in waiting},
        no_source=sum(n for at, n in enumerate(places.counts) if at not in claimed),
        not_replayed={name: late[name] for name in counts if name in waiting or late[name]},
    )


def _handled(
    part: Part, handled: Handled, bound: Mapping[str, list[int]]
) -> dict[str, HandledPart]:
    """Take what handlers made of the sources of a part; where they made nothing, it is not there."""
    if not isinstance(handled, HandledCapture):
        return {}
    return {name: handled.of(part, name) for name in bound if name in handled.sources}


def _routed(source: SourcePlan, handled: HandledPart) -> Iterator[Stream | Untyped]:
    """Split what came to the routers of a source by event type."""
    rows = handled.rows
    every = None if len(rows) == handled.part.rows else rows
    return _typed(source, handled.part, every, ("handled",))


def _narrowed(
    whole: Stream | Untyped, inside: pl.Series, window: Window | None
) -> Stream | Untyped:
    if isinstance(whole, Stream):
        return Narrowed.of(whole, inside, window)
    return replace(whole, invalid=whole.invalid.filter(inside.gather(whole.invalid["row"])))


def _prepared(plan: Plan, whole: Stream | Untyped) -> Stream | Untyped:
    """Read the columns that decide about a stream, all at once."""
    if isinstance(whole, Stream):
        whole.prepare(read_by(plan, whole))
    return whole


def read_by(plan: Plan, stream: Stream) -> list[Reference]:
    """Collect what decides about a stream: conditions, and what targets can refuse by value."""
    found: list[Reference] = []
    for name in stream.source.routers:
        router = plan.routers[name]
        routes = [
            route
            for route in router.routes
            if route.events is None or stream.event_name in route.events
        ]
        found += references(*(route.condition for route in routes))
        for target in {*router.unmatched, *(name for route in routes for name in route.targets)}:
            if target not in {DROP, DEAD_LETTER}:
                found += refusable_references(plan.targets[stream.source.name, target])
    return list(dict.fromkeys(found))


def _split(
    source: SourcePlan, part: Part, places: Places, numbers: list[int]
) -> Iterator[Stream | Untyped]:
    """Take the messages of a source out of a part, and split them by event type."""
    if len(numbers) == len(places.names):
        return _typed(source, part, None, ())
    rows = places.index.is_in(numbers).arg_true().cast(pl.UInt32)
    return _typed(source, part, rows, tuple(numbers))


def _typed(
    source: SourcePlan, part: Part, rows: pl.Series | None, selection: tuple[Hashable, ...]
) -> Iterator[Stream | Untyped]:
    """Split the messages of a source by event type; behind a handler there is one only."""
    if source.handled is not None or source.by is None:
        only = source.handled or next(iter(source.event_types.values()), None)
        yield Stream(part, source, _as_recorded(only, part), rows, selection)
        return
    chosen = _chosen(source, source.by, part)
    chosen = chosen if rows is None else chosen.gather(rows)
    for name in chosen.unique(maintain_order=True):
        at = (chosen == name).arg_true().cast(pl.UInt32)
        theirs = at if rows is None else rows.gather(at)
        if name == INVALID:
            yield Untyped.of(source, part, theirs, source.no_type_reason)
        else:
            by = (*selection, repr(source.by), tuple(sorted(source.choices.items())), name)
            event_type = _as_recorded(source.event_types[name], part)
            yield Stream(part, source, event_type, theirs, by)


def _as_recorded(event_type: EventType | None, part: Part) -> EventType | None:
    """Take masks for texts, whatever they stand for."""
    if event_type is None or not part.masked:
        return event_type
    return masked_type(event_type)


def _chosen(source: SourcePlan, by: Node, part: Part) -> pl.Series:
    """Name the event type of each message of a part, `invalid` where none is chosen."""
    inputs = references(by)
    choose = compile_node(by, inputs, name=f"source {source.name} by")
    frame = pl.DataFrame(
        [
            message_column(part, leaf, source.name).rows.alias(column_name(leaf))
            for leaf in inputs
            if not isinstance(leaf, Field)
        ]
    )
    distinct = frame.unique()
    values = [choose(row) for row in distinct.rows()]
    names = [
        source.choices.get(value, source.otherwise) if isinstance(value, str) else source.otherwise
        for value in values
    ]
    named = distinct.with_columns(chosen=pl.Series(names, dtype=pl.String))
    joined = frame.join(
        named, on=frame.columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["chosen"]
