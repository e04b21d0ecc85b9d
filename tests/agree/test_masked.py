"""What a replay says of a masked capture is what it says of the capture before, or unknown."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.messages.mask import KEY_VARIABLE
from gateway_lab.offline.run import replay
from gateway_lab.testing.strategies import seeds
from tests.agree.test_ways import EXAMPLES, capture_of, configs, random_messages

EQUALITIES = (
    "t = t2",
    "n = 0",
    "n = -0.0",
    "i = 1",
    "t in ('a', 'b')",
    "e <> 'low'",
    "b = true",
    "ts = timestamp '2026-01-31T12:00:00Z'",
    "n <> o.n",
    "t is not distinct from t2",
    "not (t = 'a') and n is null",
    "i = 1 or b = false",
)


def with_private(document: dict[str, Any], rule: str, seed: int) -> GatewayConfig | None:
    """Mark some values as private, and ask for equality first; None where it has errors."""
    random, made = Random(seed), json.loads(json.dumps(document))  # noqa: S311
    for event in made["events"].values():
        for name in event["properties"]:
            if random.random() < 0.35:
                event["properties"][name]["x-private"] = True
    made["sources"]["typed"]["private"] = {"key": random.random() < 0.5}
    made["sources"]["bare"]["private"] = {"headers": random.choice(([], ["kind"]))}
    routes = made["routers"]["typed_router_0"]["routes"]
    routes.insert(0, {"name": "equal", "when": rule, "to": routes[0]["to"]})
    config = GatewayConfig.model_validate(made, strict=False)
    return config if compile_plan(config).plan else None


def known(frame: pl.DataFrame, count: str) -> dict[tuple[str, ...], tuple[Any, ...]]:
    names = ["router"] if "route" not in frame.columns else ["router", "route"]
    rows = frame.filter(pl.col(count).is_not_null()).select(*names, count, "undecided").rows()
    return {row[: len(names)]: row[len(names) :] for row in rows}


@pytest.fixture(autouse=True)
def _constants_can_be_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k")


@settings(max_examples=EXAMPLES, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(document=configs(), rule=st.sampled_from(EQUALITIES), seed=seeds())
def test_counts_of_a_masked_capture_are_those_from_before_or_unknown(
    document: dict[str, Any], rule: str, seed: int
) -> None:
    config = with_private(document, rule, seed)
    if config is None:
        return
    capture = capture_of(random_messages(120, seed))
    before, behind = replay(config, capture), replay(config, capture.mask(config))
    for told, masked, count in (
        (before.routers(), behind.routers(), "matched"),
        (before.routes(), behind.routes(), "messages"),
    ):
        assert known(masked, count).items() <= known(told, count).items()
