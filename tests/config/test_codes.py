"""The catalogue of findings and the code that reports them know the same codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway_lab.config.codes import CODES
from gateway_lab.rules.codes import RULE_CODES

PACKAGE = Path(__file__).parents[2] / "gateway_lab"


def source() -> str:
    paths = [path for path in PACKAGE.rglob("*.py") if not path.name.startswith("codes")]
    return "\n".join(path.read_text() for path in sorted(paths))


def test_every_code_of_the_catalogue_is_reported_somewhere() -> None:
    written = source()
    assert [code for code in CODES if f'"{code}"' not in written] == []


def test_every_code_of_a_rule_is_in_the_catalogue() -> None:
    assert set(RULE_CODES) - set(CODES) == set()


def test_every_code_that_is_reported_is_in_the_catalogue() -> None:
    findings = re.findall(r"(?:code=|report\.add\(\s*)\"([a-z-]+)\"", source())
    assert len(findings) > 40
    assert set(findings) - set(CODES) == set()


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_explained(code: str) -> None:
    entry = CODES[code]
    assert entry.title.endswith(".")
    assert entry.paragraph.endswith(".")
    assert len(entry.paragraph) > 60
