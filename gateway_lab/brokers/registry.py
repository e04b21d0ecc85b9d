"""From an alias of a config to a connection: which connector, at which address.

Addresses come from the environment alone, so that no config, capture or log ever holds one. A
connector is imported when a config uses it: only its client library has to be installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from gateway_lab.brokers.addresses import address_variable
from gateway_lab.brokers.contract import Broker, BrokerError, Failure, FailureClass
from gateway_lab.brokers.memory import MemoryBroker
from gateway_lab.errors import MissingExtraError


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Where a protocol's connector is.

    Attributes:
        module: Its module, imported when first asked for.
        factory: The class in it; called with alias, address, `gateway` and `member`.
        package: The client library that it needs, as one imports it; empty if none.
        schemes: What an address may begin with; the one with TLS is the second.
        address: What an address looks like.
    """

    module: str
    factory: str
    package: str
    schemes: tuple[str, ...]
    address: str


CONNECTORS: Mapping[str, Connector] = MappingProxyType(
    {
        "kafka": Connector(
            module="gateway_lab.brokers.kafka",
            factory="KafkaBroker",
            package="confluent_kafka",
            schemes=("kafka", "kafkas"),
            address="kafka://host:9092,host2:9092",
        ),
        "rabbitmq": Connector(
            module="gateway_lab.brokers.rabbitmq",
            factory="RabbitmqBroker",
            package="aiormq",
            schemes=("amqp", "amqps"),
            address="amqp://user:password@host:5672/vhost",
        ),
        "nats": Connector(
            module="gateway_lab.brokers.nats",
            factory="NatsBroker",
            package="nats",
            schemes=("nats", "tls"),
            address="nats://host:4222",
        ),
        "redis": Connector(
            module="gateway_lab.brokers.redis",
            factory="RedisBroker",
            package="redis",
            schemes=("redis", "rediss"),
            address="redis://host:6379/0",
        ),
        "memory": Connector(
            module="gateway_lab.brokers.memory",
            factory="MemoryBroker",
            package="",
            schemes=("memory",),
            address="memory://name",
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
        environ: Where `GATEWAY_BROKER_<ALIAS>_URL` is looked up. `memory://NAME` stands in for a
            broker of any protocol, inside this process; an alias of memory needs no address.
        gateway: The name of the config: it begins the names of groups and durable consumers, so
            that two gateways each get all messages of a channel.
        member: Names this process among those that share the gateway's groups: the same at each
            of its starts, and no other's. Empty: it has no name that lasts.

    Raises:
        BrokerError: Of class `configuration`: there is no address, or it cannot be read.
        MissingExtraError: The protocol's client library is not installed.
    """
    connector = CONNECTORS[protocol]
    url = _address(alias, protocol, environ)
    if url.startswith("memory://"):
        return MemoryBroker(alias, url, protocol, gateway=gateway, member=member)
    factory = _load(protocol, connector)
    try:
        parts = urlsplit(url)
        if parts.scheme in connector.schemes and parts.netloc:
            return factory(alias, url, gateway=gateway, member=member)
    except ValueError:  # its text would show the address
        pass
    raise _unreadable(alias, connector)


def _address(alias: str, protocol: str, environ: Mapping[str, str]) -> str:
    name = address_variable(alias)
    if url := environ.get(name, "").strip():
        return url
    if protocol == "memory":
        return f"memory://{alias}"
    failure = Failure(FailureClass.CONFIGURATION, f"there is no address: {name} is not set")
    hint = f"export {name}={CONNECTORS[protocol].address}, or run `gateway-lab brokers up`"
    raise BrokerError(failure, where=f"broker {alias}", hint=hint)


def _load(protocol: str, connector: Connector) -> Callable[..., Broker]:
    try:
        module = import_module(connector.module)
    except ModuleNotFoundError as error:
        if error.name != connector.package:
            raise
        raise MissingExtraError(connector.package, extra=protocol) from error
    return cast("Callable[..., Broker]", getattr(module, connector.factory))


def _unreadable(alias: str, connector: Connector) -> BrokerError:
    reason = f"the address in {address_variable(alias)} cannot be read"
    return BrokerError(
        Failure(FailureClass.CONFIGURATION, reason),
        where=f"broker {alias}",
        hint=f"it looks like {connector.address}",
    )
