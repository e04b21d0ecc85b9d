"""Two configs over one part: what happens to each delivery when the new one is shipped.

Both configs see the same messages in the same sources: binding is the old config's, so that a
source that moves to another broker keeps its captured traffic. A router's old and new states
are paired per message; the distinct pairs are few, and each is compared once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TypeAlias

import polars as pl

from gateway_lab.captures.binding import Place, Sources, bind
from gateway_lab.config.plan import Plan, RouterPlan, TargetPlan
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.combinations import combine
from gateway_lab.offline.compare_handled import own_of, sent
from gateway_lab.offline.compare_letters import Letters
from gateway_lab.offline.decide import decide
from gateway_lab.offline.deliveries import written_rows
from gateway_lab.offline.handled import Handled
from gateway_lab.offline.parts import Part
from gateway_lab.offline.places import places_of
from gateway_lab.offline.view import View, view
from gateway_lab.routing.conclude import Conclusion, Consequence, conclude
from gateway_lab.routing.routed import DEAD_LETTER, DROP


class Change(StrEnum):
    """What happens to a delivery."""

    SAME = "same"
    ALTERED = "altered"
    MOVED = "moved"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What happened to some deliveries of a router: their old target and route, and the new."""

    source: str
    router: str | None
    change: Change
    old: str | None
    new: str | None
    old_route: str | None
    new_route: str | None
    altered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two plans, and which names of the old one are called otherwise in the new one."""

    old: Plan
    new: Plan
    rename: Mapping[str, str] = field(default_factory=dict)

    def renamed(self, name: str) -> str:
        """Return the name that a thing of the old config has in the new one."""
        return self.rename.get(name, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Deliveries of a part that go one way.

    Attributes:
        count: How many.
        find: Finds the rows of the part; counting needs none.
    """

    way: Way
    count: int
    find: Callable[[], pl.Series]


def bound_by_old(pair: Pair, places: tuple[Place, ...], sources: Sources) -> dict[str, list[int]]:
    """Bind the messages of a part as the old config does."""
    told = {name: value for name, value in sources.items() if name in pair.old.sources}
    return bind(pair.old.sources, places, told)


def bound_by_new(pair: Pair, places: tuple[Place, ...], sources: Sources) -> dict[str, list[int]]:
    """Bind sources that only the new config has; all others read what the old ones do."""
    bound = bound_by_old(pair, places, sources)
    told = {name: value for name, value in sources.items() if name in pair.new.sources}
    later = bind(pair.new.sources, places, told)
    return later | {pair.renamed(n): at for n, at in bound.items() if pair.renamed(n) in later}


HandledPair: TypeAlias = tuple[Handled, Handled]
"""What is known of handlers, by the old config and by the new one."""


def views(pair: Pair, part: Part, sources: Sources, handled: HandledPair) -> tuple[View, View]:
    """Look at a part with both configs; both bind as the old one does."""
    names = places_of(part).names
    bound, later = bound_by_old(pair, names, sources), bound_by_new(pair, names, sources)
    old = view(pair.old, part, sources={}, bound=bound, handled=handled[0])
    new = view(pair.new, part, sources={}, bound=later, handled=handled[1])
    return old, new


def compare(pair: Pair, old: View, new: View) -> Iterator[Compared]:
    """Compare all deliveries of a part; a router that is the same in both is only counted."""
    for source, router in _routers(pair):
        if _is_alike(pair, old, new, source, router):
            yield from _count_router(new, source[1] or "", router[1])
        else:
            yield from _compare_router(pair, old, new, source, router)


_Named: TypeAlias = tuple[str | None, str | None]
"""A name in the old and in the new config; None where it is not there."""


_OWN: _Named = (None, None)
"""Stands for what a source does by itself: dead letters of invalid messages have no router, and
what its handler ends and sends has none, either."""


def _routers(pair: Pair) -> Iterator[tuple[_Named, _Named]]:
    """Yield pairs of sources, and for each the pairs of routers on it, invalid messages first."""
    for source in _paired(pair, pair.old.sources, pair.new.sources):
        before = pair.old.sources[source[0]].routers if source[0] else ()
        behind = pair.new.sources[source[1]].routers if source[1] else ()
        yield source, _OWN
        for router in _paired(pair, before, behind):
            yield source, router


def _paired(
    pair: Pair,
    old: Mapping[str, object] | tuple[str, ...],
    new: Mapping[str, object] | tuple[str, ...],
) -> Iterator[_Named]:
    for name in old:
        yield name, pair.renamed(name) if pair.renamed(name) in new else None
    known = {pair.renamed(name) for name in old}
    yield from ((None, name) for name in new if name not in known)


# --- a router that is the same ---


def _is_alike(pair: Pair, old: View, new: View, source: _Named, router: _Named) -> bool:
    """Say whether both configs do the same with the messages of a source in a router."""
    before, behind = pair.old.sources.get(source[0] or ""), pair.new.sources.get(source[1] or "")
    if before is None or behind is None or before.name != behind.name or pair.rename:
        return False
    if before.dead_letter != behind.dead_letter:
        return False
    if _seen(old, before.name) != _seen(new, behind.name):
        return False
    if router == _OWN:
        return before.on_invalid == behind.on_invalid
    one, other = pair.old.routers.get(router[0] or ""), pair.new.routers.get(router[1] or "")
    if one is None or one != other:
        return False
    targets = {*one.unmatched, *(name for route in one.routes for name in route.targets)}
    plans = ((before.name, name) for name in targets)
    return all(pair.old.targets.get(each) == pair.new.targets.get(each) for each in plans)


def _seen(seen: View, source: str) -> list[object]:
    """Name what a source's messages are, and how they are judged."""
    streams: list[object] = [each.key for each in seen.streams if each.source.name == source]
    streams += [each.part.key for each in seen.handled if each.source == source]
    return [*streams, *(each.invalid.rows() for each in seen.untyped if each.source.name == source)]


def _count_router(seen: View, source: str, router: str | None) -> Iterator[Compared]:
    side = _side(seen, source, router, is_router=router is not None)
    counts = dict(side.codes.value_counts(name="count").rows())
    place = _place(source, router)
    for number, (conclusion, _) in enumerate(side.found, start=1):
        find = partial(_rows_in, side.codes, number)
        for each in conclusion.deliveries if number in counts else ():
            way = _way(place, Change.SAME, each, each)
            yield Compared(way=way, count=counts[number], find=find)


# --- one router ---


@dataclass(slots=True)
class _Side:
    """What one config makes of a part in one router.

    Attributes:
        codes: Per row of the part 0 where the router does not see it, else 1 + a place in `found`.
        found: What follows, and the stream it is of; None for invalid messages.
    """

    codes: pl.Series
    found: list[tuple[Conclusion, Stream | None]]


_NOTHING = Conclusion(Result.UNMATCHED, (), (), ())


def _side(seen: View, source: str | None, router: str | None, *, is_router: bool) -> _Side:
    """Look at one config's half: a router, or what is invalid; empty where it has no such thing."""
    side = _Side(pl.zeros(seen.part.rows, dtype=pl.UInt32, eager=True), [])
    if source is not None and not is_router:
        _note_own(side, seen, source)
    elif source is not None and router is not None:
        for stream in seen.streams:
            if stream.source.name == source:
                _note_states(side, stream, seen.plan.routers[router])
    return side


def _note_states(side: _Side, stream: Stream, router: RouterPlan) -> None:
    decided = decide(router, stream)
    codes = decided.rows().cast(pl.UInt32) + (len(side.found) + 1)
    side.found += [(conclude(router, router.routes, state), stream) for state in decided.states]
    if stream.judged.valid is None:
        side.codes = codes
    else:
        side.codes = side.codes.scatter(stream.judged.valid, codes)


def _note_own(side: _Side, seen: View, source: str) -> None:
    """Note what a source does by itself: with invalid messages, and what its handler did."""
    is_dropped = seen.plan.sources[source].on_invalid == DROP
    outcome = Outcome.DROPPED if is_dropped else Outcome.DEAD_LETTERED
    refused = Consequence(None, DROP if is_dropped else DEAD_LETTER, outcome, None)
    invalid = [s.judged.invalid["row"] for s in seen.streams if s.source.name == source]
    invalid += [u.invalid["row"] for u in seen.untyped if u.source.name == source]
    own: list[tuple[pl.Series, tuple[Consequence, ...]]] = [(rows, (refused,)) for rows in invalid]
    own += [each for part in seen.handled if part.source == source for each in own_of(part)]
    for rows, follows in own:
        side.found.append((Conclusion(Result.INVALID, (), (), follows), None))
        side.codes = side.codes.scatter(rows, len(side.found))


def _compare_router(
    pair: Pair, old: View, new: View, source: _Named, router: _Named
) -> Iterator[Compared]:
    is_router = router != _OWN
    before = _side(old, source[0], router[0], is_router=is_router)
    behind = _side(new, source[1], router[1], is_router=is_router)
    sizes = (len(before.found) + 1, len(behind.found) + 1)
    combined = combine([(before.codes, sizes[0]), (behind.codes, sizes[1])])
    place = _place(source[1] or source[0] or "", router[1] or router[0])
    letters = _letters(pair, source, old.part)
    counts = combined.index.value_counts(name="count").sort(combined.index.name)["count"]
    by_state = zip(counts, *(codes.to_list() for codes in combined.codes), strict=True)
    for state, (count, code, later) in enumerate(by_state):
        one = before.found[code - 1] if code else None
        other = behind.found[later - 1] if later else None
        find = partial(_rows_in, combined.index, state)
        for way in _ways(pair, place, one, other, is_first=_is_first(pair, router)):
            plans = _plans(pair, source, way, one, other)
            if way.change is Change.SAME and way.router is None and way.old_route:
                yield from _altered_sends(way, find(), (old, new))
            elif plans is not None:
                yield from _altered(way, find(), plans, letters)
            elif letters and way.change is Change.SAME and way.old == DEAD_LETTER:
                yield from _parted(way, find(), *letters.places(find()))
            else:
                yield Compared(way=way, count=count, find=find)


def _place(source: str, router: str | None) -> Way:
    return Way(
        source=source,
        router=router,
        change=Change.SAME,
        old=None,
        new=None,
        old_route=None,
        new_route=None,
    )


def _rows_in(index: pl.Series, state: int) -> pl.Series:
    return (index == state).arg_true().cast(pl.UInt32)


def _is_first(pair: Pair, router: _Named) -> bool:
    plans = (pair.old.routers.get(router[0] or ""), pair.new.routers.get(router[1] or ""))
    return all(plan is None or plan.match == "first" for plan in plans)


_Found: TypeAlias = "tuple[Conclusion, Stream | None] | None"


def _ways(pair: Pair, place: Way, old: _Found, new: _Found, *, is_first: bool) -> Iterator[Way]:
    """Pair up the deliveries of a message in a router; a handler may send several to a target."""
    before, behind = (
        {
            (renamed(each.target), place.router is None and each.route): each
            for each in (found[0] if found else _NOTHING).deliveries
        }
        for found, renamed in ((old, pair.renamed), (new, str))
    )
    gone = [each for target, each in before.items() if target not in behind]
    come = [each for target, each in behind.items() if target not in before]
    for target, each in before.items():
        if target in behind:
            yield _way(place, Change.SAME, each, behind[target])
    moved = min(len(gone), len(come)) if is_first else 0
    for each, other in zip(gone[:moved], come[:moved], strict=True):
        yield _way(place, Change.MOVED, each, other)
    yield from (_way(place, Change.REMOVED, each, None) for each in gone[moved:])
    yield from (_way(place, Change.ADDED, None, each) for each in come[moved:])


def _way(place: Way, change: Change, old: Consequence | None, new: Consequence | None) -> Way:
    return replace(
        place,
        change=change,
        old=old.target if old else None,
        new=new.target if new else None,
        old_route=old.route if old else None,
        new_route=new.route if new else None,
    )


# --- deliveries to one target that may differ ---


@dataclass(frozen=True, slots=True)
class _Plans:
    """A target's old and new plan, where they are not equal, and the streams they are for."""

    old: TargetPlan
    new: TargetPlan
    before: Stream
    behind: Stream


def _plans(pair: Pair, source: _Named, way: Way, old: _Found, new: _Found) -> _Plans | None:
    if way.change is not Change.SAME or not old or not new or not old[1] or not new[1]:
        return None
    before = pair.old.targets.get((source[0] or "", way.old or ""))
    behind = pair.new.targets.get((source[1] or "", way.new or ""))
    if before is None or behind is None:
        return None
    is_alike = replace(before, name="", max_channels=1) == replace(behind, name="", max_channels=1)
    if is_alike and _letters(pair, source, old[1].part) is None:
        return None
    return _Plans(before, behind, old[1], new[1])


def _letters(pair: Pair, source: _Named, part: Part) -> Letters | None:
    before, behind = pair.old.sources.get(source[0] or ""), pair.new.sources.get(source[1] or "")
    return Letters.of(before, behind, part)


def _altered(
    way: Way, rows: pl.Series, plans: _Plans, letters: Letters | None
) -> Iterator[Compared]:
    """Write the deliveries with both plans, and part the rows by what differs."""
    is_content = _content(plans.old) != _content(plans.new)
    before = written_rows(plans.old, plans.before, rows, is_content=is_content)
    behind = written_rows(plans.new, plans.behind, rows, is_content=is_content)
    if letters is not None:
        before, behind = letters.refused(before, behind, rows)
    return _parted(way, rows, before, behind)


def _altered_sends(way: Way, rows: pl.Series, seen: tuple[View, View]) -> Iterator[Compared]:
    """Part messages by what differs in what their handlers sent."""
    old, new = seen
    before = sent(old.handled, way.source, (way.old_route, way.old), rows)
    behind = sent(new.handled, way.source, (way.new_route, way.new), rows)
    return _parted(way, rows, before, behind)


def _parted(
    way: Way, rows: pl.Series, before: pl.DataFrame, behind: pl.DataFrame
) -> Iterator[Compared]:
    """Part rows by the columns in which two frames differ."""
    names = before.columns
    differs = pl.DataFrame([before[name].ne_missing(behind[name]).alias(name) for name in names])
    for flags, found in differs.with_columns(row=rows).partition_by(names, as_dict=True).items():
        altered = tuple(name for name, flag in zip(names, flags, strict=True) if flag)
        change = Change.ALTERED if altered else Change.SAME
        changed = replace(way, change=change, altered=altered)
        yield Compared(way=changed, count=found.height, find=partial(found.get_column, "row"))


def _content(plan: TargetPlan) -> tuple[object, ...]:
    """Return what decides key, headers and body; equal plans write equal content."""
    return plan.protocol, plan.key, plan.pass_headers, plan.headers, plan.body
