"""Servers that outlive the command that starts them: what `gateway-lab brokers` ups and downs.

A folder holds their data and `state.json`, which says what was started there: a process is ended
only if it is still that one, known by its number and the moment of its start.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway_lab.testing.server_process import STOP_LIMIT_S, Server, ServerError
from gateway_lab.testing.servers import SERVERS, cache_folder

_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A server that was started.

    Attributes:
        started_from: The program or folder that it was started from.
        pid: Its process, which leads a process group of its own.
        started_at: When, in ticks since the machine started; with the pid, no other process's.
    """

    protocol: str
    url: str
    started_from: str
    pid: int
    started_at: int

    @property
    def is_running(self) -> bool:
        """Whether it is still there."""
        return _started_at(self.pid) == self.started_at


class Sandbox:
    """The servers of one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "brokers"

    def servers(self) -> list[Started]:
        """Return what was started and not ended, running or not."""
        try:
            rows = json.loads(self._state.read_text())
        except FileNotFoundError:
            return []
        except ValueError:
            hint = "end what runs there by hand, and remove the folder"
            raise ServerError(
                "the state cannot be read", where=str(self._state), hint=hint
            ) from None
        return [Started(**row) for row in rows]

    def up(self, protocols: Iterable[str], tell: Callable[[str], None]) -> list[Started]:
        """Start what this machine has of some kinds, each with new data; what runs stays.

        Args:
            protocols: The kinds.
            tell: Gets a line for each kind: what became of it.

        Returns:
            What runs now, of these kinds.
        """
        running = {each.protocol: each for each in self.servers() if each.is_running}
        for each in running.values():
            tell(f"{each.protocol}: runs already, {each.started_from}, process {each.pid}")
        wanted = [each for each in dict.fromkeys(protocols) if each not in running]
        servers = [SERVERS[each](self.folder / each, outlives_us=True) for each in wanted]
        try:
            with ThreadPoolExecutor() as pool:
                started = list(pool.map(lambda one: self._start(one, tell), servers))
        except BaseException:
            for server in servers:
                server.kill()
            raise
        running |= {each.protocol: each for each in started if each}
        self._write([*running.values()])
        return [running[each] for each in dict.fromkeys(protocols) if each in running]

    def down(self, tell: Callable[[str], None]) -> None:
        """End what `up` started, nothing else, and remove its data.

        Args:
            tell: Gets a line for each server.
        """
        for each in self.servers():
            how = "ended" if each.is_running else "had ended by itself"
            _end(each)
            shutil.rmtree(self.folder / each.protocol, ignore_errors=True)
            tell(f"{each.protocol}: {how}")
        self._state.unlink(missing_ok=True)

    def _start(self, server: Server, tell: Callable[[str], None]) -> Started | None:
        program = server.installed()
        if program is None:
            tell(f"{server.protocol}: not on this machine; {server.install_hint}")
            return None
        shutil.rmtree(server.folder, ignore_errors=True)
        server.start()
        assert server.pid is not None  # noqa: S101 - it has just answered
        tell(f"{server.protocol}: started, {program}, process {server.pid}")
        return Started(
            protocol=server.protocol,
            url=server.url,
            started_from=str(program),
            pid=server.pid,
            started_at=_started_at(server.pid) or 0,
        )

    def _write(self, servers: Sequence[Started]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        written = self._state.with_suffix(".new")
        written.write_text(json.dumps([asdict(each) for each in servers], indent=2) + "\n")
        written.replace(self._state)

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"


def _started_at(pid: int) -> int | None:
    """Return when a process was started; None if it has ended, waited for or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *numbers = stat.rpartition(")")[2].split()  # its name may hold blanks
    return None if state == "Z" else int(numbers[18])


def _end(server: Started) -> None:
    limit = time.monotonic() + STOP_LIMIT_S
    for how in (signal.SIGTERM, signal.SIGKILL):
        if server.is_running:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, how)
        while server.is_running and time.monotonic() < limit:
            time.sleep(_POLL_S)
