"""Brokers of FastStream at the addresses of a config's aliases, for users' own subscribers.

What they promise is FastStream's to say. Where its defaults would lose what is published, or close
a connection for good, they have ours, unless a user gives others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from gateway_lab.brokers.addresses import Address, read_address
from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.registry import broker_url
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ConfigError, MissingExtraError, did_you_mean
from gateway_lab.gateway.app.beside import Beside

Options: TypeAlias = dict[str, Any]

NOWHERE: Final = "no-address.invalid"
"""Where a broker leads whose address is missing: a module is imported without any, too."""


def broker_at(
    config: GatewayConfig, alias: str, environ: Mapping[str, str], options: Options
) -> Beside:
    """Make a broker of FastStream for an alias; nothing is connected.

    Raises:
        ConfigError: There is no such alias, or FastStream has no such broker.
        MissingExtraError: FastStream lacks the protocol's client.
    """
    if alias not in config.brokers:
        hint = did_you_mean(alias, config.brokers)
        raise ConfigError(f"there is no broker {alias!r}", hint=hint)
    protocol = config.brokers[alias]
    if protocol not in _MAKE:
        hint = "it is inside one process: use the gateway's own sources and targets"
        raise ConfigError(f"FastStream has no broker of {protocol}", hint=hint)
    module, name, arguments = _MAKE[protocol]
    # What documents show of it is its alias: addresses are nobody's to read.
    given = {"specification_url": alias, **options}
    make = _load(module, name)
    try:
        url, refusal = _url(config, alias, environ), None
    except BrokerError as error:
        url, refusal = f"{_SCHEMES[protocol]}://{NOWHERE}", error
    return Beside(alias, make(**{**arguments(alias, url), **given}), refusal)


def _url(config: GatewayConfig, alias: str, environ: Mapping[str, str]) -> str:
    """Return an address that FastStream can use.

    Raises:
        BrokerError: There is none, it cannot be read, or it is memory's.
    """
    url = broker_url(alias, config.brokers[alias], environ)
    if url.startswith("memory://"):
        failure = Failure(FailureClass.CONFIGURATION, "memory is inside the gateway")
        raise BrokerError(
            failure, where=f"broker {alias}", hint="test it by FastStream's Test…Broker"
        )
    read_address(alias, url, config.brokers[alias])
    return url


def _load(module: str, name: str) -> Callable[..., Any]:
    try:
        return getattr(import_module(f"faststream.{module}"), name)  # type: ignore[no-any-return]
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        known = {"rabbit": "aio_pika", "confluent": "confluent_kafka"}.get(module, module)
        raise MissingExtraError(package or known, extra="faststream") from None


# --- by protocol ---


def _kafka(alias: str, url: str) -> Options:
    from gateway_lab.brokers.kafka.settings import read_settings  # noqa: PLC0415 - needs the client

    settings = dict(read_settings(alias, url))
    return {
        "bootstrap_servers": settings.pop("bootstrap.servers").split(","),
        "config": settings | {"security.protocol": settings["security.protocol"].lower()},
        "allow_auto_create_topics": False,
        "acks": "all",
        "enable_idempotence": True,
    }


def _rabbitmq(alias: str, url: str) -> Options:
    from faststream.rabbit import Channel  # noqa: PLC0415 - needs the client
    from faststream.security import SASLPlaintext  # noqa: PLC0415

    address = read_address(alias, url, "rabbitmq")
    (host, port), *_ = address.hosts
    who = SASLPlaintext(
        address.user or "guest", address.password or "guest", ssl_context=address.tls
    )
    return {
        "host": host,
        "port": port,
        # FastStream drops the first of two slashes; the name of a host may begin with one.
        "virtualhost": f"/{path}" if (path := unquote(address.place)).startswith("/") else path,
        "security": who,
        "default_channel": Channel(prefetch_count=100, on_return_raises=True),
    }


def _nats(alias: str, url: str) -> Options:
    address = read_address(alias, url, "nats")
    scheme = "tls" if address.tls else "nats"
    return {
        "servers": [f"{scheme}://{each}" for each in address.host_list().split(",")],
        "security": _nats_security(address),
        "max_reconnect_attempts": -1,  # else it is closed for good after a while, and spins
    }


def _nats_security(address: Address) -> object:
    from faststream.nats.security import (  # noqa: PLC0415 - needs the client
        NatsCredentials,
        NatsSecurity,
        NatsToken,
        NatsUserPassword,
    )

    tls = address.tls
    if creds := address.options.get("creds"):
        return NatsCredentials(creds, ssl_context=tls)
    if address.user is not None and address.password is not None:
        return NatsUserPassword(address.user, address.password, ssl_context=tls)
    if token := address.user or address.password:
        return NatsToken(token, ssl_context=tls)
    return NatsSecurity(ssl_context=tls)


def _redis(alias: str, url: str) -> Options:
    from faststream.security import BaseSecurity, SASLPlaintext  # noqa: PLC0415

    address = read_address(alias, url, "redis")
    user, password = address.user or "default", address.password
    tls = address.tls
    who = (
        SASLPlaintext(user, password, ssl_context=tls)
        if password
        else BaseSecurity(ssl_context=tls)
    )
    return {
        "url": f"redis://{address.host_list()}/{address.place or 0}",
        "security": who,
    }


_SCHEMES: Final = MappingProxyType(
    {"kafka": "kafkas", "rabbitmq": "amqps", "nats": "tls", "redis": "rediss"}
)
_MAKE: Final[Mapping[str, tuple[str, str, Callable[[str, str], Options]]]] = MappingProxyType(
    {
        "kafka": ("confluent", "KafkaBroker", _kafka),
        "rabbitmq": ("rabbit", "RabbitBroker", _rabbitmq),
        "nats": ("nats", "NatsBroker", _nats),
        "redis": ("redis", "RedisBroker", _redis),
    }
)
