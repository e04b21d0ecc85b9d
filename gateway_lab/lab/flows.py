"""What the flows of the designer are made of: the ways of a replay, and those of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.lab.layout import Layout, Stop, layout
from gateway_lab.lab.palette import colours
from gateway_lab.messages.books import Outcome
from gateway_lab.offline.diff import RouteDiff
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.routed import DEAD_LETTER, DROP

LAYERS: Final = 4

_Way: TypeAlias = tuple[Sequence[tuple[int, Stop]], int]


def colours_of(config: GatewayConfig, base: GatewayConfig) -> Mapping[str, str]:
    """Return the colour of each target; those of the base look as in every figure of it."""
    return colours(config.targets, before=base.targets)


def replay_flow(result: Replay, base: GatewayConfig) -> Layout:
    """Lay out where deliveries go: source, router, route, target."""
    chosen = colours_of(result.config, base)
    ways = [_way(row, chosen) for row in result.flow().rows(named=True)]
    return layout(sorted(ways, key=_is_nowhere), layers=LAYERS)


def _is_nowhere(way: _Way) -> bool:
    """Put what ends in no target at the bottom."""
    return way[0][-1][1].label in {DEAD_LETTER, DROP}


def _way(row: Mapping[str, Any], chosen: Mapping[str, str]) -> _Way:
    """Turn a row of a flow into its stops; what is refused ends as a dead letter."""
    source, router, route = row["source"], row["router"], row["route"]
    end = DEAD_LETTER if row["outcome"] == Outcome.DEAD_LETTERED else row["target"]
    stops = [(0, Stop(("source", source), "source", source, select={"source": source}))]
    if router is None:
        stops.append((1, Stop(("invalid", source), "invalid", "invalid", chosen["invalid"])))
    else:
        stops.append((1, Stop(("router", router), "router", router, select={"router": router})))
        stops.append((2, _route(router, route, chosen)))
    select = {"outcome": Outcome.DEAD_LETTERED} if end == DEAD_LETTER else {"target": end}
    stops.append((3, Stop(("target", end), "target", end, chosen.get(end, ""), select)))
    return stops, row["deliveries"]


def _route(router: str, route: str | None, chosen: Mapping[str, str]) -> Stop:
    if route is None:
        return Stop(("route", router, ""), "unmatched", "no route", chosen["unmatched"])
    return Stop(("route", router, route), "route", route, select={"router": router, "route": route})


def diff_flow(result: RouteDiff) -> Layout:
    """Lay out what moved: router, the target of before, the target of now."""
    chosen = colours_of(result.new, result.old)
    rows = result.flow().rows(named=True)
    return layout(_moves(rows, chosen), layers=3)


def _moves(rows: list[dict[str, Any]], chosen: Mapping[str, str]) -> Iterator[_Way]:
    for row in rows:
        router = row["router"] or "invalid"
        old, new = row["old"] or "nowhere", row["new"] or "nowhere"
        yield (
            [
                (0, Stop(("router", router), "router", router)),
                (1, Stop(("old", router, old), "old", old, chosen.get(old, chosen[DROP]))),
                (2, Stop(("new", router, new), "new", new, chosen.get(new, chosen[DROP]))),
            ],
            row["messages"],
        )
