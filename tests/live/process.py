"""`gateway-lab run` as a process of its own, as an operator starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

GATEWAY_LAB = Path(sys.executable).with_name("gateway-lab")
LIMIT_S = 60.0


class Process:
    """A gateway that logs to a file beside its config."""

    def __init__(self, config: Path, environ: Mapping[str, str], *options: str) -> None:
        number = len(list(config.parent.glob("run-*.log")))
        self._log = config.with_name(f"run-{number}.log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [GATEWAY_LAB, "run", str(config), *options],
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, which: signal.Signals) -> None:
        os.killpg(self._process.pid, which)

    async def ended(self) -> int:
        """Wait for its end and return its exit status."""
        return await asyncio.to_thread(self._process.wait, LIMIT_S)

    async def stop(self) -> int:
        """Ask it to end, as an operator does, and return its exit status."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text()

    def told(self) -> list[dict[str, Any]]:
        """Return what it has logged, line by line."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    async def until(self, is_so: Callable[[list[dict[str, Any]]], object]) -> None:
        """Wait until its log says something."""
        async with asyncio.timeout(LIMIT_S):
            while not is_so(self.told()):
                assert self.is_running, self.log
                await asyncio.sleep(0.02)
