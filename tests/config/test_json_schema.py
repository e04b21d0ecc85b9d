"""The published schema takes what the model takes, and tells editors what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway_lab.config.json_schema import json_schema
from gateway_lab.config.yaml_text import read_text

ROOT = Path(__file__).parents[2]
CONFIGS = sorted([*(ROOT / "data").glob("*.yaml"), *(ROOT / "tests" / "config").glob("*.yaml")])


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_takes_every_shipped_config(validator: Any, path: Path) -> None:
    assert list(validator.iter_errors(read_text(path.read_text()).value)) == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_config_names_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    written = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((path.parent / written).read_text()) == json_schema()


@pytest.mark.parametrize(
    "text",
    [
        "name: x",
        "gateway_lab: 2\nname: x",
        "gateway_lab: 1\nname: x\nrotues: {}",
        "gateway_lab: 1\nname: x\ntargets: {Big: {broker: b, channel: c}}",
        "gateway_lab: 1\nname: x\nevents: {E: {oneOf: []}}",
        "gateway_lab: 1\nname: x\nbrokers: {b: kafak}",
        "gateway_lab: 1\nname: x\nrouters: {r: {source: s, unmatched: drop}}",
        "gateway_lab: 1\nname: x\ntargets: {t: {broker: b, channel: c, options: {order: best}}}",
    ],
)
def test_it_refuses_what_the_model_refuses(validator: Any, text: str) -> None:
    assert list(validator.iter_errors(read_text(text).value)) != []
