from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gateway_lab as gl
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import read_config
from gateway_lab.errors import ConfigError, ExpectationError
from gateway_lab.offline.expectations import check_expectations, export


@pytest.fixture
def file(five: Capture, tmp_path: Path) -> Capture:
    five.write(tmp_path / "five.parquet")
    return scan_capture(tmp_path / "five.parquet")


def test_an_export_promises_what_the_replay_found(
    shop: GatewayConfig, file: Capture, tmp_path: Path
) -> None:
    export(shop, tmp_path / "routes.yaml", capture=file)
    config = read_config(tmp_path / "routes.yaml")
    assert config.digest == shop.digest
    assert config.expectations is not None
    assert config.expectations.capture == "five.parquet"
    assert config.expectations.routers["by_priority"].matched == 3
    assert check_expectations(config) is not None


def test_a_count_that_changed_is_told(shop: GatewayConfig, file: Capture, tmp_path: Path) -> None:
    exported = export(shop, tmp_path / "routes.yaml", capture=file)
    edited = exported.edit_route("by_priority", "critical", when="priority = 'critical'")
    with pytest.raises(ExpectationError, match=r"targets\.pager\.delivered: 2 promised, 1 found"):
        check_expectations(edited, tmp_path)


def test_another_capture_is_told(
    shop: GatewayConfig, file: Capture, five: Capture, tmp_path: Path
) -> None:
    export(shop, tmp_path / "routes.yaml", capture=file)
    five.head(2).write(tmp_path / "five.parquet")
    with pytest.raises(ExpectationError, match="not the one that the counts were made with"):
        check_expectations(read_config(tmp_path / "routes.yaml"))


def test_a_config_without_promises_has_nothing_to_keep(shop: GatewayConfig) -> None:
    assert check_expectations(shop) is None


def test_a_capture_that_is_no_file_cannot_be_promised(
    shop: GatewayConfig, five: Capture, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="one Parquet file"):
        export(shop, tmp_path / "routes.yaml", capture=five)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda text: gl.export(text, "routes.yaml"),
        gl.check_expectations,
        gl.format_config,
        lambda text: gl.tune(text, text, {"settings.hot": [1]}, "cost"),
        gl.infer_event_type,
    ],
    ids=["export", "check_expectations", "format_config", "tune", "infer_event_type"],
)
def test_a_path_in_the_place_of_what_stands_there_is_told(ask: Callable[[Any], object]) -> None:
    with pytest.raises(gl.GatewayLabError, match=r"this is a str, and no (config|capture)"):
        ask("routes.yaml")
