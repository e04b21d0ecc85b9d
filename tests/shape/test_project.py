"""One list of what is needed: pyproject.toml; everything made from it is in step."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.docs import PAGES
from tools.environment import environment

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


def wanted() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    groups = PROJECT["dependency-groups"].values()
    lines = [PROJECT["project"]["dependencies"], *extras, *groups]
    return [Requirement(line) for each in lines for line in each if "gateway-lab[" not in line]


def pins() -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(Version(version))
    return found


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_meets_pyproject(requirement: Requirement) -> None:
    versions = pins().get(canonicalize_name(requirement.name))
    assert versions, f"{requirement} is not locked: make lock"
    assert all(version in requirement.specifier for version in versions)


def test_the_lock_names_no_package_index() -> None:
    assert "://" not in LOCK


def test_every_locked_version_has_a_hash() -> None:
    entries = re.split(r"\n(?=[a-z0-9])", LOCK)
    assert [
        entry.split(" ")[0] for entry in entries if "==" in entry and "--hash" not in entry
    ] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_is_made_from_code_is_in_step(page: str) -> None:
    assert (ROOT / page).read_text() == PAGES[page](), "make docs"


def test_an_extra_that_the_environment_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nrequires-python = ">=3.11"\n[project.optional-dependencies]\nlab = []\n'
    )
    with pytest.raises(KeyError, match="no extra called brokers"):
        environment(tmp_path / "pyproject.toml")
