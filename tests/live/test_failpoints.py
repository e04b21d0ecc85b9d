"""A gateway that is killed at exactly one place loses nothing: each place, on real brokers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest

from gateway_lab.testing.server_process import Server
from tests.live.cases import PROTOCOLS, Case, all_cases, chosen_cases, play
from tests.live.failpoints import FAILPOINTS, OF_KAFKA

MESSAGES = 500


def test_the_chosen_cases_have_every_place_with_each_source_and_each_target() -> None:
    chosen = chosen_cases()
    assert len(set(chosen)) == 32
    assert set(chosen) <= set(all_cases())
    assert len(all_cases()) == 104
    pairs = {(case.source, case.target) for case in chosen}
    assert pairs == set(product(PROTOCOLS, PROTOCOLS))
    targets = {(case.failpoint, case.target) for case in chosen}
    assert targets == set(product(FAILPOINTS, PROTOCOLS))
    sources = {(case.failpoint, case.source) for case in chosen}
    assert sources == {
        each for each in product(FAILPOINTS, PROTOCOLS)
        if each[1] == "kafka" or each[0] not in OF_KAFKA
    }  # fmt: skip


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("case", chosen_cases(), ids=str)
def test_nothing_is_lost_wherever_a_gateway_is_killed(
    case: Case, servers: Mapping[str, Server], tmp_path: Path
) -> None:
    source, target = servers[case.source], servers[case.target]
    verdict = play(case, source, target, tmp_path, count=MESSAGES)
    assert verdict.is_clean, verdict
    assert verdict.acknowledged == MESSAGES
