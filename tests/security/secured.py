"""One real server of each protocol with TLS and a user, and the addresses that lead to it.

A server shows a certificate for `localhost`, and wants one of every client.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from gateway_lab.brokers.addresses import GRAMMARS
from gateway_lab.testing.servers import (
    KafkaServer,
    NatsServer,
    RabbitmqServer,
    RedisServer,
    Server,
    free_port,
)
from tests.security.authority import Authority, Certificate

USER = "CANARY-user"
PASSWORD = "CANARY/pass:%@word"
"""What is special in it has to be written as %XX in an address."""


@dataclass(frozen=True)
class Papers:
    """Who is who: `ca` signed what is good, `stranger` is trusted by nobody."""

    ca: Authority
    stranger: Authority
    server: Certificate
    client: Certificate

    @classmethod
    def make(cls, folder: Path) -> Papers:
        ca = Authority(folder / "ca")
        server, client = ca.sign("server", "localhost"), ca.sign("client", "client.test")
        return cls(ca, Authority(folder / "stranger"), server, client)


@dataclass(frozen=True)
class Secured:
    """A server that runs, and where its TLS is."""

    protocol: str
    papers: Papers
    server: Server
    port: int

    def url(
        self,
        *,
        host: str = "localhost",
        port: int | None = None,
        password: str | None = PASSWORD,
        ca: Authority | None = None,
        has_cert: bool = True,
        more: str = "",
    ) -> str:
        """Write the right address, but for what is said."""
        client = self.papers.client
        options = f"ca={(ca or self.papers.ca).ca}"
        options += f"&cert={client.cert}&key={client.key}" if has_cert else ""
        user = USER if password is None else f"{USER}:{quote(password, safe='')}"
        scheme = GRAMMARS[self.protocol].schemes[1]
        return (
            f"{scheme}://{user}@{host}:{port or self.port}?{options}{more or _SASL[self.protocol]}"
        )


_SASL = {"kafka": "&sasl=PLAIN", "rabbitmq": "", "nats": "", "redis": ""}


@contextmanager
def secured(protocol: str, folder: Path) -> Iterator[Secured]:
    """Start a server."""
    papers, port = Papers.make(folder / "papers"), free_port()
    server = _MAKERS[protocol](folder / protocol, papers, port)
    with server:
        yield Secured(protocol, papers, server, server.port if protocol == "nats" else port)


def _kafka(folder: Path, papers: Papers, port: int) -> Server:
    server = KafkaServer(folder)
    own = f"PLAINTEXT://127.0.0.1:{server.port},SECURE://localhost:{port}"
    secure, module = "listener.name.secure", "org.apache.kafka.common.security"
    server.settings = {
        "listeners": f"{own},CONTROLLER://127.0.0.1:{server._controller_port}",
        "advertised.listeners": own,
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        f"{secure}.ssl.client.auth": "required",
        f"{secure}.ssl.keystore.type": "PEM",
        f"{secure}.ssl.keystore.location": str(papers.server.both),
        f"{secure}.ssl.truststore.type": "PEM",
        f"{secure}.ssl.truststore.location": str(papers.ca.ca),
        f"{secure}.plain.sasl.jaas.config": (
            f'{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        f"{secure}.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        f"{secure}.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
    }
    return server


def _rabbitmq(folder: Path, papers: Papers, port: int) -> Server:
    settings = {
        "listeners.ssl.default": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": str(papers.ca.ca),
        "ssl_options.certfile": str(papers.server.cert),
        "ssl_options.keyfile": str(papers.server.key),
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "true",
        "default_user": USER,
        "default_pass": PASSWORD,
    }
    return RabbitmqServer(folder, settings=settings)


def _nats(folder: Path, papers: Papers, _: int) -> Server:
    tls = {
        "cert_file": str(papers.server.cert),
        "key_file": str(papers.server.key),
        "ca_file": str(papers.ca.ca),
        "verify": True,
    }
    users = [{"user": USER, "password": PASSWORD}]
    settings = {"tls": json.dumps(tls), "authorization": json.dumps({"users": users})}
    return NatsServer(folder, settings=settings)


def _redis(folder: Path, papers: Papers, port: int) -> Server:
    settings = {
        "tls-port": str(port),
        "tls-cert-file": str(papers.server.cert),
        "tls-key-file": str(papers.server.key),
        "tls-ca-cert-file": str(papers.ca.ca),
        "tls-auth-clients": "yes",
        "user": f"{USER} on >{PASSWORD} ~* &* +@all",
    }
    return RedisServer(folder, settings=settings)


_MAKERS: Mapping[str, Callable[[Path, Papers, int], Server]] = MappingProxyType(
    {"kafka": _kafka, "rabbitmq": _rabbitmq, "nats": _nats, "redis": _redis}
)


@asynccontextmanager
async def impostor(protocol: str, certificate: Certificate | None) -> AsyncIterator[int]:
    """Listen as a server of a protocol would, with a certificate or none; yields the port.

    What a client tells about itself is not to get here.
    """
    context: ssl.SSLContext | None = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.cert, certificate.key)
    heard: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if protocol == "nats":
                info = {"tls_required": bool(context), "auth_required": True, "headers": True}
                writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
                if context:
                    await writer.start_tls(context)
            heard.append(await reader.read(1000))
        except OSError:
            pass
        finally:
            writer.close()

    at_once = None if protocol == "nats" else context
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=at_once)
    async with server:
        yield server.sockets[0].getsockname()[1]
    assert b"CANARY" not in b"".join(heard)
