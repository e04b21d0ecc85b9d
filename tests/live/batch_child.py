"""A gateway with a batch in a process of its own that kills or pauses itself at one place.

`python -m tests.live.batch_child CONFIG [before_commit|after_commit|after_publish [SIGSTOP]]`
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gateway_lab as gl
from gateway_lab.gateway.batching.batching import Collector
from gateway_lab.gateway.stores.postgres import PostgresStore
from tests.gateway.told import run_until_told

AT = 3
"""At which batch it is killed or paused."""


def main() -> None:
    config, *place = sys.argv[1:]
    if place:
        _trap(*place)
    asyncio.run(_run(Path(config)))


def _trap(place: str, which: str = "SIGKILL") -> None:
    if place == "after_publish":
        patch.object(Collector, "_done", _killing(Collector._done, which, is_before=True)).start()
    else:
        is_before = place == "before_commit"
        patched = _killing(PostgresStore.commit, which, is_before=is_before)
        patch.object(PostgresStore, "commit", patched).start()


def _killing(act: Callable[..., Any], which: str, *, is_before: bool) -> Callable[..., Any]:
    """Kill this process when something is done for the `AT`th time, before it or behind it."""
    left, number = [AT], signal.Signals[which]

    @wraps(act)
    def acting(*args: Any) -> None:
        left[0] -= 1
        if is_before and left[0] == 0:
            os.kill(os.getpid(), number)
        act(*args)
        if left[0] == 0:
            os.kill(os.getpid(), number)

    return acting


async def _run(config: Path) -> None:
    gateway = gl.Gateway(gl.read_config(config), member="one", create_channels=True)
    if gateway.config.sources["metrics"].handler:
        gateway.handler("metrics")(_handle)
    await run_until_told(gateway)


async def _handle(event: dict[str, int]) -> dict[str, int]:
    """Let messages of other keys overtake."""
    await asyncio.sleep(0.001 * (event["n"] * 7 % 13))
    return event


if __name__ == "__main__":
    main()
