from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import gateway_lab as gl
from gateway_lab.offline import decide
from gateway_lab.offline.cache import CACHE

DATA = Path(__file__).parents[2] / "data"
ROUTES = 3 * decide.BLOCK


@pytest.fixture(scope="module")
def capture() -> gl.Capture:
    return gl.scan_capture(DATA / "business.parquet").head(600)


@pytest.fixture(scope="module", params=["first", "all"])
def config(request: pytest.FixtureRequest) -> gl.GatewayConfig:
    """A config with more routes than are decided together."""
    config = gl.read_config(DATA / "business.yaml").edit_router("by_tenant", match=request.param)
    for number in range(ROUTES):
        when = f"tenant_id <> 'shop-{number % 50:02}' and payload.amount > {number * 20}"
        config = config.add_route("by_tenant", f"r{number}", when=when, to=["low"])
    return config.move_route("by_tenant", "tenant").edit_route(
        "by_tenant", "r40", when="payload.amount > 1e9"
    )


def counts(config: gl.GatewayConfig, capture: gl.Capture) -> list[object]:
    result = gl.replay(config, capture)
    return [result.routers().rows(), result.routes().rows(), result.targets().rows()]


def test_many_routes_are_decided_as_they_are_one_by_one(
    config: gl.GatewayConfig, capture: gl.Capture
) -> None:
    assert gl.replay(config, capture).mismatches(n=600).is_empty()


def test_what_is_kept_of_blocks_of_routes_counts_as_if_nothing_were_kept(
    config: gl.GatewayConfig, capture: gl.Capture
) -> None:
    edits = [
        config,
        config.edit_route("by_tenant", "r50", when="priority = 'low'"),
        config.edit_route("by_tenant", "r5", enabled=False),
        config.remove_route("by_tenant", "r5"),
        config.move_route("by_tenant", "r70", before="r1"),
        config.edit_route("by_tenant", "r90", when=None),
    ]
    kept = [counts(each, capture) for each in edits]
    for edit, found in zip(edits, kept, strict=True):
        CACHE.clear()
        assert found == counts(edit, capture)


def test_an_edit_decides_nothing_else_anew(
    config: gl.GatewayConfig, capture: gl.Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts(config, capture)
    decided: list[int] = []
    block = decide._block

    def watched(segments: Sequence[decide.Segment], *rest: Any) -> decide.Block:
        decided.append(len(segments))
        return block(segments, *rest)

    monkeypatch.setattr(decide, "_block", watched)
    counts(config.edit_route("by_priority", "critical", when="payload.amount > 77"), capture)
    assert sum(decided) == len(config.routers["by_priority"].routes)
    decided.clear()
    counts(config.edit_route("by_tenant", "r33", when="payload.amount > 77"), capture)
    assert len(decided) == 1
    assert decided[0] <= decide.BLOCK
