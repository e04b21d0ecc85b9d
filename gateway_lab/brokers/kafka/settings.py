"""Settings of Kafka's client: one table for all, one for reading, one for writing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from confluent_kafka import KafkaError

from gateway_lab.brokers.addresses import read_address
from gateway_lab.brokers.kafka.errors import configuration

OnError: TypeAlias = Callable[[KafkaError], None]


class Settings(dict[str, Any]):
    """Settings by the client's names; the password is among them, so `repr` shows none.

    Attributes:
        may_talk_to: Says whether hosts may be talked to, as `Address` does.
    """

    may_talk_to: Callable[[Iterable[str]], bool]

    def __repr__(self) -> str:
        return f"<{len(self)} settings>"


_SILENT = logging.getLogger("gateway_lab.brokers.kafka.client")
_SILENT.disabled = True  # the client's own lines name hosts and users; errors come by callback

_ALL: Final = MappingProxyType(
    {
        "log_level": 0,
        "logger": _SILENT,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 10_000,  # so soon a deleted topic is noticed
        "allow.auto.create.topics": False,  # a producer's too: it would make a deleted topic anew
    }
)
_READING: Final = MappingProxyType(
    {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # where to begin is said explicitly, at each assignment
        "partition.assignment.strategy": "cooperative-sticky",
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
        address: From `read_settings`.
        group: The consumer group.
        member: The name of a static member, which takes its partitions over at once when it
            comes again; empty: a member that leaves when it closes.
        session_s: After how long a member that is silent has lost its partitions.
    """
    own: dict[str, Any] = {"group.id": group, "session.timeout.ms": int(session_s * 1_000)}
    own["heartbeat.interval.ms"] = int(session_s * 1_000 / 10)
    if member:
        own["group.instance.id"] = member
    return Settings({**_ALL, **_READING, **address, **own})


def writing(address: Mapping[str, object], on_error: OnError) -> Settings:
    """Return the settings of a producer; `on_error` hears what no message's answer tells."""
    return Settings({**_ALL, **_WRITING, **address, "error_cb": on_error})


def asking(address: Mapping[str, object], on_error: OnError) -> Settings:
    """Return the settings of a client that only asks and creates."""
    return Settings({**_ALL, **address, "error_cb": on_error})


def read_settings(alias: str, url: str) -> Settings:
    """Read `kafka://[user:password@]host:port[,host:port…][?sasl=PLAIN]`.

    `kafkas://` is the same over TLS. The mechanism of a user is SCRAM-SHA-512, unless `sasl` says
    otherwise.

    Raises:
        BrokerError: Of class `configuration`; it does not show the address.
    """
    address = read_address(alias, url, "kafka")
    if address.place or (address.user is None) != (address.password is None):
        hint = "kafka://user:password@host:port,host:port, and nothing behind the hosts"
        raise configuration("the address cannot be read", where=f"broker {alias}", hint=hint)
    transport = "SSL" if address.tls else "PLAINTEXT"
    settings = Settings({"bootstrap.servers": address.host_list(), "security.protocol": transport})
    settings.may_talk_to = address.may_talk_to
    files = address.files
    named = {"ca": files.ca, "certificate": files.cert, "key": files.key or files.cert}
    settings |= {f"ssl.{name}.location": file for name, file in named.items() if file}
    if address.user is not None:
        mechanism = address.options.get("sasl", _MECHANISMS[-1])
        if mechanism not in _MECHANISMS:
            hint = f"sasl is one of {', '.join(_MECHANISMS)}"
            raise configuration("the SASL mechanism is unknown", where=f"broker {alias}", hint=hint)
        settings["security.protocol"] = f"SASL_{transport}"
        settings["sasl.mechanism"] = mechanism
        settings |= {"sasl.username": address.user, "sasl.password": address.password}
    return settings
