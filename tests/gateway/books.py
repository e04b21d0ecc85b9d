"""Books of a gateway that never ran, for this room's tests."""

from __future__ import annotations

from gateway_lab.gateway.counters import RouterStats, SourceStats, State, Stats, WayStats


def source(name: str = "orders", state: State = State.RUNNING, reason: str = "") -> SourceStats:
    return SourceStats(
        source=name,
        state=state,
        reason=reason,
        read=10,
        redelivered=1,
        settled=7,
        given_back=1,
        in_flight=2,
        retried=2,
        ambiguous=1,
        lost=5,
        overtaken=4,
        window=0.25,
    )


def way(router: str | None = "size", route: str | None = "big", target: str = "copy") -> WayStats:
    return WayStats(
        source="orders",
        router=router,
        route=route,
        target=target,
        deliveries=10,
        delivered=3,
        dropped=3,
        dead_lettered=2,
        given_back=1,
        pending=1,
    )


def stats(*sources: SourceStats) -> Stats:
    router = RouterStats(
        source="orders", router="size", messages=10, matched=6, unmatched=3, invalid=1
    )
    ways = (way(), way(router=None, route=None, target="dead_letter"))
    return Stats(sources=sources or (source(),), routers=(router,), ways=ways, digest="abc")
