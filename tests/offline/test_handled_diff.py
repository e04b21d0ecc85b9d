from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway_lab.config.load import parse_config
from gateway_lab.errors import ReplayError
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.offline.diff import RouteDiff, diff
from gateway_lab.offline.run import replay
from tests.offline.conftest import MakeCapture
from tests.offline.test_handled import CONFIG, Stamp, Wish, user, wish

OLD = parse_config(CONFIG)
CAPTURED = [wish(n, kind) for n, kind in enumerate(("", "none", "fails", "", "send", "twice"))]


class Counted:
    """A gateway whose handler counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0
        self.gateway = Gateway(OLD)

        @self.gateway.handler("wishes")
        async def create(event: Wish) -> dict[str, Any] | None:
            self.runs += 1
            if event.kind == "fails":
                raise ValueError("no luck")
            for number in range({"send": 1, "twice": 2}.get(event.kind, 0)):
                await self.gateway.send("audit", {"id": event.n + number})
            return None if event.kind == "none" else user(event)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def changes(found: RouteDiff) -> list[tuple[Any, ...]]:
    names = ["seq", "router", "change", "old", "new", "altered"]
    return found.messages().select(names).collect().rows()


def test_a_changed_rule_moves_what_handlers_returned_and_they_run_once(
    counted: Counted, capture_of: MakeCapture
) -> None:
    new = OLD.edit_route("by_size", "big", when="id >= 4")
    found = diff(OLD, new, capture_of(*CAPTURED), handlers=counted.gateway)
    assert counted.runs == 5 + 3  # a failing message is tried three times
    assert changes(found) == [
        (4, "by_size", "moved", "all", "big", []),
        (5, "by_size", "moved", "all", "big", []),
    ]
    same = {row["router"]: row["same"] for row in found.summary().rows(named=True)}
    # ended, failed, sent once, sent twice
    assert same == {None: 1 + 1 + 1 + 2, "by_size": 2, "audit": 4}


def test_the_deliveries_of_a_diff_are_those_of_the_replays(
    counted: Counted, capture_of: MakeCapture
) -> None:
    capture = capture_of(*CAPTURED)
    found = diff(OLD, OLD, capture, handlers=counted.gateway)
    replayed = replay(OLD, capture, handlers=counted.gateway)
    assert found.summary()["same"].sum() == replayed.deliveries().collect().height
    assert found.moved_share == 0


def test_a_target_that_handlers_send_to_is_compared_message_by_message(
    counted: Counted, capture_of: MakeCapture
) -> None:
    new = parse_config(CONFIG.replace('channel: audit, body: {id: "{id}"}', "channel: audited"))
    found = diff(OLD, new, capture_of(*CAPTURED), handlers=counted.gateway)
    assert counted.runs == 2 * (5 + 3)
    assert changes(found) == [
        (4, None, "altered", "audit", "audit", ["channel"]),
        (5, None, "altered", "audit", "audit", ["channel"]),
        (5, None, "altered", "audit", "audit", ["channel"]),
    ]


def test_another_type_of_what_is_returned_is_judged_by_running_again(
    counted: Counted, capture_of: MakeCapture
) -> None:
    new = parse_config(
        CONFIG.replace("required: [id]", "required: [id, big, name]").replace(
            "id: {type: integer}, big", "id: {type: integer}, name: {type: string}, big"
        )
    )
    found = diff(OLD, new, capture_of(wish(1)), handlers=counted.gateway)
    assert changes(found) == [
        (0, None, "added", None, "dead_letter", []),
        (0, "by_size", "removed", "all", None, []),
        (0, "audit", "removed", "drop", None, []),
    ]


def test_without_handlers_nothing_of_their_sources_is_compared(capture_of: MakeCapture) -> None:
    assert diff(OLD, OLD, capture_of(*CAPTURED)).ways == {}


def test_a_source_that_handlers_handle_keeps_its_name(
    counted: Counted, capture_of: MakeCapture
) -> None:
    new = parse_config(CONFIG.replace("wishes:", "asks:").replace("source: wishes", "source: asks"))
    with pytest.raises(ReplayError, match="registered under one name"):
        diff(OLD, new, capture_of(wish(1)), rename={"wishes": "asks"}, handlers=counted.gateway)


def test_an_edit_takes_over_what_handlers_made_before(
    counted: Counted, capture_of: MakeCapture
) -> None:
    capture = capture_of(*CAPTURED)
    before = replay(OLD, capture, handlers=counted.gateway)
    assert before.handlers is not None
    runs = counted.runs
    edited = replay(
        OLD.edit_route("by_size", "big", when="id >= 4"), capture, handlers=before.handlers
    )
    again = replay(OLD, capture, handlers=edited.handlers)
    assert counted.runs == runs
    assert edited.routes().filter(route="big")["messages"].item() == 2
    assert str(again.books()) == str(before.books())
    tries = parse_config(CONFIG.replace("attempts: 3", "attempts: 1"))
    assert replay(tries, capture, handlers=again.handlers).books().handled[0].tries == 6
    assert counted.runs == runs + 6
    other = capture_of(wish(1))
    assert replay(OLD, other, handlers=again.handlers).books().messages == 1
    assert counted.runs == runs + 7


def test_where_middlewares_change_deliveries_an_edit_has_them_do_it_again(
    capture_of: MakeCapture,
) -> None:
    gateway, runs = Gateway(OLD, middlewares=[Stamp]), Counter[int]()

    @gateway.handler("wishes")
    async def create(event: Wish) -> dict[str, Any]:
        runs[event.n] += 1
        return user(event)

    capture, new = capture_of(wish(1)), OLD.edit_route("by_size", "big", when="id > 0")
    before = replay(OLD, capture, handlers=gateway)
    assert before.handlers is not None
    edited = replay(new, capture, handlers=before.handlers).deliveries(rendered=True)
    written = edited.filter(outcome="delivered").select("target", "headers").collect().rows()
    assert written == [("big", [{"name": "x-stamp", "value": b"big.1"}])]
    assert diff(OLD, new, capture, handlers=before.handlers).moved_share == 0.5
    assert runs == {1: 2}
