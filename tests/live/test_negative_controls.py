"""The harness convicts who is guilty: bridges of a few lines, and mutants of the gateway.

A harness that finds nothing wrong with these would prove nothing about the gateway. Each test has
an innocent beside it: the same run without the fault, or the gateway in the bridge's place.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from gateway_lab.testing.server_process import Server
from tests.live.blocking import Blocking, wait_until
from tests.live.books import Books
from tests.live.bridge import REDIS_FIELD, unwrap
from tests.live.cases import bounds_of
from tests.live.client_redis import RedisClient
from tests.live.clients import Fresh
from tests.live.ledger import Bounds
from tests.live.script import MIXED, OUT, PLAIN, Script
from tests.live.stage import Child, Stage

pytestmark = [pytest.mark.broker, pytest.mark.slow]

MESSAGES, BEFORE = 300, 50
PLAINLY = {PLAIN: {OUT: ""}}


def bridge(stage: Stage) -> Child:
    return stage.run("tests.live.bridge", stage.name, stage.source.protocol, stage.target.protocol)


def plain_stage(folder: Path, source: Server, target: Server, makes: tuple[str, ...]) -> Stage:
    script = Script(seed=1, count=MESSAGES)
    return Stage(folder, source, target, script, ways=PLAINLY, makes=makes)


def stored(stage: Stage) -> Blocking:
    """Look at Redis as FastStream writes it."""
    url = stage.target.url
    return Blocking(stage.target, Fresh("redis", url, partial(RedisClient, url, body=REDIS_FIELD)))


def lost_by_bridge(stage: Stage) -> int:
    """Judge what a bridge has done; it changes headers, so only what is lost counts."""
    if stage.target.protocol != "redis":
        return stage.judge(Bounds()).violations["lost"]
    verdict = stage.judge(Bounds(), drain=lambda name: map(unwrap, stored(stage).drain(name)))
    return verdict.violations["lost"]


# --- bridges with the defaults of FastStream ---


@pytest.mark.parametrize("protocol", ["kafka", "rabbitmq", "nats"])
def test_a_bridge_loses_what_comes_while_its_target_is_away(
    protocol: str, servers: Mapping[str, Server], tmp_path: Path
) -> None:
    """Kafka's position is committed, RabbitMQ's message rejected, JetStream's terminated."""
    stage = plain_stage(tmp_path, servers[protocol], servers["redis"], (OUT,))
    stage.publish(0, BEFORE)
    with bridge(stage) as child:
        child.wait_for("started")
        wait_until(lambda: stage.lag() == 0, "the bridge has read what came before")
        stage.target.stop()
        try:
            stage.publish(BEFORE)
            for _ in range(BEFORE):
                child.wait_for("failed")
            wait_until(lambda: stage.lag() == 0, "the bridge has let go of what failed")
        finally:
            stage.target.start()
    assert lost_by_bridge(stage) >= BEFORE


@pytest.mark.parametrize("protocol", ["kafka", "rabbitmq", "nats"])
def test_the_same_bridge_loses_nothing_while_all_is_well(
    protocol: str, servers: Mapping[str, Server], tmp_path: Path
) -> None:
    stage = plain_stage(tmp_path, servers[protocol], servers["redis"], (OUT,))
    stage.publish()
    channel = stage.channel(OUT)
    with bridge(stage) as child:
        child.wait_for("started")
        wait_until(
            lambda: len(list(stored(stage).drain(channel))) >= MESSAGES, "all is there", limit_s=120
        )
    assert not lost_by_bridge(stage)


@pytest.mark.parametrize("protocol", ["kafka", "rabbitmq", "nats"])
def test_the_gateway_keeps_what_comes_while_its_target_is_away(
    protocol: str, servers: Mapping[str, Server], tmp_path: Path
) -> None:
    stage = Stage(
        tmp_path, servers[protocol], servers["redis"], Script(seed=1, count=MESSAGES, mix=MIXED)
    )
    stage.publish(0, BEFORE)
    with stage.gateway() as child:
        child.wait_for("started")
        wait_until(lambda: stage.lag() == 0, "the gateway has read what came before")
        stage.target.stop()
        try:
            stage.publish(BEFORE)
            child.signal(signal.SIGUSR1)
            killed = child.wait_for("killed")
        finally:
            stage.target.start()
    books = Books(**killed["books"])
    verdict = stage.judge(bounds_of(protocol, "redis", books), (books, *stage.finish()))
    assert verdict.is_clean, verdict


def test_a_bridge_to_a_queue_that_is_not_there_loses_everything(
    servers: Mapping[str, Server], tmp_path: Path
) -> None:
    rabbitmq = servers["rabbitmq"]
    stage = plain_stage(tmp_path, rabbitmq, rabbitmq, ())
    stage.publish()
    with bridge(stage) as child:
        child.wait_for("started")
        for _ in range(MESSAGES):
            child.wait_for("published")
        child.signal(signal.SIGTERM)
        child.wait_for("ended")
    assert lost_by_bridge(stage) == MESSAGES
    assert stage.lag() < MESSAGES // 2  # what is neither there nor here was acknowledged


def test_a_bridge_skips_what_redis_had_before_its_first_start(
    servers: Mapping[str, Server], tmp_path: Path
) -> None:
    stage = plain_stage(tmp_path, servers["redis"], servers["nats"], (OUT,))
    stage.publish()
    with bridge(stage) as child:
        child.wait_for("started")
        child.signal(signal.SIGTERM)
        child.wait_for("ended")
    assert lost_by_bridge(stage) == MESSAGES


# --- mutants of the gateway ---


def lost_by(mutant: str, failpoint: str, source: Server, target: Server, folder: Path) -> int:
    """Return how many messages a mutant loses that is killed at a failpoint."""
    stage = Stage(folder, source, target, Script(seed=2, count=MESSAGES, mix=MIXED))
    stage.publish()
    guilty = f"--mutant={mutant}"
    with stage.gateway(guilty, f"--failpoint={failpoint}", "--at=150", "--chunk=50") as child:
        child.wait_for("killed")
    stage.finish(guilty)
    verdict = stage.judge(Bounds(duplicates=2 * MESSAGES, one_id=False, keeps_order=False))
    return verdict.violations["lost"]


def test_a_mutant_that_settles_before_the_confirmation_is_convicted(
    servers: Mapping[str, Server], tmp_path: Path
) -> None:
    assert lost_by("early", "before_publish", servers["redis"], servers["redis"], tmp_path)


def test_a_mutant_that_does_not_wait_for_dead_letters_is_convicted(
    servers: Mapping[str, Server], tmp_path: Path
) -> None:
    redis = servers["redis"]
    assert lost_by("hasty", "after_confirm_before_settle", redis, redis, tmp_path)


def test_a_mutant_that_commits_how_far_it_has_read_is_convicted(
    servers: Mapping[str, Server], tmp_path: Path
) -> None:
    assert lost_by("positional", "before_publish", servers["kafka"], servers["redis"], tmp_path)


def test_a_mutant_that_gives_one_id_to_two_deliveries_is_convicted(
    servers: Mapping[str, Server], tmp_path: Path
) -> None:
    """JetStream takes the second for the first: it is stored nowhere, and confirmed."""
    stage = Stage(
        tmp_path, servers["redis"], servers["nats"], Script(seed=3, count=MESSAGES, mix=MIXED)
    )
    stage.publish()
    books = stage.finish("--mutant=forgetful")
    verdict = stage.judge(Bounds(), books)
    both = MESSAGES // len(MIXED) * MIXED.count("both")
    assert verdict.violations["lost"] >= both
    assert verdict.violations["books"]
