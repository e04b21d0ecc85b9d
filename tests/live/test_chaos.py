"""The full tier's own bookkeeping: what is done is not done again, and nothing bad is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live import chaos
from tests.live.chaos import Bench, Line, Unit, is_clean, left, read_lines, run_unit
from tests.live.ledger import Bounds, Ledger
from tests.live.script import Script
from tools import chaos_page

CLEAN: Line = {"acknowledged": 10, "violations": {}}


def unit(name: str, line: Line | None = None) -> Unit:
    return Unit(name, lambda _: CLEAN if line is None else line)


def test_the_full_tier_is_as_large_as_it_says() -> None:
    names = [each.name for each in chaos.units()]
    assert len(set(names)) == len(names)
    kinds = [name.partition("-")[0] for name in names]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "ring": 10, "failpoint": 104, "random": 4, "members": 4, "equal": 16,
    }  # fmt: skip
    assert chaos.RING_SLICES * chaos.RING_MESSAGES == 1_000_000
    faults = chaos.RING_FAULTS
    in_all = [chaos.RING_SLICES * faults[each] for each in ("gateways", "brokers", "pauses")]
    assert in_all == [50, 10, 10]


def test_a_run_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    every = [unit("a"), unit("b", {"violations": {"lost": 1}, "examples": {}}), unit("c")]
    bench = Bench(tmp_path)
    assert chaos._run_all(every[:2], bench, results, float("inf")) == 1
    assert [each.name for each in left(read_lines(results), every)] == ["b", "c"]
    assert chaos._run_all([unit("b"), unit("c")], bench, results, float("inf")) == 0
    assert left(read_lines(results), every) == []
    assert [line["unit"] for line in read_lines(results)] == ["a", "b", "b", "c"]


def test_no_unit_begins_when_the_time_is_up(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    assert chaos._run_all([unit("a")], Bench(tmp_path), results, 0.0) == 0
    assert read_lines(results) == []


def test_a_unit_that_breaks_off_is_not_clean(tmp_path: Path) -> None:
    def break_off(_: Bench) -> Line:
        raise TimeoutError("waited for this")

    line = run_unit(Unit("a", break_off), Bench(tmp_path), "v1")
    assert not is_clean(line)
    assert line["error"] == "TimeoutError: waited for this"


def test_what_a_ledger_convicts_of_is_in_the_line() -> None:
    ledger = Ledger(Script(seed=1, count=2))
    ledger.acknowledge([0, 1])
    line = chaos._line(ledger.judge(Bounds(), lag={"kafka": 0}))
    assert line["violations"] == {"lost": 2}
    assert line["examples"] == {"lost": ["0 is not in out", "1 is not in out"]}
    assert not is_clean(line)


def test_the_page_shows_the_last_line_of_each_unit_and_hides_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.jsonl"
    monkeypatch.setattr(chaos_page, "RESULTS", results)
    lost = {"acknowledged": 10, "violations": {"lost": 3}, "examples": {}}
    every = [
        unit("ring-01", lost),
        unit("failpoint-mid_fanout-nats-redis"),
        unit("failpoint-mid_fanout-redis-nats", lost),
    ]
    chaos._run_all(every, Bench(tmp_path), results, float("inf"))
    page = chaos_page.chaos_page()
    assert "1 of 3 units clean; 30 messages, 6 lost" in page
    assert page.count("**3 lost**") == 2
    chaos._run_all([unit("ring-01")], Bench(tmp_path), results, float("inf"))
    page = chaos_page.chaos_page()
    assert "2 of 3 units clean; 30 messages, 3 lost" in page
    assert "1 unit was not clean at first" in page
    assert "1 time lost" in page
