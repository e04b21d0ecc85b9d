"""What the designer shows, as plain JSON: one function a piece, made of a draft and nothing else.

The names of the keys are what `designer.js` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import polars as pl

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import Route, Router
from gateway_lab.errors import ReplayError
from gateway_lab.findings import Finding
from gateway_lab.lab.cells import plain
from gateway_lab.lab.draft import Draft
from gateway_lab.lab.flows import colours_of
from gateway_lab.lab.layout import NODE_WIDTH, WIDTH, Layout
from gateway_lab.offline.diff import RouteDiff
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.explanation import Explanation

Json: TypeAlias = dict[str, Any]

BARS: Final = 120
"""Steps of the time chart, about."""

PAGE_ROWS: Final = 5
"""Samples on a page."""

MOVED_ROWS: Final = 20
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200)
_DAY_S: Final = 86_400


# --- the document ---


def document(draft: Draft) -> Json:
    """Tell the routers, routes and targets of the config."""
    config, chosen = draft.config, colours_of(draft.config, draft.base)
    return {
        "name": config.name,
        "digest": config.digest,
        "path": None if draft.path is None else str(draft.path),
        "brokers": list(config.brokers),
        "sources": list(config.sources),
        "events": list(config.events),
        "routers": [_router(name, router) for name, router in config.routers.items()],
        "targets": [
            {"name": name, "broker": each.broker, "channel": each.channel, "colour": chosen[name]}
            for name, each in config.targets.items()
        ],
    }


def _router(name: str, router: Router) -> Json:
    return {
        "name": name,
        "sources": list(router.sources),
        "match": router.match,
        "unmatched": _listed(router.unmatched),
        "enabled": router.enabled,
        "routes": [_route(route) for route in router.routes],
    }


def _route(route: Route) -> Json:
    return {
        "name": route.name,
        "when": route.when,
        "to": _listed(route.to),
        "events": None if route.events is None else list(route.events),
        "enabled": route.enabled,
        "description": route.description,
    }


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def problems(draft: Draft) -> list[Json]:
    """Tell all findings, each with the thing of the document that it is about."""
    return [_problem(each, draft.config) for each in draft.problems()]


def _problem(finding: Finding, config: GatewayConfig) -> Json:
    told = {
        "code": finding.code,
        "severity": str(finding.severity),
        "message": finding.text,
        "hint": finding.hint,
        "where": ".".join(map(str, finding.path)),
        "start": finding.offset,
        "router": None,
        "route": None,
        "target": None,
        "field": None,
    }
    match finding.path:
        case ("routers", str(router), "routes", int(at), *rest) if at < len(
            config.routers[router].routes
        ):
            name = config.routers[router].routes[at].name
            told |= {"router": router, "route": name, "field": _first(rest)}
        case ("routers", str(router), *rest):
            told |= {"router": router, "field": _first(rest)}
        case ("targets", str(target), *rest):
            told |= {"target": target, "field": _first(rest)}
    return told


def _first(path: list[Any]) -> str | None:
    return str(path[0]) if path else None


# --- counts ---


def counts(draft: Draft) -> Json:
    """Count messages of each route and target, beside the base."""
    now, base = draft.shown.replay, draft.shown.base_replay
    return {
        "stale": draft.is_stale,
        "messages": now.books().messages,
        "of": draft.capture.count if draft.is_partial else None,
        "routes": _beside(_routes(now), _routes(base), "messages"),
        "routers": _beside(_routers(now), _routers(base), "unmatched"),
        "targets": _beside(_targets(now), _targets(base), "deliveries"),
    }


def _beside(now: dict[str, Json], base: dict[str, Json], number: str) -> dict[str, Json]:
    """Add `delta`, how much more it is than in the base; None where it is not there."""
    for name, row in now.items():
        before, here = base.get(name, {}).get(number), row[number]
        row["delta"] = None if before is None or here is None else here - before
    return now


def _routes(result: Replay) -> dict[str, Json]:
    rows = result.routes().rows(named=True)
    return {f"{row.pop('router')}/{row.pop('route')}": row for row in rows}


def _routers(result: Replay) -> dict[str, Json]:
    return {row.pop("router"): row for row in result.routers().rows(named=True)}


def _targets(result: Replay) -> dict[str, Json]:
    return {row.pop("target"): row for row in result.targets().rows(named=True)}


# --- pictures ---


def picture(drawn: Layout) -> Json:
    """Tell where the nodes and links of a flow are."""
    ids = {node.key: number for number, node in enumerate(drawn.nodes)}
    return {
        "width": WIDTH,
        "height": round(drawn.height),
        "folded": drawn.folded,
        "nodes": [
            {
                "id": ids[node.key],
                "label": node.label,
                "kind": node.kind,
                "layer": node.layer,
                "x": round(node.x, 1),
                "y": round(node.y, 1),
                "w": NODE_WIDTH,
                "h": round(node.h, 1),
                "colour": node.colour,
                "messages": node.count,
                "select": dict(node.select),
            }
            for node in drawn.nodes
        ],
        "links": [
            {
                "source": ids[link.source.key],
                "target": ids[link.target.key],
                "d": link.path,
                "width": round(link.width, 1),
                "colour": link.colour,
                "messages": link.count,
                "title": f"{link.source.label} → {link.target.label}",
                "select": dict(link.select),
            }
            for link in drawn.links
        ],
    }


def bars(draft: Draft) -> Json | None:
    """Count deliveries over time, by target; None for a capture without messages."""
    result = draft.shown.whole
    first, last = result.capture.span
    if first is None or last is None:
        return None
    step_s = _step_s((last - first).total_seconds())
    frame = result.over_time(f"{step_s}s")
    start_s = int(first.timestamp()) // step_s * step_s
    length = int(last.timestamp()) // step_s - start_s // step_s + 1
    return {
        "from_ms": start_s * 1000,
        "step_ms": step_s * 1000,
        "length": length,
        "series": list(_series(frame, draft, (start_s, step_s, length))),
    }


def window(draft: Draft) -> list[int] | None:
    """Tell from when and until when messages are looked at; None: all."""
    return None if draft.window is None else [_ms(each) for each in draft.window]


def _series(frame: pl.DataFrame, draft: Draft, grid: tuple[int, int, int]) -> Iterator[Json]:
    start_s, step_s, length = grid
    config = draft.shown.whole.config
    chosen = colours_of(config, draft.base)
    summed = frame.group_by("target", "time").agg(pl.col("deliveries").sum())
    by_target: dict[str, list[int]] = {}
    for target, time, deliveries in summed.rows():
        at = (int(time.timestamp()) - start_s) // step_s
        by_target.setdefault(target, [0] * length)[at] += deliveries
    order = {name: place for place, name in enumerate(config.targets)}
    for target in sorted(by_target, key=lambda name: (order.get(name, len(order)), name)):
        yield {"target": target, "colour": chosen[target], "counts": by_target[target]}


def _step_s(seconds: float) -> int:
    """Choose a step that gives about `BARS` of them."""
    wanted = seconds / BARS
    days = max(1, round(wanted / _DAY_S)) * _DAY_S
    return next((step for step in _STEPS_S if step >= wanted), days)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def moment(ms: float) -> datetime:
    """Read a moment as the module tells it.

    Raises:
        ReplayError: No calendar has it.
    """
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)
    except OverflowError:
        raise ReplayError("no calendar has this time", hint="years are 1 to 9999") from None


# --- messages ---


def samples(draft: Draft, select: Mapping[str, str], page: int) -> Json:
    """Tell some messages of a flow, the same at every look.

    Args:
        draft: Of whose replay.
        select: `source`, `router`, `route`, `target` or `outcome`: only those.
        page: From 0; the next page has others.
    """
    found = draft.shown.replay.sample(n=PAGE_ROWS * (page + 1) + 1, seed=0, **select)
    shown = found.slice(PAGE_ROWS * page, PAGE_ROWS)
    names = ("seq", "received", "source", "router", "route", "target", "channel", "outcome")
    return {
        "select": dict(select),
        "page": page,
        "has_more": found.height > PAGE_ROWS * (page + 1),
        "rows": [
            {name: plain(row[name]) for name in (*names, "reason", "key", "body")}
            for row in shown.rows(named=True)
        ],
    }


def why(seq: int, explanation: Explanation) -> Json:
    """Tell why a message went where it went."""
    return {
        "seq": seq,
        "text": str(explanation),
        "clauses": _rows(explanation.clauses),
        "targets": _rows(explanation.targets),
        "changes": _rows(explanation.changes),
    }


def _rows(frame: pl.DataFrame) -> list[Json]:
    return [{name: plain(value) for name, value in row.items()} for row in frame.rows(named=True)]


# --- comparison ---


def comparison(result: RouteDiff, flow: Layout) -> Json:
    """Tell what differs between the base and the draft, over the whole capture."""
    summary = result.summary()
    moved = sum(int(summary[name].sum()) for name in ("moved", "added", "removed", "altered"))
    total = int(summary["deliveries"].sum())
    return {
        "base": result.old.digest,
        "draft": result.new.digest,
        "changed": moved,
        "share": moved / total if total else 0.0,
        "summary": _rows(summary.with_columns(pl.col("router").fill_null("invalid"))),
        "flow": picture(flow),
        "messages": _rows(result.messages().head(MOVED_ROWS).collect()),
        "config": _rows(result.config()),
    }
