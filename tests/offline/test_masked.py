from __future__ import annotations

import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.messages.mask import KEY_VARIABLE
from gateway_lab.offline.run import replay
from tests.offline.conftest import MakeCapture, message, order


@pytest.fixture
def masked(shop: GatewayConfig, five: Capture) -> Capture:
    return five.mask(shop)


def test_verdicts_are_those_from_before_masking(
    shop: GatewayConfig, five: Capture, masked: Capture
) -> None:
    assert replay(shop, masked).invalid().rows() == replay(shop, five).invalid().rows()
    assert replay(shop, masked).routers().equals(replay(shop, five).routers())


def test_a_mask_may_stand_in_a_channel_like_the_value(shop: GatewayConfig, masked: Capture) -> None:
    channels = replay(shop, masked).channels().filter(target="pager")
    assert channels["messages"].to_list() == [2]
    assert channels["channel"][0].startswith("pager.masked")


@pytest.mark.parametrize(
    "when", ["tenant like 'a%'", "lower(tenant) = 'acme'", "tenant = 'acme'", "tenant > 'a'"]
)
def test_what_a_mask_has_not_kept_makes_counts_unknown_and_not_zero(
    when: str, shop: GatewayConfig, masked: Capture
) -> None:
    result = replay(shop.edit_route("by_priority", "high", when=when), masked)
    (finding,) = [each for each in result.findings if each.code == "masked-field"]
    assert finding.path == ("routers", "by_priority", "routes", 1, "when")
    unknown = result.routers().filter(router="by_priority")
    assert unknown["matched"].to_list() == unknown["messages"].to_list() == [None]
    known = dict(result.targets().select("target", "delivered").rows())
    assert (known["bulk"], known["pager"], known["audit"]) == (None, None, 4)


@pytest.mark.parametrize(("when", "count"), [("tenant is null", 0), ("tenant is not null", 2)])
def test_whether_a_masked_value_is_there_can_be_told(
    when: str, count: int, shop: GatewayConfig, masked: Capture
) -> None:
    result = replay(shop.edit_route("by_priority", "high", when=when), masked)
    assert result.routes().filter(route="high")["messages"].to_list() == [count]


def test_with_the_key_equality_can_be_told(
    shop: GatewayConfig, capture_of: MakeCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k")
    config = shop.edit_route("by_priority", "high", when="tenant in ('acme', 'x')")
    capture = capture_of(message(order("low")), message(order("low", "other"))).mask(shop)
    assert replay(config, capture).routes().filter(route="high")["messages"].to_list() == [1]
