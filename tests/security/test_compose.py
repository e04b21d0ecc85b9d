"""The brokers for Docker: no Docker here, so the file is held to its schema and to its promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway_lab.protocols.registry import PROTOCOLS

FILE = Path(__file__).parents[2] / "compose.yaml"
COMPOSE: dict[str, Any] = YAML(typ="safe").load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_file_is_what_the_specification_says() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(FILE)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_there_is_a_service_for_each_protocol() -> None:
    assert set(SERVICES) == set(PROTOCOLS) - {"memory"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_kept_watched_and_on_loopback_alone(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\d+\.\d+\.\d+(-alpine)?$", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert [volume.partition(":")[0] for volume in service["volumes"]] == [name]
    assert name in COMPOSE["volumes"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert not service.keys() & {"privileged", "network_mode", "cap_add", "pid"}
