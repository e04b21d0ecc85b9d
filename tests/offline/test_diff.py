from __future__ import annotations

import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ExpectationError, ReplayError
from gateway_lab.offline.diff import diff
from tests.offline.conftest import SHOP, MakeCapture, message, order


def changes(old: GatewayConfig, new: GatewayConfig, capture: Capture, **more: object) -> object:
    rows = diff(old, new, capture, **more).flow().sort("router", "old", "new")  # type: ignore[arg-type]
    return rows.rows()


def test_a_config_does_not_differ_from_itself(shop: GatewayConfig, five: Capture) -> None:
    result = diff(shop, shop, five)
    assert result.flow().is_empty()
    assert result.messages().collect().is_empty()
    assert result.config().is_empty()
    assert result.summary()["same"].sum() == result.summary()["deliveries"].sum() == 9
    result.check(max_moved=0)


def test_in_a_first_match_router_a_delivery_moves(shop: GatewayConfig, five: Capture) -> None:
    new = shop.edit_route("by_priority", "critical", when="priority = 'critical'")
    assert changes(shop, new, five) == [("by_priority", "pager", "drop", "moved", 1)]
    messages = diff(shop, new, five).messages().collect()
    assert messages.select("seq", "old_route", "new_route").rows() == [(3, "critical", None)]


def test_in_an_all_router_deliveries_are_added_and_removed(
    shop: GatewayConfig, five: Capture
) -> None:
    new = shop.add_route("everything", "dear", when="amount > 1000", to=["bulk"])
    assert changes(shop, new, five) == [("everything", None, "bulk", "added", 1)]
    assert changes(new, shop, five) == [("everything", "bulk", None, "removed", 1)]


def test_what_is_altered_is_named(shop: GatewayConfig, capture_of: MakeCapture) -> None:
    capture = capture_of(
        message(order("critical"), key=b"acme"),
        message(order("critical"), key=b"k"),
        message(order("critical", "a.b"), key=b"k"),
    )
    new = shop.edit_target("pager", channel="page.{tenant}", key=None, body={"to": "{tenant}"})
    rows = diff(shop, new, capture).messages().select("seq", "change", "altered").collect().rows()
    assert rows == [
        (0, "altered", ["channel", "body"]),
        (1, "altered", ["channel", "key", "body"]),
    ]


def test_a_target_that_refuses_now_is_altered(shop: GatewayConfig, five: Capture) -> None:
    new = shop.edit_target("audit", channel="audit.{amount is null}.{priority}")
    refusing = shop.edit_target("audit", channel="audit.{nullif(priority, 'low')}")
    assert diff(shop, new, five).summary()["altered"].sum() == 4
    altered = diff(new, refusing, five).messages().collect()["altered"].to_list()
    assert ["outcome", "broker", "channel"] in altered or ["outcome", "channel"] in altered


@pytest.mark.parametrize(
    "letters", ["{broker: edge, channel: lost}", "{broker: stream, channel: lost}"]
)
def test_dead_letters_that_go_elsewhere_are_altered(
    letters: str, shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(
        message(order("critical", "a.b")),
        message(order("high")),
        message({"priority": "urgent", "tenant": "acme"}),
    )
    old = shop.edit_route("by_priority", "high", to=["dead_letter"])
    place = '{broker: stream, channel: "dead.{message.source}"}'
    new = parse_config(SHOP.replace(place, letters)).edit_route(
        "by_priority", "high", to=["dead_letter"]
    )
    rows = diff(old, new, capture).messages().collect()
    assert rows.select("seq", "router", "change", "old", "new").rows() == [
        (0, "by_priority", "altered", "pager", "pager"),
        (1, "by_priority", "altered", "dead_letter", "dead_letter"),
        (2, None, "altered", "dead_letter", "dead_letter"),
    ]
    named = ["broker", "channel"] if "edge" in letters else ["channel"]
    assert rows["altered"].to_list() == [named] * 3
    assert diff(old, new, capture).summary()["same"].sum() == 2


def test_a_renamed_target_is_the_same(shop: GatewayConfig, five: Capture) -> None:
    new = shop.rename_target("bulk", "batch")
    assert changes(shop, new, five) == [("by_priority", "bulk", "batch", "moved", 1)]
    assert changes(shop, new, five, rename={"bulk": "batch"}) == []
    with pytest.raises(ReplayError, match="did you mean 'bulk'"):
        diff(shop, new, five, rename={"bulks": "batch"})


def test_a_source_keeps_its_messages_when_it_moves_to_another_broker(
    shop: GatewayConfig, five: Capture
) -> None:
    new = shop.edit_source("orders", broker="work", channel="orders.queue")
    assert changes(shop, new, five) == []


def test_a_router_that_is_gone_takes_its_deliveries_along(
    shop: GatewayConfig, five: Capture
) -> None:
    new = shop.remove_router("everything")
    assert changes(shop, new, five) == [("everything", "audit", None, "removed", 4)]


def test_messages_that_become_valid_are_told(shop: GatewayConfig, five: Capture) -> None:
    new = parse_config(SHOP.replace("[low, high, critical]", "[low, high, critical, urgent]"))
    assert changes(shop, new, five) == [
        (None, "dead_letter", None, "removed", 1),
        ("by_priority", None, "drop", "added", 1),
        ("everything", None, "audit", "added", 1),
    ]


def test_the_document_tells_what_changed(shop: GatewayConfig, five: Capture) -> None:
    new = shop.edit_route("by_priority", "high", when="priority <> 'low'")
    new = new.move_route("by_priority", "high", before="critical")
    assert diff(shop, new, five).config().select("path", "change").rows() == [
        ("routers.by_priority.routes.high.when", "changed"),
        ("routers.by_priority.routes", "reordered"),
    ]


def test_promises_that_do_not_hold_are_told_with_figures(
    shop: GatewayConfig, five: Capture
) -> None:
    new = shop.edit_route("by_priority", "critical", when="priority = 'critical'")
    result = diff(shop, new, five)
    result.check(max_moved=0.2, keep=["bulk", "high"])
    with pytest.raises(ExpectationError, match=r"1 of 9 deliveries .*11\.11%.*allows 10\.00%"):
        result.check(max_moved=0.1)
    with pytest.raises(ExpectationError, match="1 deliveries of pager"):
        result.check(keep=["pager"])
    with pytest.raises(ReplayError, match="did you mean"):
        result.check(keep=["pagers"])
    assert "1 moved" in repr(result)
    assert "<table>" in result._repr_html_()


def test_a_guard_does_not_hold_over_nothing(shop: GatewayConfig, capture_of: MakeCapture) -> None:
    elsewhere = diff(shop, shop, capture_of(message(order("high"), channel="elsewhere")))
    elsewhere.check()
    for guard in ({"max_moved": 0.05}, {"keep": ["pager"]}):
        with pytest.raises(ExpectationError, match=r"no delivery could be compared: of 1 messages"):
            elsewhere.check(**guard)
