"""The other ways to say who one is: SCRAM, tokens, signed credentials, users with few rights."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nkeys  # type: ignore[import-untyped]
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from gateway_lab.brokers.contract import BrokerError, FailureClass
from gateway_lab.brokers.registry import connect
from gateway_lab.testing.servers import NatsServer
from tests.security.secured import PASSWORD, USER, Secured

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

LIMIT_S = 40
VARIABLE = "GATEWAY_BROKER_EDGE_URL"


async def is_let_in(protocol: str, url: str, **more: str) -> bool:
    """Knock; what keeps us out must be the credentials, and must not be shown."""
    broker = connect("edge", protocol, {VARIABLE: url, **more})
    try:
        async with asyncio.timeout(LIMIT_S):
            await broker.open()
    except BrokerError as error:
        problem = error
    else:
        return True
    finally:
        await broker.close()
    assert problem.failure.failure_class is FailureClass.CONFIGURATION
    assert "credentials" in str(problem)
    assert "CANARY" not in str(problem)
    return False


# --- Kafka: SCRAM ---


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_kafka_knows_a_user_by_scram(servers: dict[str, Secured], mechanism: str) -> None:
    server = servers["kafka"]
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{server.server.port}"})
    kind = ScramMechanism[mechanism.replace("-", "_")]
    wanted = UserScramCredentialUpsertion(USER, ScramCredentialInfo(kind, 4096), PASSWORD.encode())
    for made in admin.alter_user_scram_credentials([wanted]).values():
        made.result()
    more = f"&sasl={mechanism}"
    assert await is_let_in("kafka", server.url(more=more))
    assert not await is_let_in("kafka", server.url(more=more, password="CANARY-no"))


# --- NATS: token, signed credentials ---


@pytest.fixture
def token_server(tmp_path: Path) -> Iterator[NatsServer]:
    settings = {"authorization": json.dumps({"token": PASSWORD})}
    with NatsServer(tmp_path / "token", settings=settings) as server:
        yield server


async def test_nats_knows_a_token(token_server: NatsServer) -> None:
    url = f"nats://{quote(PASSWORD, safe='')}@127.0.0.1:{token_server.port}"
    assert await is_let_in("nats", url)
    assert not await is_let_in("nats", url.replace("CANARY", "CANARY2"))


async def test_nats_knows_a_token_in_a_file(token_server: NatsServer, tmp_path: Path) -> None:
    file = tmp_path / "token.txt"
    file.write_text(PASSWORD)
    name = "GATEWAY_BROKER_EDGE_PASSWORD_FILE"
    assert await is_let_in("nats", token_server.url, **{name: str(file)})


class Key:
    """A key of NATS; `name` is its public half."""

    def __init__(self, prefix: int, number: int) -> None:
        self.seed = nkeys.encode_seed(bytes([number]) * 32, prefix)
        self._pair = nkeys.from_seed(self.seed)
        self.name = self._pair.public_key.decode()

    def sign(self, of: Key, kind: str, **claims: object) -> str:
        """Write a JWT about another key."""
        nats = {"type": kind, "version": 2, **claims}
        about = {"jti": kind, "iat": int(time.time()), "iss": self.name, "sub": of.name}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, {**about, "name": kind, "nats": nats}]
        text = ".".join(_unpadded(json.dumps(each).encode()) for each in parts)
        return f"{text}.{_unpadded(self._pair.sign(text.encode()))}"


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_nats_knows_signed_credentials(tmp_path: Path) -> None:
    operator, user = Key(nkeys.PREFIX_BYTE_OPERATOR, 1), Key(nkeys.PREFIX_BYTE_USER, 2)
    account, system, stranger = (Key(nkeys.PREFIX_BYTE_ACCOUNT, each) for each in (3, 4, 5))
    anything = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1}
    anything |= {"exports": -1, "wildcards": True}
    accounts = {
        each.name: operator.sign(each, "account", limits=anything) for each in (account, system)
    }
    settings = {
        "operator": operator.sign(operator, "operator"),
        "system_account": system.name,
        "resolver": "MEMORY",
        "resolver_preload": json.dumps(accounts),
    }
    limits = {"subs": -1, "data": -1, "payload": -1}
    file = tmp_path / "user.creds"
    with NatsServer(tmp_path / "signed", settings=settings) as server:
        for signer in (account, stranger):
            file.write_text(_creds(signer.sign(user, "user", **limits), user.seed))
            is_known = await is_let_in("nats", f"{server.url}?creds={file}")
            assert is_known is (signer is account)


def _creds(jwt: str, seed: bytes) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )
