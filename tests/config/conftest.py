"""The config that the tests of this room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import read_config

BUSINESS = Path(__file__).parent / "business.yaml"


@pytest.fixture
def business() -> GatewayConfig:
    return read_config(BUSINESS)
