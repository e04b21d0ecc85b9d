"""A server of a test: a process that is started, stopped, killed and paused."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from gateway_lab.errors import GatewayLabError

START_LIMIT_S = 90.0
"""How long a server may take to be ready: a busy machine with two cores needs 20."""

STOP_LIMIT_S = 20.0
"""How long a server may take to end when asked; then it is killed."""

PORTS = range(20_000, 32_000)
"""Below those that systems hand out to clients: no client takes one between choice and use."""

_POLL_S = 0.05
_LOG_TAIL_CHARACTERS = 2_000


_STARTER = ThreadPoolExecutor(1, "servers")
"""A thread that ends with us: a process "dies with its parent" when the thread that made it ends."""


class ServerError(GatewayLabError):
    """A server is not installed, ended by itself, or is not ready in time."""


def free_port() -> int:
    """Choose a port of loopback that nobody listens on."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerError("no free port on loopback", where=f"{PORTS.start} to {PORTS.stop}")


class Server:
    """One broker process: started, stopped, killed and paused by a test.

    Attributes:
        protocol: The protocol it speaks, as a config names it.
        install_hint: What to do where `installed` is None.
        folder: Its config, data and `server.log`; made when it starts, and left for the caller.
        settings: Lines of its config that differ from ours, by the server's own names.
        port: Where it listens on 127.0.0.1, from the first to the last start.
    """

    protocol: ClassVar[str]
    install_hint: ClassVar[str]

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, outlives_us: bool = False
    ) -> None:
        self.folder = folder
        self.settings = dict(settings or {})
        self.port = free_port()
        self._outlives_us = outlives_us
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @classmethod
    def installed(cls) -> Path | None:
        """Find what it is started from; None where this machine does not have it."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The address, as `GATEWAY_BROKER_<ALIAS>_URL` wants it."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, or start it again on its old data, and return once it answers.

        Raises:
            ServerError: It is not installed, has ended, or did not answer in `START_LIMIT_S`.
        """
        if self.installed() is None:
            hint = self.install_hint
            raise ServerError(f"no {self.protocol} server on this machine", hint=hint)
        self.folder.mkdir(parents=True, exist_ok=True)
        prefix = [] if self._outlives_us else dies_with_parent()
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            started = _STARTER.submit(
                subprocess.Popen,
                [*prefix, *self._prepare()],
                cwd=self.folder,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self._process = started.result()
        self._wait_until_ready()

    def stop(self) -> None:
        """Ask it to end, as an operator would, and wait; nothing happens if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would but for the disk."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it from doing anything while its connections stay; see `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    @property
    def pid(self) -> int | None:
        """The process that runs; None if none does. It leads a process group of its own."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def log_tail(self) -> str:
        """Return the last lines that it wrote since it was started."""
        written = self._log.read_bytes()[self._log_start :]
        return written.decode(errors="replace")[-_LOG_TAIL_CHARACTERS:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on port {self.port}>"

    # --- what each kind says of itself ---

    def _prepare(self) -> Sequence[str]:
        """Write its config and return its command line."""
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _is_ready(self) -> bool:
        raise NotImplementedError

    # --- how all of them run ---

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while not self._is_ready():
            if self.pid is None:
                raise ServerError(f"the {self.protocol} server ended:\n{self.log_tail()}")
            if time.monotonic() > limit:
                self.kill()
                raise ServerError(f"the {self.protocol} server is not ready:\n{self.log_tail()}")
            time.sleep(_POLL_S)

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        self._signal(signal.SIGCONT)  # one that is paused could not end
        self._signal(how)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            process.wait()
        self._process = None

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, which)

    def _answers(self, question: bytes, answer: bytes) -> bool:
        """Say whether it answers on its port; each protocol has a question for that."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as peer:
            peer.sendall(question)
            return answer in peer.recv(4096)
        return False


def dies_with_parent() -> list[str]:
    """Make a process end when the one that started it is killed, where the system can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []
