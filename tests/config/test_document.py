"""The config as a value: what it shows, when two are equal."""

from __future__ import annotations

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config


def test_its_repr_counts_and_names_the_version(business: GatewayConfig) -> None:
    assert repr(business) == (
        "<GatewayConfig business-events: 4 sources, 5 routers, 7 routes, 9 targets, "
        f"{business.digest[:12]}>"
    )
    assert str(business) == repr(business)


def test_its_table_shows_every_route_and_escapes_what_it_shows(business: GatewayConfig) -> None:
    config = business.edit_route("by_priority", "high", when="priority = '<script>'")
    table = config._repr_html_()
    assert table.count("<tr>") == 1 + 7
    assert "&lt;script&gt;" in table
    assert "<script>" not in table


def test_options_and_private_headers_are_in_no_picture_of_it(business: GatewayConfig) -> None:
    config = business.edit_source("business", options={"group": "hunter2"})
    assert "hunter2" not in repr(config) + config._repr_html_() + f"{config}"


def test_configs_are_equal_by_what_they_say(business: GatewayConfig) -> None:
    same = parse_config(business.model_dump_json(exclude_unset=True))
    assert same == business
    assert hash(same) == hash(business)
    assert same != business.remove_router("by_tenant")
    assert same != "something else"


def test_a_config_can_be_made_in_python() -> None:
    config = GatewayConfig(
        name="x",
        brokers={"b": "memory"},
        sources={"s": {"broker": "b", "channel": "in"}},  # type: ignore[dict-item]
        targets={"t": {"broker": "b", "channel": "out"}},  # type: ignore[dict-item]
        routers={
            "r": {
                "source": "s",
                "match": "all",
                "routes": [{"name": "one", "to": ["t"]}],
                "unmatched": "drop",
            }  # type: ignore[dict-item]
        },
    )
    assert config.routers["r"].routes[0].to == ("t",)
    assert config.origin is None
