from __future__ import annotations

from gateway_lab.gateway.counters import (
    Counters,
    RouterStats,
    SourceStats,
    State,
    Stats,
    WayStats,
)
from gateway_lab.gateway.workers.merged import ended, merged


def source(name: str, state: State, reason: str = "", **numbers: int) -> SourceStats:
    counters = Counters(name, state=state, reason=reason)
    for number, value in numbers.items():
        setattr(counters, number, value)
    return counters.source_stats()


def way(target: str, deliveries: int, delivered: int) -> WayStats:
    return WayStats(
        source="orders",
        router="size",
        route="big",
        target=target,
        deliveries=deliveries,
        delivered=delivered,
        dropped=0,
        dead_lettered=0,
        pending=deliveries - delivered,
    )


def router(messages: int) -> RouterStats:
    return RouterStats(
        source="orders", router="size", messages=messages, matched=messages, unmatched=0, invalid=0
    )


ONE = Stats(
    sources=(source("orders", State.RUNNING, read=10, settled=7, retried=1, lost=2),),
    routers=(router(10),),
    ways=(way("big", 10, 8),),
    digest="abc",
    refused="no",
)
TWO = Stats(
    sources=(
        source("orders", State.RED, "no permission", read=5, settled=5, retried=1),
        source("others", State.IDLE),
    ),
    routers=(router(5),),
    ways=(way("big", 5, 5), way("small", 1, 1)),
)


def test_numbers_of_the_same_thing_are_added_up() -> None:
    both = merged([ONE, TWO])
    orders, others = both.sources
    numbers = (orders.read, orders.settled, orders.in_flight, orders.retried, orders.lost)
    assert numbers == (15, 12, 3, 2, 2)
    assert others.source == "others"
    assert [each.messages for each in both.routers] == [15]
    assert [(each.target, each.delivered, each.pending) for each in both.ways] == [
        ("big", 13, 2),
        ("small", 1, 0),
    ]
    assert (both.digest, both.refused) == ("abc", "no")


def test_a_source_that_is_red_anywhere_is_red() -> None:
    for books in ([ONE, TWO], [TWO, ONE]):
        orders = next(each for each in merged(books).sources if each.source == "orders")
        assert (orders.state, orders.reason) == (State.RED, "no permission")


def test_the_fullest_window_is_told() -> None:
    full = Counters("orders", window=0.75).source_stats()
    fuller = Stats(sources=(full,), routers=(), ways=())
    assert merged([ONE, fuller]).sources[0].window == 0.75


def test_what_a_process_held_at_its_end_is_no_longer_in_flight() -> None:
    [orders] = ended(ONE).sources
    assert (orders.read, orders.settled, orders.given_back, orders.in_flight) == (10, 7, 3, 0)
    [big] = ended(ONE).ways
    assert (big.deliveries, big.delivered, big.given_back, big.pending) == (10, 8, 2, 0)
