"""Overlays change what a stage may change, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.overlay import parse_overlay, read_overlay, with_overlay
from gateway_lab.config.write import to_text
from gateway_lab.errors import ConfigError

PROD = """\
overlay: 1
settings: {big_order: 5000, prefix: prod.}
retry: {attempts: 10}
sources:
  business: {options: {group: prod}, retry: {max: 1m}}
targets:
  tenant: {max_channels: 50000, options: {order: strict}}
"""


def test_it_changes_settings_options_retry_and_bounds(
    business: GatewayConfig, tmp_path: Path
) -> None:
    (tmp_path / "prod.yaml").write_text(PROD)
    config = with_overlay(business, read_overlay(tmp_path / "prod.yaml"))
    assert config.settings["big_order"].value == 5000
    assert config.settings["prefix"].value == "prod."
    assert (config.retry.attempts, config.retry.initial) == (10, "200ms")
    source = config.sources["business"]
    assert source.options == {"group": "prod"}
    assert source.retry is not None
    assert (source.retry.attempts, source.retry.max) == (3, "1m")
    assert config.targets["tenant"].max_channels == 50000
    assert config.targets["tenant"].options == {"order": "strict"}
    assert config.routers == business.routers
    assert config.digest != business.digest


def test_the_file_that_comes_out_keeps_its_comments(business: GatewayConfig) -> None:
    text = to_text(with_overlay(business, parse_overlay(PROD)))
    assert "big_order: {type: number, value: 5000}" in text
    assert "# euros" in text


def test_an_empty_overlay_changes_nothing(business: GatewayConfig) -> None:
    assert with_overlay(business, parse_overlay("overlay: 1\n")) == business


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("routers: {}", ["o.yaml:2:1: unknown key 'routers'"]),
        ("targets: {tenant: {channel: x}}", ["o.yaml:2:20: unknown key 'channel'"]),
        ("settings: {big_order: [1]}", ["o.yaml:2:23: settings.big_order: a list where"]),
        (
            "settings: {big_ordr: 1, prefix: 3}\ntargets: {tenants: {}}",
            [
                "o.yaml:2:12: the config has no 'big_ordr' in its settings",
                "o.yaml:3:11: the config has no 'tenants' in its targets",
                "o.yaml:2:25: 3 is not of type string",
            ],
        ),
    ],
)
def test_all_else_is_refused_with_its_place(
    business: GatewayConfig, text: str, problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        with_overlay(business, parse_overlay(f"overlay: 1\n{text}\n", file="o.yaml"))
    shown = [str(each) for each in caught.value.problems]
    assert len(shown) == len(problems)
    assert all(part in line for line, part in zip(shown, problems, strict=True))


def test_a_setting_is_written_as_its_value_alone() -> None:
    with pytest.raises(ConfigError, match="hint: write the value alone"):
        parse_overlay("overlay: 1\nsettings: {big_order: {value: 1}}\n")


def test_a_config_is_no_overlay() -> None:
    with pytest.raises(ConfigError, match="the key overlay is missing"):
        parse_overlay("gateway_lab: 1\nname: x\n")
