from __future__ import annotations

import polars as pl
import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ReplayError
from gateway_lab.messages.mask import show_private
from gateway_lab.offline.books import check_books
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from tests.offline.conftest import MakeCapture, message, order


@pytest.fixture
def result(shop: GatewayConfig, five: Capture) -> Replay:
    return replay(shop, five)


def test_the_text_begins_with_the_books(result: Replay) -> None:
    lines = repr(result).splitlines()
    assert lines[0].endswith("5 messages: orders 5")
    assert "  by_priority: 3 matched + 1 unmatched + 1 invalid = 5" in lines
    assert "  → pager: 2 delivered + 0 dropped + 0 dead_lettered = 2" in lines
    assert "<table>" in result._repr_html_()


def test_routes_come_in_the_order_of_the_document(result: Replay) -> None:
    rows = result.routes().select("route", "messages", "share").rows()
    assert rows == [("critical", 2, 0.4), ("high", 1, 0.2), ("all", 4, 0.8), ("all", 0, None)]


def test_flow_accounts_for_every_delivery(result: Replay) -> None:
    assert result.flow()["deliveries"].sum() == result.deliveries().collect().height
    assert result.targets()["deliveries"].sum() == result.flow()["deliveries"].sum()


def test_over_time_accounts_for_every_delivery(result: Replay) -> None:
    steps = result.over_time("2s")
    assert steps["deliveries"].sum() == result.flow()["deliveries"].sum()
    assert steps["time"].n_unique() == 3


def test_a_time_step_is_checked(result: Replay) -> None:
    with pytest.raises(ReplayError, match="write it like 10s"):
        result.over_time("soon")


def test_channels_count_what_is_delivered(shop: GatewayConfig, capture_of: MakeCapture) -> None:
    orders = [message(order("critical", tenant)) for tenant in ("a", "b", "a", "a b")]
    rows = (
        replay(shop, capture_of(*orders)).channels().select("target", "channel", "messages").rows()
    )
    assert [(target, count) for target, _, count in rows] == [
        ("pager", 2),
        ("pager", 1),
        ("audit", 4),
    ]
    assert rows[0][1].startswith("pager.masked")
    assert rows[2][1] == "audit"


def test_unmatched_messages_are_listed(result: Replay) -> None:
    assert result.unmatched().select("seq", "router").collect().rows() == [(2, "by_priority")]


def test_more_channels_than_may_be_live_are_a_finding(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    config = shop.edit_target("pager", max_channels=1)
    two = capture_of(message(order("critical", "a")), message(order("critical", "b")))
    one = capture_of(message(order("critical", "a")), message(order("low", "b")))
    assert [each.code for each in replay(config, two).findings if each.path[1] == "pager"]
    assert "max-channels" not in {each.code for each in replay(config, one).findings}
    assert replay(config, two).targets()["delivered"].sum() == 4


def test_a_sample_is_the_same_each_time_and_another_with_another_seed(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(*(message(order("high")) for _ in range(50)))
    result = replay(shop, capture)
    first = result.sample(5, seed=1, target="bulk")
    assert first.equals(result.sample(5, seed=1, target="bulk"))
    assert first["seq"].to_list() != result.sample(5, seed=2, target="bulk")["seq"].to_list()
    assert set(first["target"]) == {"bulk"}


def test_a_sample_of_something_unknown_is_refused(result: Replay) -> None:
    with pytest.raises(ReplayError, match="did you mean 'pager'"):
        result.sample(target="pagers")
    with pytest.raises(ReplayError, match="filter by"):
        result.sample(topic="pager")


def test_private_values_are_masked_in_a_sample_until_they_are_asked_for(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    result = replay(shop, capture_of(message(order("critical", "secret"))))
    assert "secret" not in str(result.sample().rows())
    assert "secret" not in str(result.channels().rows())
    show_private()
    try:
        assert "pager.secret" in result.channels()["channel"].to_list()
        assert result.sample(target="pager")["channel"].to_list() == ["pager.secret"]
        assert "secret" in result.sample()["body"][0]
    finally:
        show_private(show=False)


def test_a_channel_is_masked_for_what_stands_in_it_and_not_for_its_dead_letters(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    config = shop.edit_source("orders", private={"key": True})
    config = config.edit_source(
        "orders", dead_letter={"broker": "edge", "channel": "dead.{message.key}"}
    )
    result = replay(config, capture_of(message(order("critical", "a.b"), key=b"k")))
    assert result.channels()["channel"].to_list() == ["audit"]
    shown = dict(result.sample().select("target", "channel").rows())
    assert shown["audit"] == "audit"
    assert shown["pager"].startswith("dead.masked:")


def test_books_that_do_not_balance_are_an_error(result: Replay) -> None:
    key = next(iter(result.tally.results))
    result.tally.results[key] = (99, 0)
    with pytest.raises(ReplayError, match="do not balance"):
        check_books(result.tally)


def test_an_unknown_batch_is_refused(result: Replay) -> None:
    with pytest.raises(ReplayError, match="no batch 'load'"):
        result.batches("load")


def test_frames_are_whole_numbers_and_names(result: Replay) -> None:
    assert result.targets().schema["deliveries"] == pl.Int64
    assert result.targets()["broker"].to_list()[:3] == ["work", "edge", "stream"]
