"""Edits: each returns another config, leaves the old one, and says clearly what cannot be."""

from __future__ import annotations

import pytest

from gateway_lab.config.check import check
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config, read_config
from gateway_lab.errors import ConfigError
from gateway_lab.findings import Severity


def names(config: GatewayConfig, router: str = "by_priority") -> list[str]:
    return [route.name for route in config.routers[router].routes]


def test_a_route_is_added_at_the_end_or_before_another(business: GatewayConfig) -> None:
    last = business.add_route("by_priority", "urgent", when="priority = 'low'", to="low")
    first = business.add_route("by_priority", "urgent", to=["low", "tenant"], before="critical")
    assert names(last) == ["critical", "high", "medium", "urgent"]
    assert names(first) == ["urgent", "critical", "high", "medium"]
    assert first.routers["by_priority"].routes[0].to == ("low", "tenant")
    assert names(business) == ["critical", "high", "medium"]


def test_only_what_is_given_of_a_route_changes(business: GatewayConfig) -> None:
    edited = business.edit_route("by_priority", "high", when="priority in ('high', 'medium')")
    route = edited.routers["by_priority"].routes[1]
    assert route.when == "priority in ('high', 'medium')"
    assert route.to == ("high",)
    assert (
        edited.edit_route("by_priority", "high", when=None).routers["by_priority"].routes[1].when
        is None
    )


def test_an_edit_has_another_digest_and_back_again_the_old_one(business: GatewayConfig) -> None:
    edited = business.edit_route("by_priority", "high", when="priority = 'low'")
    assert edited.digest != business.digest
    assert (
        edited.edit_route("by_priority", "high", when="priority = 'high'").digest == business.digest
    )


def test_routes_move_and_go(business: GatewayConfig) -> None:
    assert names(business.move_route("by_priority", "medium", before="critical")) == [
        "medium",
        "critical",
        "high",
    ]
    assert names(business.move_route("by_priority", "critical")) == ["high", "medium", "critical"]
    assert names(business.remove_route("by_priority", "high")) == ["critical", "medium"]


def test_routers_are_edited_as_routes_are(business: GatewayConfig) -> None:
    config = business.add_router(
        "extra", source="business", match="all", unmatched="drop", before="by_tenant"
    )
    assert list(config.routers)[:3] == ["by_priority", "extra", "by_tenant"]
    config = config.add_route("extra", "one", to="low").edit_router("extra", match="first")
    assert config.routers["extra"].match == "first"
    assert names(config, "extra") == ["one"]
    assert list(config.move_router("extra").routers)[-1] == "extra"
    assert config.remove_router("extra") == business


def test_targets_sources_and_settings_are_edited_too(business: GatewayConfig) -> None:
    config = (
        business.add_target("spare", broker="edge", channel="spare")
        .edit_target("spare", key="{message.source}")
        .add_source("more", from_=[{"broker": "stream", "channel": "more"}])
        .edit_source("more", event="UserEvent", from_=None, broker="stream", channel="more")
        .add_setting("limit", value=3, type="integer")
        .edit_setting("limit", value=4)
    )
    assert config.targets["spare"].key == "{message.source}"
    assert [each.channel for each in config.sources["more"].addresses] == ["more"]
    assert config.settings["limit"].value == 4
    assert config.remove_target("spare").remove_source("more").remove_setting("limit") == business


@pytest.mark.parametrize(
    ("edit", "problem", "hint"),
    [
        (
            lambda c: c.add_route("by_prioriti", "x", to="low"),
            "there is no 'by_prioriti'",
            "did you mean 'by_priority'?",
        ),
        (
            lambda c: c.edit_route("by_priority", "hihg", when="x"),
            "there is no 'hihg'",
            "did you mean 'high'?",
        ),
        (
            lambda c: c.edit_route("by_priority", "high", wen="x"),
            "unknown key 'wen'",
            "did you mean 'when'?",
        ),
        (lambda c: c.edit_route("by_priority", "high", to=3), "3 where a list belongs", ""),
        (
            lambda c: c.add_route("by_priority", "high", to="low"),
            "there is already 'high'",
            "another name",
        ),
        (
            lambda c: c.add_route("by_priority", "High", to="low"),
            "name 'High' is not allowed",
            "lower-case",
        ),
        (
            lambda c: c.add_route("by_priority", "x", to="low", before="hihg"),
            "routes of by_priority: there is no 'hihg'",
            "'high'",
        ),
        (lambda c: c.add_router("x", source="business"), "2 problems", ""),
        (lambda c: c.edit_target("hihg", key="k"), "targets: there is no 'hihg'", "'high'"),
        (
            lambda c: c.edit_target("high", max_channels="3"),
            "'3' where an integer belongs",
            "without quotes",
        ),
        (lambda c: c.rename_target("high", "low"), "there is already 'low'", "another name"),
        (lambda c: c.rename_setting("bigorder", "x"), "there is no 'bigorder'", "'big_order'"),
        (lambda c: c.remove_target("high"), "still used by routers.by_priority.routes.1.to", ""),
        (lambda c: c.remove_source("metrics"), "still used by batches.load", ""),
        (lambda c: c.remove_setting("prefix"), "still used by targets.high.channel", ""),
    ],
)
def test_what_cannot_be_edited_is_told_with_a_hint(business, edit, problem, hint) -> None:
    with pytest.raises(ConfigError) as caught:
        edit(business)
    assert problem in caught.value.problem
    assert hint in caught.value.hint


def test_a_renamed_target_is_followed_everywhere(business: GatewayConfig) -> None:
    config = business.rename_target("critical", "pager").rename_target("low", "rest")
    config = config.rename_target("aggregated", "sums").rename_target("tenant", "tenants")
    assert config.routers["by_priority"].routes[0].to == ("pager",)
    assert config.routers["by_priority"].unmatched == ("rest",)
    assert config.batches["load"].to == ("sums",)
    assert [getattr(each, "target", each) for each in config.tests[0].expect] == [
        "pager",
        "tenants",
        "invoice",
    ]
    assert errors(config) == errors(business)


def test_a_renamed_source_or_router_is_followed(business: GatewayConfig) -> None:
    config = business.rename_source("business", "orders").rename_source("metrics", "numbers")
    config = config.rename_router("by_priority", "urgency")
    assert config.routers["urgency"].source == "orders"
    assert config.batches["load"].source == "numbers"
    assert config.tests[0].source == "orders"
    assert next(iter(config.routers)) == "urgency"
    assert errors(config) == errors(business)


def test_a_renamed_route_is_followed_into_tests() -> None:
    text = (
        "gateway_lab: 1\nname: x\n"
        "routers: {a: {source: s, match: all, unmatched: drop, routes: [{name: one, to: [t]}]},\n"
        "  b: {source: s, match: all, unmatched: drop, routes: [{name: one, to: [t]}, {name: two, to: [t]}]}}\n"
        "tests: [{name: t, source: s, message: {}, expect: [{route: one}, {router: a, route: one}, {route: two}]}]\n"
    )
    config = parse_config(text).rename_route("a", "one", "first").rename_route("b", "two", "second")
    assert [each.route for each in config.tests[0].expect if not isinstance(each, str)] == [
        "one",
        "first",
        "second",
    ]


def test_a_renamed_setting_is_followed_into_rules_and_templates() -> None:
    text = (
        "gateway_lab: 1\nname: x\nsettings: {a: {type: string, value: v}}\n"
        "targets: {t: {broker: b, channel: 'settings.a.{settings.a}.{{settings.a}}', description: settings.a}}\n"
        "routers: {r: {source: s, match: all, unmatched: drop, routes: [{name: one, to: [t],\n"
        '  when: "x = settings.a and y = \'settings.a\' and settings.\\"a\\" = settings . a and settings.ab = 1"}]}}\n'
    )
    config = parse_config(text).rename_setting("a", "prefix")
    assert config.targets["t"].channel == "settings.a.{settings.prefix}.{{settings.a}}"
    assert config.targets["t"].description == "settings.a"
    assert config.routers["r"].routes[0].when == (
        "x = settings.prefix and y = 'settings.a' and settings.\"prefix\" = settings . prefix and settings.ab = 1"
    )


def test_a_config_refuses_assignment(business: GatewayConfig) -> None:
    with pytest.raises(ValueError, match="frozen"):
        business.name = "y"  # type: ignore[misc]
    with pytest.raises(TypeError, match="a config never changes"):
        business.routers["x"] = business.routers["by_tenant"]  # type: ignore[index]
    with pytest.raises(TypeError, match="a config never changes"):
        business.targets.update({})  # type: ignore[attr-defined]


def test_an_edited_config_has_no_places_any_more(business: GatewayConfig) -> None:
    config = business.edit_route("by_priority", "high", when="prioritie = 'high'")
    (finding,) = [each for each in check(config) if each.code == "unknown-name"]
    assert finding.line is None
    assert finding.where == "routers.by_priority.routes.1.when"


def errors(config: GatewayConfig) -> list[str]:
    return [each.text for each in check(config) if each.severity is Severity.ERROR]


def test_a_batch_and_the_retry_can_be_edited() -> None:
    config = read_config("data/metrics.yaml")
    edited = config.edit_batch("load", size=100, every="10s").edit_retry(attempts=5, max="1m")
    assert (edited.batches["load"].size, edited.batches["load"].every) == (100, "10s")
    assert edited.batches["load"].rows == config.batches["load"].rows
    assert (edited.retry.attempts, edited.retry.max, edited.retry.initial) == (5, "1m", "200ms")
    with pytest.raises(ConfigError, match="did you mean 'load'"):
        config.edit_batch("loads", size=1)
    with pytest.raises(ConfigError, match=r"batches\.load\.size"):
        config.edit_batch("load", size=0)
    with pytest.raises(ConfigError, match=r"retry\.attempts"):
        config.edit_retry(attempts=0)
