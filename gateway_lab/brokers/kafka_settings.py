"""Settings of Kafka's client: one table for all, one for reading, one for writing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import KafkaError

from gateway_lab.brokers.kafka_errors import configuration

Settings: TypeAlias = dict[str, Any]
OnError: TypeAlias = Callable[[KafkaError], None]

_SILENT = logging.getLogger("gateway_lab.brokers.kafka.client")
_SILENT.disabled = True  # the client's own lines name hosts and users; errors come by callback

_ALL: Final = MappingProxyType(
    {
        "log_level": 0,
        "logger": _SILENT,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 30_000,
    }
)
_READING: Final = MappingProxyType(
    {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # where to begin is said explicitly, at each assignment
        "partition.assignment.strategy": "cooperative-sticky",
        "allow.auto.create.topics": False,
        "check.crcs": True,
        "queued.min.messages": 10_000,
        "queued.max.messages.kbytes": 16_384,
        "fetch.queue.backoff.ms": 10,  # its default of a second would show at every full queue
        "fetch.error.backoff.ms": 100,
    }
)
_WRITING: Final = MappingProxyType(
    {
        "acks": "all",
        "enable.idempotence": True,
        "message.timeout.ms": 0,  # else it gives up after a while, and may still send the next
        "partitioner": "murmur2_random",  # as Java's clients place keys
        "linger.ms": 2,
        "message.max.bytes": 33_554_432,  # the topic's own limit is the server's to judge
        "queue.buffering.max.messages": 50_000,
        "queue.buffering.max.kbytes": 65_536,
        "topic.metadata.propagation.max.ms": 5_000,
    }
)
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def reading(
    address: Mapping[str, object], *, group: str, member: str, session_s: float
) -> Settings:
    """Return the settings of a consumer.

    Args:
        address: From `read_address`.
        group: The consumer group.
        member: The name of a static member, which takes its partitions over at once when it
            comes again; empty: a member that leaves when it closes.
        session_s: After how long a member that is silent has lost its partitions.
    """
    own: Settings = {"group.id": group, "session.timeout.ms": int(session_s * 1_000)}
    own["heartbeat.interval.ms"] = int(session_s * 1_000 / 10)
    if member:
        own["group.instance.id"] = member
    return {**_ALL, **_READING, **address, **own}


def writing(address: Mapping[str, object], on_error: OnError) -> Settings:
    """Return the settings of a producer; `on_error` hears what no message's answer tells."""
    return {**_ALL, **_WRITING, **address, "error_cb": on_error}


def asking(address: Mapping[str, object], on_error: OnError) -> Settings:
    """Return the settings of a client that only asks and creates."""
    return {**_ALL, **address, "error_cb": on_error}


def read_address(alias: str, url: str) -> Settings:
    """Read `kafka://[user:password@]host:port[,host:port…][?ca=FILE&sasl=PLAIN]`.

    `kafkas://` is the same over TLS, with the server's certificate verified. The mechanism of a
    user is SCRAM-SHA-512, unless `sasl` says otherwise.

    Raises:
        BrokerError: Of class `configuration`; it does not show the address.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    is_known = parts.scheme in {"kafka", "kafkas"} and not options.keys() - {"ca", "sasl"}
    if not is_known or not hosts or parts.path.strip("/"):
        hint = "kafka://host:port,host:port"
        raise configuration("the address cannot be read", where=f"broker {alias}", hint=hint)
    transport = "SSL" if parts.scheme == "kafkas" else "PLAINTEXT"
    settings: Settings = {"bootstrap.servers": hosts, "security.protocol": transport}
    if "ca" in options:
        settings["ssl.ca.location"] = options["ca"]
    if credentials:
        settings["security.protocol"] = f"SASL_{transport}"
        settings |= _read_credentials(alias, credentials, options.get("sasl", _MECHANISMS[-1]))
    return settings


def _read_credentials(alias: str, credentials: str, mechanism: str) -> Settings:
    if mechanism not in _MECHANISMS:
        hint = f"sasl is one of {', '.join(_MECHANISMS)}"
        raise configuration("the SASL mechanism is unknown", where=f"broker {alias}", hint=hint)
    user, _, password = credentials.partition(":")
    return {
        "sasl.mechanism": mechanism,
        "sasl.username": unquote(user),
        "sasl.password": unquote(password),
    }
