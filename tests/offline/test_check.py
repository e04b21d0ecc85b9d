from __future__ import annotations

from typing import Any

from gateway_lab.captures.capture import Capture
from gateway_lab.config.check import check as check_document
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.findings import Finding
from gateway_lab.offline.check import check
from tests.offline.conftest import SHOP, MakeCapture, message, order


def of(code: str, findings: tuple[Finding, ...]) -> list[Finding]:
    return [each for each in findings if each.code == code]


def test_without_a_capture_it_is_the_check_of_the_document(shop: GatewayConfig) -> None:
    assert check(shop) == check_document(shop)


def test_a_config_with_errors_is_not_replayed(shop: GatewayConfig, five: Capture) -> None:
    config = shop.edit_route("by_priority", "high", when="prio = 'high'")
    assert check(config, five) == check_document(config)


def test_values_and_types_that_are_not_declared_have_their_place(
    capture_of: MakeCapture,
) -> None:
    shop = parse_config(SHOP, file="shop.yaml")
    capture = capture_of(
        message(order("urgent")),
        message(order("low", amount="12")),
        message(order("low", currency="EUR")),
    )
    findings = check(shop, capture)
    (value,) = of("undeclared-value", findings)
    assert "priority is 'urgent' in 1 messages" in value.text
    assert (
        value.line == SHOP.splitlines().index("      priority: {enum: [low, high, critical]}") + 1
    )
    (kind,) = of("undeclared-type", findings)
    assert "amount is string in 1 messages, not number" in kind.text
    (field,) = of("undeclared-field", findings)
    assert field.text.startswith("currency is in 1 ")


def test_a_route_that_never_matched_is_noted(shop: GatewayConfig, capture_of: MakeCapture) -> None:
    findings = of("never-matched", check(shop, capture_of(message(order("low")))))
    assert [each.path for each in findings] == [
        ("routers", "by_priority", "routes", 0),
        ("routers", "by_priority", "routes", 1),
    ]


def test_too_many_channels_are_reported(shop: GatewayConfig, capture_of: MakeCapture) -> None:
    config = shop.edit_target("pager", max_channels=1)
    capture = capture_of(message(order("critical", "a")), message(order("critical", "b")))
    assert len(of("max-channels", check(config, capture))) == 1


def test_a_source_that_was_told_to_read_in_vain_is_reported(
    shop: GatewayConfig, five: Capture
) -> None:
    findings = check(shop, five, sources={"orders": "kafka:elsewhere"})
    assert len(of("source-not-captured", findings)) == 1


def test_many_fields_that_are_not_declared_are_one_finding(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    extra: dict[str, Any] = {f"x{number}": 1 for number in range(30)}
    capture = capture_of(message(order("low", **extra)), message(order("low", x7=1)))
    (field,) = of("undeclared-field", check(shop, capture))
    assert field.text.startswith(
        "30 fields are not declared; in so many messages looked at: x7 (2)"
    )
    assert field.text.endswith("and 22 more")
