"""A gateway in a process of its own, to be killed: `python -m tests.live.child CONFIG …`.

It is the real `Gateway` with the real connectors; only a failpoint, or a mutant's fault, may stand
between the two. It says on standard output, a JSON object a line, what becomes of it. SIGTERM stops it; SIGUSR1 kills it once a delivery of it
has failed and waits for its next try.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gateway_lab as gl
from gateway_lab.brokers.registry import connect
from gateway_lab.gateway.counters import State
from tests.live.books import Books
from tests.live.failpoints import FAILPOINTS, Trap, TrappedBroker, tell, trap_rebalances
from tests.live.mutants import MUTANTS


def main() -> None:
    """Run a config until told to stop, or until the failpoint is reached."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--failpoint", choices=FAILPOINTS, default="")
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--chunk", type=int, default=50)
    parser.add_argument("--member", default="member")
    parser.add_argument("--mutant", choices=MUTANTS)
    asyncio.run(_run(parser.parse_args()))


async def _run(wanted: argparse.Namespace) -> None:
    trap = Trap(wanted.failpoint, wanted.at, wanted.chunk, lambda: _books(is_killed=True))
    if trap.name == "during_rebalance":
        trap_rebalances(trap)

    def connect_trapped(*args: Any, **kwargs: Any) -> Any:
        broker: Any = connect(*args, **kwargs)
        if wanted.mutant:
            broker = MUTANTS[wanted.mutant](broker)
        return TrappedBroker(broker, trap)

    patch("gateway_lab.gateway.gateway.connect", connect_trapped).start()
    gateway = gl.Gateway(gl.read_config(wanted.config), member=wanted.member)

    def _books(*, is_killed: bool) -> dict[str, object]:
        return Books.of(gateway.stats(), is_killed=is_killed).as_json()

    stops: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def stop() -> None:
        trap.is_draining = True
        stops.append(loop.create_task(gateway.stop()))

    async def die_in_trouble() -> None:
        while not any(each.retried for each in gateway.stats().sources):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        trap.spring()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(
        signal.SIGUSR1, lambda: stops.append(loop.create_task(die_in_trouble()))
    )
    async with gateway:
        tell("started")
        await gateway.wait()
    await asyncio.gather(*stops)
    reasons = [each.reason for each in gateway.stats().sources if each.state is State.RED]
    tell("ended", books=_books(is_killed=False), reasons=reasons)


if __name__ == "__main__":
    main()
