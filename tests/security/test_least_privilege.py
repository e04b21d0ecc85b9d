"""The rights that docs/security.md tells an operator to give are enough, and are few.

The examples are taken from the page itself, so what is written there is what is tried.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

import gateway_lab as gl
from gateway_lab.brokers.contract import FailureClass, Outgoing
from gateway_lab.brokers.registry import connect
from gateway_lab.gateway.counters import State
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import (
    KafkaServer,
    NatsServer,
    RabbitmqServer,
    RedisServer,
    free_port,
)
from tests.live.clients import Fresh

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
RIGHTS = PAGE[PAGE.index("## The rights a gateway needs") :]
LIMIT_S = 50
USER, PASSWORD = "gateway", "secret"
CONFIG = """
gateway_lab: 1
name: shop
brokers: {edge: PROTOCOL}
events: {Order: {type: object, required: [tenant], properties: {tenant: {type: string}}}}
sources: {orders: {broker: edge, channel: orders, event: Order}}
targets: {work: {broker: edge, channel: "work.{tenant}"}}
routers: {one: {source: orders, match: all, routes: [], unmatched: [work]}}
dead_letter: {broker: edge, channel: dead}
"""


def example(begin: str) -> str:
    """Return the block of the page that begins so."""
    for block in re.findall(r"```\w*\n(.*?)```", RIGHTS, re.DOTALL):
        if block.startswith(begin):
            return str(block)
    raise AssertionError(begin)


@dataclass
class Guarded:
    """A server, as its administrator and as the gateway sees it."""

    admin_url: str
    url: str


# --- each broker, with the rights of the page ---


@contextmanager
def kafka(folder: Path) -> Iterator[Guarded]:
    server, port = KafkaServer(folder), free_port()
    own = f"PLAINTEXT://127.0.0.1:{server.port},USERS://127.0.0.1:{port}"
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    server.settings = {
        "listeners": f"{own},CONTROLLER://127.0.0.1:{server._controller_port}",
        "advertised.listeners": own,
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,USERS:SASL_PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.users.plain.sasl.jaas.config": (
            f'{module} required user_{USER}="{PASSWORD}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "auto.create.topics.enable": "false",
    }
    with server:
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{server.port}"})
        for made in admin.create_acls(list(bindings(example("kafka-acls")))).values():
            made.result()
        yield Guarded(server.url, f"kafka://{USER}:{PASSWORD}@127.0.0.1:{port}?sasl=PLAIN")


def bindings(commands: str) -> Iterator[AclBinding]:
    """Read what `kafka-acls` would do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--operation", action="append")
    parser.add_argument("--resource-pattern-type", default="literal")
    for name in ("--allow-principal", "--topic", "--group"):
        parser.add_argument(name)
    for line in commands.splitlines():
        read = parser.parse_args(shlex.split(line)[1:])
        kind = ResourceType.TOPIC if read.topic else ResourceType.GROUP
        pattern = ResourcePatternType[read.resource_pattern_type.upper()]
        for operation in read.operation:
            yield AclBinding(
                kind,
                read.topic or read.group,
                pattern,
                read.allow_principal,
                "*",
                AclOperation[operation.upper()],
                AclPermissionType.ALLOW,
            )


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Guarded]:
    with RabbitmqServer(folder) as server:
        program = server.installed()
        assert program is not None
        environ = os.environ | server._environment()
        tool = [str(program.with_name("rabbitmqctl")), "-q", "-n", environ["RABBITMQ_NODENAME"]]
        given = shlex.split(example("rabbitmqctl"))[1:]
        for command in (["add_user", USER, PASSWORD], given):
            subprocess.run([*tool, *command], env=environ, check=True, capture_output=True)
        yield Guarded(server.url, server.url.replace("guest:guest", f"{USER}:{PASSWORD}"))


@contextmanager
def nats(folder: Path) -> Iterator[Guarded]:
    users = [
        {"user": "admin", "password": PASSWORD},
        {"user": USER, "password": PASSWORD, "permissions": json.loads(example("{\n"))},
    ]
    settings = {"authorization": json.dumps({"users": users})}
    with NatsServer(folder, settings=settings) as server:
        host = f"127.0.0.1:{server.port}"
        yield Guarded(f"nats://admin:{PASSWORD}@{host}", f"nats://{USER}:{PASSWORD}@{host}")


@contextmanager
def redis_(folder: Path) -> Iterator[Guarded]:
    with RedisServer(folder) as server, redis.Redis(port=server.port) as client:
        client.execute_command(*example("ACL SETUSER").split())
        yield Guarded(server.url, f"redis://{USER}:{PASSWORD}@127.0.0.1:{server.port}")


SERVERS = {"kafka": kafka, "rabbitmq": rabbitmq, "nats": nats, "redis": redis_}


# --- what they are enough for, and what they are not ---


def message(body: bytes) -> Message:
    return Message(body=body, key=b"k", received=datetime.now(UTC))


@pytest.mark.parametrize("protocol", SERVERS)
async def test_the_rights_of_the_page_are_enough_and_no_more(protocol: str, tmp_path: Path) -> None:
    with SERVERS[protocol](tmp_path / "server") as server:
        admin = Fresh(protocol, server.admin_url)
        await admin.create(["orders", "work.acme", "dead", "foreign"])
        await admin.publish("orders", [message(b'{"tenant": "acme"}'), message(b"no JSON")])
        config = gl.parse_config(CONFIG.replace("PROTOCOL", protocol))
        environ = {"GATEWAY_BROKER_EDGE_URL": server.url}
        async with asyncio.timeout(LIMIT_S), gl.Gateway(config, environ=environ) as gateway:
            while (source := gateway.stats().sources[0]).settled < 2:
                assert source.state is not State.RED, source.reason
                await asyncio.sleep(0.05)
        assert await admin.count("work.acme") == await admin.count("dead") == 1
        if protocol != "rabbitmq":  # its default exchange takes the names of all queues
            await cannot_write_elsewhere(protocol, environ)
            assert await admin.count("foreign") == 0


async def cannot_write_elsewhere(protocol: str, environ: dict[str, str]) -> None:
    broker = connect("edge", protocol, environ)
    outgoing = Outgoing("foreign", None, (), b"1", None, "id")
    async with asyncio.timeout(LIMIT_S):
        await broker.open()
        (failure,) = await broker.sink().send([outgoing])
        await broker.close()
    assert failure is not None
    assert failure.failure_class in {FailureClass.CONFIGURATION, FailureClass.UNROUTABLE}
