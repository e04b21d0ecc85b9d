"""From an alias of a config to a connection: which connector, at which address.

Addresses come from the environment alone, so that no config, capture or log ever holds one. A
connector is imported when a config uses it: only its client library has to be installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import cast

from gateway_lab.brokers.addresses import GRAMMARS, read_address, with_password_file
from gateway_lab.brokers.contract import Broker, BrokerError, Failure, FailureClass
from gateway_lab.brokers.memory.broker import MemoryBroker
from gateway_lab.brokers.variables import address_variable, password_variable
from gateway_lab.config.durations import duration_us
from gateway_lab.errors import MissingExtraError

LEASE_VARIABLE = "GATEWAY_LEASE"
"""After how long a silent process loses what it holds, such as 30s; unset: each protocol's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Where a protocol's connector is.

    Attributes:
        module: Its module, imported when first asked for.
        factory: The class in it; called with alias, address, `gateway` and `member`.
        package: The client library that it needs, as one imports it; empty if none.
        lease: The factory's name for the seconds of `GATEWAY_LEASE`; empty if it has none.
    """

    module: str
    factory: str
    package: str
    lease: str = ""


CONNECTORS: Mapping[str, Connector] = MappingProxyType(
    {
        "kafka": Connector(
            module="gateway_lab.brokers.kafka.broker",
            factory="KafkaBroker",
            package="confluent_kafka",
            lease="session_s",
        ),
        "rabbitmq": Connector(
            module="gateway_lab.brokers.rabbitmq.broker",
            factory="RabbitmqBroker",
            package="aiormq",
        ),
        "nats": Connector(
            module="gateway_lab.brokers.nats.broker",
            factory="NatsBroker",
            package="nats",
            lease="lease_s",
        ),
        "redis": Connector(
            module="gateway_lab.brokers.redis.broker",
            factory="RedisBroker",
            package="redis",
            lease="lease_s",
        ),
        "memory": Connector(
            module="gateway_lab.brokers.memory.broker",
            factory="MemoryBroker",
            package="",
        ),
    }
)
"""The connectors, by the protocol that a config gives to an alias."""


def connect(
    alias: str,
    protocol: str,
    environ: Mapping[str, str] = os.environ,
    *,
    gateway: str = "",
    member: str = "",
) -> Broker:
    """Return the connection of an alias, not opened yet.

    Args:
        alias: As `brokers` of a config names it.
        protocol: Its protocol there.
        environ: Where `GATEWAY_BROKER_<ALIAS>_URL` is looked up, and `…_PASSWORD_FILE`.
            `memory://NAME` stands in for a broker of any protocol, inside this process; an alias
            of memory needs no address.
        gateway: The name of the config: it begins the names of groups and durable consumers, so
            that two gateways each get all messages of a channel.
        member: Names this process among those that share the gateway's groups: the same at each
            of its starts, and no other's. Empty: it has no name that lasts.

    Raises:
        BrokerError: Of class `configuration`: there is no address, it cannot be read, or it would
            send what is not encrypted to another machine.
        MissingExtraError: The protocol's client library is not installed.
    """
    url = broker_url(alias, protocol, environ)
    if url.startswith("memory://"):
        return MemoryBroker(alias, url, protocol, gateway=gateway, member=member)
    lease = _lease(protocol, environ)
    return _load(protocol)(alias, url, gateway=gateway, member=member, **lease)


def require_server(alias: str, protocol: str, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse an alias that several processes could not share; nothing is connected.

    Raises:
        BrokerError: As `connect`, and for memory, which is inside one process.
        MissingExtraError: As `connect`.
    """
    url = _address(alias, protocol, environ)
    if url.startswith("memory://"):
        failure = Failure(FailureClass.CONFIGURATION, "memory is inside one process")
        raise BrokerError(failure, where=f"broker {alias}", hint="run one worker")
    read_address(alias, url, protocol)
    _load(protocol)


def _lease(protocol: str, environ: Mapping[str, str]) -> dict[str, float]:
    """Read after how long the messages of a process that is silent go to another one."""
    keyword, written = CONNECTORS[protocol].lease, environ.get(LEASE_VARIABLE, "").strip()
    if not keyword or not written:
        return {}
    with suppress(ValueError, KeyError):
        if seconds := duration_us(written) / 1e6:
            return {keyword: seconds}
    reason = f"{LEASE_VARIABLE} is {written!r}, which is no duration"
    failure = Failure(FailureClass.CONFIGURATION, reason)
    raise BrokerError(failure, hint="it is written like 30s or 2m")


def broker_url(alias: str, protocol: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of an alias as the environment has it, with the password of a file.

    Raises:
        BrokerError: Of class `configuration`: there is none, or the file cannot be read.
    """
    url = _address(alias, protocol, environ)
    file = environ.get(password_variable(alias), "").strip()
    if file and not url.startswith("memory://"):
        return with_password_file(alias, url, file)
    return url


def _address(alias: str, protocol: str, environ: Mapping[str, str]) -> str:
    name = address_variable(alias)
    if url := environ.get(name, "").strip():
        return url
    if protocol == "memory":
        return f"memory://{alias}"
    failure = Failure(FailureClass.CONFIGURATION, f"there is no address: {name} is not set")
    example = GRAMMARS[protocol].example
    hint = f'export {name}={example}, or, to try it: eval "$(gateway-lab brokers up CONFIG)"'
    raise BrokerError(failure, where=f"broker {alias}", hint=hint)


def _load(protocol: str) -> Callable[..., Broker]:
    connector = CONNECTORS[protocol]
    try:
        module = import_module(connector.module)
    except ModuleNotFoundError as error:
        if error.name != connector.package:
            raise
        raise MissingExtraError(connector.package, extra=protocol) from error
    return cast("Callable[..., Broker]", getattr(module, connector.factory))
