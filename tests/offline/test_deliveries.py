from __future__ import annotations

import polars as pl

from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.offline import deliveries
from gateway_lab.offline.run import replay
from tests.offline.conftest import MakeCapture, message, order

import pytest  # isort: skip


def shown(frame: pl.LazyFrame, *columns: str) -> list[tuple[object, ...]]:
    return frame.select(columns).collect().rows()


def test_deliveries_come_by_message_then_router(shop: GatewayConfig, five: Capture) -> None:
    rows = shown(replay(shop, five).deliveries(), "seq", "router", "route", "target", "channel")
    assert rows == [
        (0, "by_priority", "critical", "pager", "pager.acme"),
        (0, "everything", "all", "audit", "audit"),
        (1, "by_priority", "high", "bulk", "bulk"),
        (1, "everything", "all", "audit", "audit"),
        (2, "by_priority", None, "drop", None),
        (2, "everything", "all", "audit", "audit"),
        (3, "by_priority", "critical", "pager", "pager.acme"),
        (3, "everything", "all", "audit", "audit"),
        (4, None, None, "dead_letter", "dead.orders"),
    ]


def test_a_value_that_cannot_stand_in_a_channel_is_a_dead_letter(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(message(order("critical", "a.*")), message(order("critical")))
    result = replay(shop, capture)
    rows = shown(result.deliveries().filter(target="pager"), "outcome", "channel", "reason")
    assert rows[0] == (
        "dead_lettered",
        "dead.orders",
        "unsafe-channel-value: pager.{tenant}: a value with a dot",
    )
    assert rows[1] == ("delivered", "pager.acme", None)
    target = result.targets().row(by_predicate=pl.col("target") == "pager", named=True)
    assert (target["delivered"], target["dead_lettered"]) == (1, 1)


def test_a_header_without_a_value_is_empty_and_without_a_name_it_is_none(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    headers = [
        {"name": "x", "value": None},
        {"name": None, "value": b"0"},
        {"name": "y", "value": b"1"},
    ]
    good = message(order("low"), headers=headers)
    capture = capture_of(message(order("urgent"), headers=headers), message(order("urgent")))
    assert replay(shop, capture_of(good)).mismatches().is_empty()
    result = replay(shop, capture)
    rows = shown(result.deliveries(rendered=True), "headers")
    assert rows == [([{"name": "x", "value": b""}, {"name": "y", "value": b"1"}],), ([],)]
    assert result.mismatches().is_empty()


@pytest.mark.parametrize(
    "passing",
    [
        {"key": b"\xff"},
        {"key": b"a\nb"},
        {"headers": [{"name": "ok", "value": b"\x00"}]},
        {"headers": [{"name": "a name", "value": b"v"}]},
    ],
    ids=["key not text", "key with a line break", "header of bytes", "header name"],
)
def test_what_a_protocol_cannot_carry_is_a_dead_letter(
    passing: dict[str, object], shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(message(order("high"), **passing), message(order("high")))
    rows = shown(replay(shop, capture).deliveries().filter(target="bulk"), "seq", "outcome")
    assert rows == [(0, "dead_lettered"), (1, "delivered")]


def test_rendered_deliveries_hold_what_is_written(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    headers = [{"name": "x-request-id", "value": b"r"}, {"name": "x-gw-id", "value": b"1"}]
    capture = capture_of(message(order("critical"), key=b"k", headers=headers))
    pager, audit = replay(shop, capture).deliveries(rendered=True).collect().rows(named=True)
    assert (pager["key"], audit["key"]) == (b"acme", b"k")
    assert pager["headers"] == [
        {"name": "x-request-id", "value": b"r"},
        {"name": "x-gw-hops", "value": b"2"},
    ]
    assert pager["body"] == capture.message(0).body


def test_spans_do_not_show(
    shop: GatewayConfig, five: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replay(shop, five).deliveries(rendered=True).collect()
    monkeypatch.setattr(deliveries, "SPAN_ROWS", 2)
    assert replay(shop, five).deliveries(rendered=True).collect().equals(whole)


def test_a_lazy_frame_can_be_narrowed_and_collected_again(
    shop: GatewayConfig, five: Capture
) -> None:
    lazy = replay(shop, five).deliveries().filter(pl.col("target") == "audit").select("seq")
    assert lazy.collect()["seq"].to_list() == [0, 1, 2, 3]
    assert lazy.head(2).collect()["seq"].to_list() == [0, 1]


def test_an_invalid_message_is_dropped_where_its_source_says_so(
    shop: GatewayConfig, five: Capture
) -> None:
    result = replay(shop.edit_source("orders", on_invalid="drop"), five)
    invalid = result.deliveries().filter(pl.col("router").is_null())
    assert shown(invalid, "target", "outcome", "channel") == [("drop", "dropped", None)]
