"""All four brokers in a ring, a gateway a hop, and each of them is killed on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gateway_lab.testing.server_process import Server
from gateway_lab.testing.servers import SERVERS
from tests.live.crowd import kill_at_random
from tests.live.ring import Fault, Ring, seeded_faults
from tests.live.script import Script
from tests.live.settings import SETTINGS

MESSAGES, LEAD = 10_000, 4_000


def test_faults_are_the_same_for_the_same_seed_and_stand_in_order() -> None:
    faults = seeded_faults(5, gateways=5, brokers=2, pauses=1)
    assert faults == seeded_faults(5, gateways=5, brokers=2, pauses=1)
    assert faults != seeded_faults(6, gateways=5, brokers=2, pauses=1)
    assert [each.at for each in faults] == sorted(each.at for each in faults)
    assert [each.what for each in faults].count("kill gateway") == 5


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Server]]:
    """Servers that nobody else uses, for they are killed."""
    folder = tmp_path_factory.mktemp("ring")
    servers = {each: SERVERS[each](folder / each, settings=SETTINGS[each]) for each in SERVERS}
    try:
        for each in servers.values():
            each.start()
        yield servers
    finally:
        for each in servers.values():
            each.kill()


@pytest.mark.broker
@pytest.mark.slow
def test_nothing_is_lost_on_the_way_round_when_each_gateway_is_killed(
    own_servers: Mapping[str, Server], tmp_path: Path
) -> None:
    faults = [Fault(0.1 + 0.15 * hop, "kill gateway", hop) for hop in (1, 2, 3, 4)]
    ring = Ring(tmp_path, own_servers, Script(seed=4, count=MESSAGES), lead=LEAD)
    verdict = ring.run(faults).verdict
    assert verdict.is_clean, verdict
    assert verdict.acknowledged == MESSAGES


@pytest.mark.broker
@pytest.mark.slow
def test_nothing_is_lost_on_the_way_round_when_brokers_are_killed_and_paused(
    own_servers: Mapping[str, Server], tmp_path: Path
) -> None:
    faults = [Fault(0.1 + 0.15 * hop, "kill broker", hop) for hop in (1, 2, 3, 4)]
    faults.append(Fault(0.8, "pause broker", 2))
    ring = Ring(tmp_path, own_servers, Script(seed=8, count=MESSAGES), lead=LEAD)
    verdict = ring.run(faults).verdict
    assert verdict.is_clean, verdict


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize(("source", "target"), [("kafka", "rabbitmq"), ("nats", "redis")])
def test_nothing_is_lost_when_gateways_are_killed_at_random_moments(
    source: str, target: str, own_servers: Mapping[str, Server], tmp_path: Path
) -> None:
    servers = own_servers[source], own_servers[target]
    verdict = kill_at_random(*servers, tmp_path, seed=11, count=3_000, kills=5)
    assert verdict.is_clean, verdict
