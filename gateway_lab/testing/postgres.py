"""A real PostgreSQL for tests, from what this machine has: a process of its own on loopback.

It refuses to run as root, and another user cannot look into a root's temporary folders: so its
data lies in a folder of its own under the system's, which goes when the server is left.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway_lab.testing.server_process import Server, dies_with_parent

_USER: Final = "postgres"


class PostgresServer(Server):
    """PostgreSQL with one database, `postgres`, that everybody on loopback may use."""

    protocol = "postgresql"
    install_hint = "install the package postgresql"

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, outlives_us: bool = False
    ) -> None:
        super().__init__(folder, settings=settings, outlives_us=outlives_us)
        self._data = Path(tempfile.mkdtemp(prefix="gateway_lab_postgresql_"))

    @classmethod
    def installed(cls) -> Path | None:
        """Find the folder of its programs; Debian keeps them off PATH, by version."""
        found = shutil.which("initdb")
        if found:
            return Path(found).resolve().parent
        return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

    @property
    def url(self) -> str:
        """`postgresql://user@host:port/database`."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """Ask it to end without waiting for its clients."""
        self._end(signal.SIGINT)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def _prepare(self) -> Sequence[str]:
        programs = self.installed()
        if not (self._data / "PG_VERSION").exists():
            if os.geteuid() == 0:
                shutil.chown(self._data, _USER, _USER)
            options = f"-D {self._data} -U {_USER} -A trust -E UTF8 --no-sync --no-instructions"
            subprocess.run(  # noqa: S603 - our own words
                self._as_user(f"{programs}/initdb {options}"), check=True, capture_output=True
            )
        own = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "20",
            "shared_buffers": "32MB",
        }
        flags = shlex.join(
            part for each in (own | self.settings).items() for part in ("-c", "=".join(each))
        )
        return self._as_user(f"exec {programs}/postgres -D {self._data} {flags}")

    def _as_user(self, command: str) -> list[str]:
        change = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups"]
        prefix = [*change, *dies_with_parent()[1:]] if os.geteuid() == 0 else []
        return [*prefix, "sh", "-c", f"cd {self._data} && {command}"]

    def _is_ready(self) -> bool:
        # The question whether it speaks TLS; before it is ready it closes without an answer to
        # the first words of a session.
        words = b"user\0" + _USER.encode() + b"\0database\0postgres\0\0"
        start = (len(words) + 8).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + words
        return self._answers(start, b"server_version")
