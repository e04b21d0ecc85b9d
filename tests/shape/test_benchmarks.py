from __future__ import annotations

import sys

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import replay


@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--hlep", 2)])
def test_benchmarks_that_are_asked_for_help_measure_nothing(
    option: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", option])
    monkeypatch.setattr(replay, "measure", lambda: pytest.fail("it measures"))
    with pytest.raises(SystemExit) as ended:
        benchmarks.main()
    assert ended.value.code == code
