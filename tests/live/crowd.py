"""Runs of one pair of brokers in which gateways come and go, killed at random or asked to leave."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Final

from gateway_lab.gateway.window import MAX_MESSAGES
from gateway_lab.testing.server_process import Server
from tests.live.blocking import wait_until
from tests.live.books import Books
from tests.live.ledger import Bounds, Verdict
from tests.live.script import MIXED, Script
from tests.live.stage import Stage

STAY_S: Final = 2.0
"""How long a member of a storm stays."""


def kill_at_random(
    source: Server, target: Server, folder: Path, *, seed: int, count: int, kills: int
) -> Verdict:
    """Kill one gateway after the other, each at a moment of the seed's choice."""
    chance = random.Random(seed)  # noqa: S311 - it chooses moments
    stage = Stage(folder, source, target, Script(seed=seed, count=count, mix=MIXED))
    stage.publish()
    for _ in range(kills):
        with stage.gateway() as child:
            child.wait_for("started")
            time.sleep(chance.uniform(0.05, 0.8))  # the fault itself: whatever happens by then
            child.signal(signal.SIGKILL)
    stage.finish()
    bounds = Bounds(
        duplicates=2 * kills * MAX_MESSAGES,
        keeps_order=source.protocol == "kafka",
        one_id=source.protocol != "rabbitmq",
        deduplicates=target.protocol == "nats",
    )
    return stage.judge(bounds)


def join_and_leave(source: Server, target: Server, folder: Path, *, count: int) -> Verdict:
    """Let one gateway work while another one joins it and leaves again every two seconds.

    Nobody is killed, so there are no duplicates, and the books of all of them balance.
    """
    stage = Stage(folder, source, target, Script(seed=count, count=count, mix=MIXED))
    books: list[Books] = []
    with stage.gateway("--member=steady", "--chunk=500") as steady:
        steady.wait_for("started")
        tenth = count // 10
        for start in range(0, count, tenth):
            stage.publish(start, start + tenth)
            with stage.gateway("--member=guest", "--chunk=500") as guest:
                guest.wait_for("started")
                time.sleep(STAY_S)  # as long as it stays
                guest.signal(signal.SIGTERM)
                books.append(Books(**guest.wait_for("ended")["books"]))
                guest.finish()
        wait_until(lambda: stage.lag() == 0, "everything is read")
        books.append(stage.stop(steady))
    books += stage.finish()
    bounds = Bounds(
        keeps_order=source.protocol == "kafka",
        one_id=source.protocol != "rabbitmq",
        deduplicates=target.protocol == "nats",
    )
    return stage.judge(bounds, books)
