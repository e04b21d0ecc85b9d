"""A pytest plugin: runs the `tests:` and the `expectations` of config files, an item each.

A config is collected when it is named on the command line (`pytest routes.yaml`), or when pytest
visits a file that a glob of the setting `gateway_lab_configs` matches:

    [tool.pytest]
    testpaths = ["tests", "configs"]
    gateway_lab_configs = ["configs/*.yaml"]

Every other file, and every project that does not ask, is left alone; nothing heavy is imported
before a config is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gateway_lab as gl

if TYPE_CHECKING:
    from gateway_lab.routing.tests import TestResult

SETTING = "gateway_lab_configs"
SUFFIXES = {".yaml", ".yml", ".json"}
MARK = re.compile(rb"""^\s*\{?\s*["']?gateway_lab["']?\s*:""", re.MULTILINE)
HEAD_BYTES = 64 * 1024


pytest.register_assert_rewrite(
    *(f"gateway_lab.testing.connector_{part}" for part in ("ending", "reading", "rig", "sending"))
)


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of `connector_suite`."""
    config.addinivalue_line("markers", "needs_feature(name): a test of what some brokers cannot")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project say which files are its configs."""
    parser.addini(SETTING, "globs of gateway_lab configs, relative to the root", "args", [])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ConfigFile | None:
    """Take a config that was asked for."""
    if file_path.suffix not in SUFFIXES or not _is_asked_for(file_path, parent):
        return None
    with file_path.open("rb") as file:
        if not MARK.search(file.read(HEAD_BYTES)):
            return None
    return ConfigFile.from_parent(parent, path=file_path)


def _is_asked_for(path: Path, parent: pytest.Collector) -> bool:
    globs = parent.config.getini(SETTING)
    return parent.session.isinitpath(path) or any(path.match(glob) for glob in globs)


class ConfigFile(pytest.File):
    """A config, and what it promises."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each test, and one for the expectations."""
        for number, test in enumerate(self.gateway_config.tests):
            yield ConfigTestItem.from_parent(self, name=test.name, number=number)
        if self.gateway_config.expectations is not None:
            yield ExpectationsItem.from_parent(self, name="expectations")

    @cached_property
    def gateway_config(self) -> gl.GatewayConfig:
        """The config; a file that is none fails the collection with its own words."""
        try:
            return gl.read_config(self.path)
        except gl.GatewayLabError as error:
            raise self.CollectError(str(error)) from None

    @cached_property
    def results(self) -> tuple[TestResult, ...]:
        """How the tests went; all of them run at once."""
        return gl.run_tests(self.gateway_config)


class _Item(pytest.Item):
    """Fails in our words instead of with a traceback of ours."""

    parent: ConfigFile

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> Any:
        if isinstance(excinfo.value, gl.GatewayLabError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class ConfigTestItem(_Item):
    """A message of `tests:`, and where it must go."""

    def __init__(self, *, number: int, **names: Any) -> None:
        super().__init__(**names)
        self.number = number

    def runtest(self) -> None:
        """Fail when a delivery is missing, or one too many.

        Raises:
            ExpectationError: What differs, and what happened instead.
        """
        result = self.parent.results[self.number]
        if not result.passed:
            raise gl.ExpectationError(str(result))


class ExpectationsItem(_Item):
    """The counts that an export promised, replayed."""

    def runtest(self) -> None:
        """Replay the capture that the config names, and compare the books.

        Raises:
            ExpectationError: A count differs.
        """
        gl.check_expectations(self.parent.gateway_config)
