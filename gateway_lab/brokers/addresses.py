"""Addresses of brokers: they stand in the environment, never in a config.

    SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/PLACE][?OPTION=VALUE&…]

One grammar for all protocols, and no option of a client library gets through: what an address may
say is what stands here. Nothing of an address is shown, in no error and no `repr`.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.tls import TlsFiles, make_context
from gateway_lab.brokers.variables import address_variable, password_variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What the addresses of one protocol look like.

    Attributes:
        schemes: Without and with TLS.
        port: Where servers listen that say nothing else; `tls_port` with TLS.
        example: For hints.
        is_many: Whether it may name several hosts of one cluster.
        options: What it may say beside `ca`, `cert`, `key` and `plaintext`.
    """

    schemes: tuple[str, str]
    port: int
    tls_port: int
    example: str
    is_many: bool = False
    options: frozenset[str] = frozenset()


GRAMMARS: Final[Mapping[str, Grammar]] = MappingProxyType(
    {
        "kafka": Grammar(
            schemes=("kafka", "kafkas"),
            port=9092,
            tls_port=9092,
            example="kafka://localhost:9092",
            is_many=True,
            options=frozenset({"sasl"}),
        ),
        "rabbitmq": Grammar(
            schemes=("amqp", "amqps"),
            port=5672,
            tls_port=5671,
            example="amqp://user:password@localhost:5672/vhost",
        ),
        "nats": Grammar(
            schemes=("nats", "tls"),
            port=4222,
            tls_port=4222,
            example="nats://localhost:4222",
            is_many=True,
            options=frozenset({"creds"}),
        ),
        "redis": Grammar(
            schemes=("redis", "rediss"),
            port=6379,
            tls_port=6379,
            example="redis://localhost:6379/0",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address that was read; `repr` shows nothing of it.

    Attributes:
        hosts: Names or numbers, with their ports.
        user: Who we are; None if nobody in particular.
        password: None if there is none.
        place: What stands behind the hosts, without the slash, as it is written.
        options: What the protocol's own options say.
        tls: How to verify the broker; None without TLS.
        files: What `tls` was made from, for clients that read files themselves.
        is_plaintext_allowed: Whether other machines may be talked to without TLS.
    """

    hosts: tuple[tuple[str, int], ...] = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    place: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)
    files: TlsFiles = field(repr=False)
    is_plaintext_allowed: bool = field(repr=False)

    def host_list(self) -> str:
        """Write the hosts as clients want them: `host:port,[::1]:port`."""
        return ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )

    def may_talk_to(self, hosts: Iterable[str]) -> bool:
        """Say whether nobody on the way could read or change what is sent to hosts."""
        return bool(self.tls) or self.is_plaintext_allowed or all(map(is_loopback, hosts))


def read_address(alias: str, url: str, protocol: str) -> Address:
    """Read an address.

    Args:
        alias: For errors.
        url: As the environment has it.
        protocol: One of `GRAMMARS`.

    Raises:
        BrokerError: Of class `configuration`: it cannot be read, names a file that cannot be
            read, or would send what is not encrypted to another machine.
    """
    found = _try(url, GRAMMARS[protocol])
    if isinstance(found, Address):
        return found
    raise _refusal(alias, *found)


def _try(url: str, grammar: Grammar) -> Address | tuple[str, str]:
    """Return an address, or problem and hint: no foreign error is behind what is raised then."""
    try:
        parts, options = _split(url, grammar)
        address = _make(parts, options, grammar)
    except OSError:
        hint = "files of `ca`, `cert` and `key` are PEM, the key without a password"
        return "a file that the address names cannot be read", hint
    except ValueError:
        hint = f"it looks like {grammar.example}; what is special in a password is written as %XX"
        return "the address cannot be read", hint
    if address.may_talk_to(host for host, _ in address.hosts):
        return address
    hint = (
        f"write {grammar.schemes[1]}://, or add ?plaintext=allowed where everybody on the way"
        " may read and change what is sent"
    )
    return "the broker is on another machine and the address is without TLS", hint


def _refusal(alias: str, problem: str, hint: str) -> BrokerError:
    failure = Failure(FailureClass.CONFIGURATION, f"{problem} ({address_variable(alias)})")
    return BrokerError(failure, where=f"broker {alias}", hint=hint)


_TLS_OPTIONS: Final = frozenset({"ca", "cert", "key"})


def _split(url: str, grammar: Grammar) -> tuple[SplitResult, dict[str, str]]:
    """Take an address apart; whatever it does not understand is a ValueError."""
    scheme = url.partition("://")[0]
    parts = urlsplit(url.replace(f",{scheme}://", ","))
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    options = dict(pairs)
    own = _TLS_OPTIONS if scheme == grammar.schemes[1] else {"plaintext"}
    is_good = (
        scheme in grammar.schemes
        and url.isprintable()
        and " " not in url
        and not parts.fragment
        and len(pairs) == len(options)
        and options.keys() <= own | grammar.options
        and all(options.values())
        and options.get("plaintext", "allowed") == "allowed"
        and ("key" not in options or "cert" in options)
    )
    if not is_good:
        raise ValueError
    return parts, options


def _make(parts: SplitResult, options: Mapping[str, str], grammar: Grammar) -> Address:
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    is_tls = parts.scheme == grammar.schemes[1]
    port = grammar.tls_port if is_tls else grammar.port
    files = TlsFiles(**{name: options[name] for name in _TLS_OPTIONS & options.keys()})
    if "creds" in options:
        Path(options["creds"]).read_bytes()
    each = hosts.split(",")
    if len(each) > 1 and not grammar.is_many:
        raise ValueError
    return Address(
        hosts=tuple(_read_host(host, port) for host in each),
        user=unquote(user) or None,
        password=unquote(password) if colon else None,
        place=parts.path.removeprefix("/"),
        options={name: options[name] for name in grammar.options & options.keys()},
        tls=make_context(files) if is_tls else None,
        files=files,
        is_plaintext_allowed="plaintext" in options,
    )


def _read_host(written: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{written}")
    if not parts.hostname or parts.netloc != written or parts.username is not None:
        raise ValueError
    return parts.hostname, parts.port or port


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its name alone; no name is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- a password in a file ---


def with_password_file(alias: str, url: str, file: str) -> str:
    """Put the password of a file into an address that has none.

    Raises:
        BrokerError: Of class `configuration`: the file cannot be read, is empty, or the address
            has a password, too.
    """
    variable = password_variable(alias)
    try:
        password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError):
        password = ""
    if not password:
        hint = "it holds the password and nothing else"
        raise _refusal(alias, f"the file that {variable} names cannot be read or is empty", hint)
    scheme, _, rest = url.partition("://")
    credentials, at, hosts = rest.rpartition("@")
    if ":" in credentials:
        raise _refusal(
            alias, f"there is a password in the address and one in {variable}", "leave out one"
        )
    user = f"{credentials}:" if at else ":"
    return f"{scheme}://{user}{quote(password, safe='')}@{hosts}"
