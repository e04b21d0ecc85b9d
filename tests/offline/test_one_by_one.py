"""A replay held to the gateway's own way, on the shipped captures."""

from __future__ import annotations

from pathlib import Path

import pytest

import gateway_lab as gl
from gateway_lab.errors import ReplayError
from gateway_lab.offline import one_by_one
from gateway_lab.offline.deliveries import deliveries

DATA = Path(__file__).parents[2] / "data"


def replayed(name: str) -> gl.Replay:
    config, capture = (
        gl.read_config(DATA / f"{name}.yaml"),
        gl.scan_capture(DATA / f"{name}.parquet"),
    )
    return gl.replay(config, capture)


@pytest.mark.parametrize("name", ["business", "users", "conversion", "observable", "payments"])
def test_both_ways_make_the_same_deliveries(name: str) -> None:
    found = replayed(name).mismatches(300, seed=5)
    assert found.is_empty()
    assert found.columns[:4] == ["way", "seq", "received", "source"]


def test_a_difference_is_shown_from_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(*arguments: object, rendered: bool) -> object:
        return deliveries(*arguments, rendered=rendered).slice(1)  # type: ignore[arg-type]

    monkeypatch.setattr(one_by_one, "deliveries", lossy)
    found = replayed("conversion").mismatches(50, seed=5)
    assert found["seq"].n_unique() == 1
    assert set(found["way"]) <= {"one by one", "replay"}
    assert "one by one" in set(found["way"])


def test_a_masked_capture_is_refused() -> None:
    config = gl.read_config(DATA / "users.yaml")
    masked = gl.scan_capture(DATA / "users.parquet").head(20).mask(config)
    with pytest.raises(ReplayError, match="masked"):
        gl.replay(config, masked).mismatches()
