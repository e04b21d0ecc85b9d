"""Diff: what a new config would do differently with the same traffic. It sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import polars as pl

from gateway_lab.captures.binding import Place, Sources
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import TIME
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ExpectationError, ReplayError, did_you_mean
from gateway_lab.offline.compare import (
    Change,
    Compared,
    HandledPair,
    Pair,
    Way,
    bound_by_new,
    bound_by_old,
    compare,
    views,
)
from gateway_lab.offline.documents import document_changes
from gateway_lab.offline.handled import HandledCapture
from gateway_lab.offline.lazily import lazily
from gateway_lab.offline.masked import unknown_routers, without_routers
from gateway_lab.offline.parts import Part, parts_of
from gateway_lab.offline.places import Places
from gateway_lab.offline.progress import watched
from gateway_lab.offline.rehearse import rehearse
from gateway_lab.offline.tasks import check_handlers, plan_for
from gateway_lab.offline.text import html_table
from gateway_lab.routing.rehearsal import GivenHandlers

MESSAGES: dict[str, pl.DataType] = {
    "seq": pl.UInt64(),
    "received": TIME,
    "source": pl.String(),
    "router": pl.String(),
    "change": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
    "old_route": pl.String(),
    "new_route": pl.String(),
    "altered": pl.List(pl.String()),
}


def diff(
    old: GatewayConfig,
    new: GatewayConfig,
    capture: Capture,
    *,
    rename: Mapping[str, str] | None = None,
    sources: Mapping[str, str | tuple[str, ...]] | None = None,
    handlers: GivenHandlers | None = None,
) -> RouteDiff:
    """Compare two configs over the same messages.

    A delivery is a message, a router and a target. It is `same`; `altered` (same target; outcome,
    broker, channel, key, headers or body differ); `moved` (`match: first`: one target for
    another); `added` or `removed`. Messages are bound to sources once, as the old config does.

    Args:
        old: What runs today.
        new: What shall run.
        capture: The messages.
        rename: Old name to new name, of sources, routers and targets that were only renamed.
        sources: Source name to `broker:channel`, for messages captured elsewhere.
        handlers: A gateway, whose handlers run once, see `replay`; a second time only where the
            new config judges what arrives or what they return otherwise, or changes a target
            that they send to. What middlewares do to deliveries is not compared.

    Raises:
        ReplayError: A config has errors, or `rename` names what the old config does not have, or
            a source that handlers handle; or handlers cannot run.
        ConfigError: A function is registered for a source that declares no handler.
    """
    whole = Pair(
        old=plan_for(old, capture)[0],
        new=plan_for(new, capture)[0],
        rename=_checked(rename or {}, old, new),
    )
    unknown = _unknown(whole, old, new)
    pair = replace(
        whole,
        old=without_routers(
            whole.old, {n for n in whole.old.routers if whole.renamed(n) in unknown}
        ),
        new=without_routers(whole.new, unknown),
    )
    parts = parts_of(capture)
    told = dict(sources or {})
    handled: HandledPair = (None, None)
    if handlers is not None:
        check_handlers(handlers, capture)
        handled = _rehearsed(pair, parts, handlers, told)
    elif capture.metadata.stage == "handled":
        handled = ("already", "already")
    result = RouteDiff(
        old, new, capture, pair, parts, told, handled, unknown=tuple(sorted(unknown))
    )
    for ways in watched(map(result.count, parts), [part.rows for part in parts], "diff"):
        for way, count in ways.items():
            result.ways[way] = result.ways.get(way, 0) + count
    return result


def _unknown(pair: Pair, old: GatewayConfig, new: GatewayConfig) -> set[str]:
    """Name the routers that a masked capture does not tell of in one config or the other."""
    before = map(pair.renamed, unknown_routers(old, pair.old))
    return {*before, *unknown_routers(new, pair.new)}


def _rehearsed(
    pair: Pair, parts: Sequence[Part], handlers: GivenHandlers, sources: Sources
) -> HandledPair:
    """Run handlers once, and again where the new config would have them do something else."""
    by_old = partial(_bound, pair, bound_by_old, sources)
    old = rehearse(pair.old, parts, handlers, by_old, is_rendered=False)
    if renamed := sorted(old.sources & pair.rename.keys()):
        problem = f"the source {renamed[0]} has a handler, which is registered under one name"
        raise ReplayError(problem, hint="compare the new config without the new name")
    by_new = partial(_bound, pair, bound_by_new, sources)
    new = rehearse(pair.new, parts, old, by_new, is_rendered=False)
    return old, new


def _bound(
    pair: Pair,
    bind: Callable[[Pair, tuple[Place, ...], Sources], Mapping[str, list[int]]],
    sources: Sources,
    places: Places,
) -> Mapping[str, list[int]]:
    return bind(pair, places.names, sources)


def _checked(
    rename: Mapping[str, str], old: GatewayConfig, new: GatewayConfig
) -> Mapping[str, str]:
    before, behind = ({*c.sources, *c.routers, *c.targets} for c in (old, new))
    for name, later in rename.items():
        for value, known, which in ((name, before, "old"), (later, behind, "new")):
            if value not in known:
                problem = (
                    f"rename says {name!r} is now {later!r}; the {which} config has no {value!r}"
                )
                raise ReplayError(problem, hint=did_you_mean(value, known))
    return rename


@dataclass(frozen=True, eq=False)
class RouteDiff:
    """Two configs over a capture.

    Attributes:
        old: What runs today.
        new: What shall run.
        capture: The messages.
        ways: What happens, to how many deliveries.
        unknown: Routers, as the new config names them, of which a masked capture does not tell.
    """

    old: GatewayConfig
    new: GatewayConfig
    capture: Capture
    _pair: Pair
    _parts: tuple[Part, ...]
    _sources: Mapping[str, str | tuple[str, ...]]
    _handled: HandledPair
    ways: dict[Way, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def count(self, part: Part) -> dict[Way, int]:
        """Count the deliveries of a part by what happens to them."""
        counts: dict[Way, int] = {}
        for each in self._compared(part):
            counts[each.way] = counts.get(each.way, 0) + each.count
        return counts

    def summary(self) -> pl.DataFrame:
        """What happens per router: `router, deliveries, same, altered, moved, added, removed`.

        No router: invalid messages, whose dead letters are their source's, and what handlers
        ended, failed at or sent. Of routers that are unknown all counts are null.
        """
        routers = dict.fromkeys([*self.old.routers, *self.new.routers])
        seen = {*self.unknown, *(way.router for way in self.ways)}
        rows = [(name, *self._counts(name)) for name in [*routers, None] if name in seen]
        schema = ["router", "deliveries", *(change.value for change in Change)]
        types = [pl.String, *[pl.Int64] * (len(schema) - 1)]
        return pl.DataFrame(rows, schema=dict(zip(schema, types, strict=True)), orient="row")

    def flow(self) -> pl.DataFrame:
        """What does not stay the same: `router, old, new, change, messages`, most first."""
        counts: dict[tuple[str | None, str | None, str | None, str], int] = {}
        for way, count in self.ways.items():
            if way.change is not Change.SAME:
                key = (way.router, way.old, way.new, way.change.value)
                counts[key] = counts.get(key, 0) + count
        names = ["router", "old", "new", "change", "messages"]
        types = [*[pl.String] * 4, pl.Int64]
        rows = [(*key, count) for key, count in counts.items()]
        frame = pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
        return frame.sort("messages", *names[:4], descending=[True, *[False] * 4], nulls_last=True)

    def messages(self) -> pl.LazyFrame:
        """Deliveries that do not stay the same, lazily, in the order of the capture.

        Returns:
            `seq, received, source, router, change, old, new` (targets), `old_route, new_route`,
            and `altered`: which of outcome, broker, channel, key, headers and body differ.
        """
        return lazily(lambda: map(self._list, self._parts), MESSAGES)

    def config(self) -> pl.DataFrame:
        """What changed in the documents: `path, change, old, new`."""
        return document_changes(self.old, self.new)

    def check(self, *, max_moved: float | None = None, keep: Iterable[str] = ()) -> None:
        """Hold the change to what was promised.

        Args:
            max_moved: The largest share of deliveries, 0 to 1, that may not stay the same.
            keep: Targets and routes of the old config that must keep every delivery as it is.

        Raises:
            ExpectationError: A promise does not hold (the text says by how much), or there is no
                delivery to hold it against, as with a capture of other channels, or a masked
                capture does not tell of all.
            ReplayError: `keep` names what the old config does not have.
        """
        names = tuple(keep)
        if self.unknown and (names or max_moved is not None):
            raise ExpectationError(
                f"nothing can be promised of {', '.join(self.unknown)}: the capture is masked",
                hint="use the capture that it was masked from",
            )
        problems = [*self._over(max_moved), *self._not_kept(names)]
        if not self.ways and (names or max_moved is not None):
            raise ExpectationError(
                f"no delivery could be compared: of {self.capture.count:,} messages none came to "
                "a router, in either config",
                hint="is it the right capture? `sources=` or `--source` says what a source reads",
            )
        if problems:
            raise ExpectationError("; ".join(problems), hint="look at .flow() and .messages()")

    # --- how ---

    @cached_property
    def moved_share(self) -> float:
        """The share of deliveries that do not stay the same; 0 where there are none."""
        total = sum(self.ways.values())
        changed = sum(n for way, n in self.ways.items() if way.change is not Change.SAME)
        return changed / total if total else 0.0

    def _counts(self, router: str | None) -> list[int] | list[None]:
        if router in self.unknown:
            return [None] * (len(Change) + 1)
        counts = [
            sum(n for way, n in self.ways.items() if way.router == router and way.change is change)
            for change in Change
        ]
        return [sum(counts), *counts]

    def _over(self, max_moved: float | None) -> Iterator[str]:
        if max_moved is not None and self.moved_share > max_moved:
            changed = sum(n for way, n in self.ways.items() if way.change is not Change.SAME)
            yield (
                f"{changed:,} of {sum(self.ways.values()):,} deliveries do not stay the same "
                f"({self.moved_share:.2%}); max_moved allows {max_moved:.2%}"
            )

    def _not_kept(self, keep: tuple[str, ...]) -> Iterator[str]:
        routes = {route.name for router in self.old.routers.values() for route in router.routes}
        known = {*self.old.targets, *routes}
        for name in keep:
            if name not in known:
                problem = f"keep names {name!r}, which the old config does not have"
                raise ReplayError(problem, hint=did_you_mean(name, known))
            lost = sum(
                count
                for way, count in self.ways.items()
                if name in {way.old, way.old_route} and way.change is not Change.SAME
            )
            if lost:
                yield f"{lost:,} deliveries of {name} do not stay the same; keep names it"

    def _compared(self, part: Part) -> Iterator[Compared]:
        old, new = views(self._pair, part, self._sources, self._handled)
        return compare(self._pair, old, new)

    def _list(self, part: Part) -> pl.DataFrame:
        found = [pl.DataFrame(schema={"row": pl.UInt32, **MESSAGES}).drop("seq", "received")]
        changed = (each for each in self._compared(part) if each.way.change is not Change.SAME)
        found += [_rows(each.way, each.find()) for each in changed]
        listed = pl.concat(found).sort("row", maintain_order=True)
        return listed.hstack(part.read("seq", "received")[listed["row"]]).select(*MESSAGES)

    def __repr__(self) -> str:
        head = (
            f"Diff of {self.old.name} {self.old.digest[:12]} → {self.new.digest[:12]} over "
            f"{self.capture.count:,} messages: {self.moved_share:.2%} of "
            f"{sum(self.ways.values()):,} deliveries do not stay the same"
        )
        lines = [head]
        for row in self.summary().rows(named=True):
            if row["deliveries"] is None:
                lines.append(f"  {row['router']}: unknown, the capture is masked")
                continue
            counts = ", ".join(f"{row[change.value]:,} {change.value}" for change in Change)
            lines.append(f"  {row['router'] or self._no_router}: {counts}")
        return "\n".join(lines)

    @property
    def _no_router(self) -> str:
        is_handled = any(isinstance(each, HandledCapture) for each in self._handled)
        return "without a router (invalid, or by a handler)" if is_handled else "invalid messages"

    def _repr_html_(self) -> str:
        head = repr(self).splitlines()[0]
        return f"<div><p>{head}</p>{html_table(self.summary())}{html_table(self.flow())}</div>"


def _rows(way: Way, rows: pl.Series) -> pl.DataFrame:
    names = ("source", "router", "change", "old", "new", "old_route", "new_route")
    values = {name: pl.lit(getattr(way, name), pl.String) for name in names}
    altered = pl.lit(list(way.altered), dtype=pl.List(pl.String))
    return pl.DataFrame({"row": rows}).with_columns(**values, altered=altered)
