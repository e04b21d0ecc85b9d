from __future__ import annotations

import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ExpectationError, ReplayError
from gateway_lab.messages.mask import KEY_VARIABLE
from gateway_lab.offline.diff import diff
from gateway_lab.offline.run import replay
from gateway_lab.offline.tune import tune
from tests.offline.conftest import SHOP, MakeCapture, message, order


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


ACCOUNTS = """
gateway_lab: 1
name: accounts
brokers: {stream: kafka}
settings: {least: {type: number, value: 10}}
events:
  Account:
    type: object
    properties:
      sum: {type: number, x-private: true}
      due: {type: number, x-private: true}
      paid: {type: boolean, x-private: true}
      at: {type: string, format: date-time, x-private: true}
      who: {type: object, x-private: true, properties: {name: {type: string}}}
sources:
  accounts: {broker: stream, channel: accounts, event: Account}
targets:
  out: {broker: stream, channel: out}
  kept: {broker: stream, channel: kept}
routers:
  router: {source: accounts, match: first, routes: [{name: equal, when: sum = due, to: [out]}], unmatched: drop}
batches:
  load: {source: accounts, size: 2, every: 5s, aggregates: {most: max(sum)}, to: [kept]}
dead_letter: {broker: stream, channel: dead}
"""


@pytest.fixture
def accounts() -> GatewayConfig:
    return parse_config(ACCOUNTS)


def account(event: dict[str, object]) -> dict[str, object]:
    return message(event, channel="accounts")


def test_zero_equals_minus_zero_behind_masks_too(
    accounts: GatewayConfig, capture_of: MakeCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k")
    whole = capture_of(account({"sum": -0.0, "due": 0.0}), account({"sum": 0, "due": 1}))
    for when, count in (("sum = due", 1), ("sum = 0", 2), ("sum = -0.0", 2)):
        config = accounts.edit_route("router", "equal", when=when)
        for capture in (whole, whole.mask(config)):
            assert replay(config, capture).routes()["messages"].to_list() == [count], when


def test_a_masked_value_may_stand_alone_in_what_is_written(
    accounts: GatewayConfig, capture_of: MakeCapture
) -> None:
    body = {"sum": "{sum}", "paid": "{paid}", "at": "{at}", "who": "{who}"}
    config = accounts.edit_target("out", channel="out.{paid}", body=body).edit_router(
        "router", unmatched=["out"]
    )
    event = {"sum": 1, "paid": False, "at": "2026-03-02T08:00:00Z", "who": {"name": "ann"}}
    result = replay(config, capture_of(account(event)).mask(config))
    (row,) = result.deliveries(rendered=True).collect().iter_rows(named=True)
    assert row["channel"].startswith("out.masked-")
    assert row["body"].count(b'"masked-') == 4


@pytest.mark.parametrize("channel", ["out.{not paid}", "out.{coalesce(who.name, 'a')}"])
def test_a_channel_that_is_calculated_of_masks_makes_counts_unknown(
    channel: str, accounts: GatewayConfig, capture_of: MakeCapture
) -> None:
    config = accounts.edit_target("out", channel=channel)
    result = replay(config, capture_of(account({"sum": 1, "due": 1, "paid": True})).mask(config))
    (finding,) = [each for each in result.findings if each.code == "masked-field"]
    assert finding.path == ("targets", "out")
    assert result.routers()["matched"].to_list() == [None]
    assert result.targets()["delivered"].to_list() == [None, 0]
    assert "→ out" not in repr(result)


def test_a_body_that_is_calculated_of_masks_is_counted_but_not_written(
    accounts: GatewayConfig, capture_of: MakeCapture
) -> None:
    config = accounts.edit_target("out", body={"sum": "{sum}", "twice": "{sum * 2}"})
    masked = capture_of(account({"sum": 1, "due": 1})).mask(config)
    result = replay(config, masked)
    assert result.targets().filter(target="out")["delivered"].to_list() == [1]
    with pytest.raises(ReplayError, match="target out calculates with a value"):
        result.deliveries(rendered=True).collect()


def test_a_batch_of_masks_is_refused(accounts: GatewayConfig, capture_of: MakeCapture) -> None:
    result = replay(accounts, capture_of(account({"sum": 1})).mask(accounts))
    with pytest.raises(ReplayError, match="batch load reads more of a value"):
        result.batches("load")


def test_a_type_that_is_chosen_by_a_mask_is_refused(capture_of: MakeCapture) -> None:
    choice = "{by: message.key, types: {a: Order}, otherwise: invalid}, private: {key: true}"
    config = parse_config(SHOP.replace("event: Order}", f"event: {choice}}}", 1))
    masked = capture_of(message(order("high"), key=b"a")).mask(config)
    with pytest.raises(ReplayError, match="the event type of orders is chosen by a value"):
        replay(config, masked)


def test_a_diff_does_not_compare_what_one_config_cannot_tell(
    accounts: GatewayConfig, capture_of: MakeCapture
) -> None:
    masked = capture_of(account({"sum": 1, "due": 1})).mask(accounts)
    unknown = accounts.edit_route("router", "equal", when="sum > settings.least")
    for old, new in ((accounts, unknown), (unknown, accounts), (unknown, unknown)):
        result = diff(old, new, masked)
        assert result.unknown == ("router",)
        assert result.flow().is_empty()
        assert result.summary().row(0) == ("router", *[None] * 6)
        assert "router: unknown, the capture is masked" in repr(result)
        with pytest.raises(ExpectationError, match="nothing can be promised of router"):
            result.check(max_moved=0.5)
    found = tune(unknown, masked, {"settings.least": [1, 10]}, "moved").frame
    assert found["moved"].to_list() == found["letters"].to_list() == [None, None]
