"""TLS and users, on real servers: the right certificate and password, and everything wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

import gateway_lab as gl
from gateway_lab.brokers.contract import Broker, BrokerError, Outgoing, Place
from gateway_lab.brokers.registry import connect
from gateway_lab.brokers.tls import CLIENT, EXPIRED, NO_TLS, OTHER_HOST, UNTRUSTED, UNVERIFIED
from gateway_lab.gateway.counters import State
from gateway_lab.testing.servers import KafkaServer
from tests.security.secured import Secured, impostor

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

T = TypeVar("T")
LIMIT_S = 40
CONFIG = """
gateway_lab: 1
name: guarded
brokers: {edge: PROTOCOL, inside: memory}
events: {Order: {type: object, properties: {n: {type: integer}}}}
sources: {orders: {broker: edge, channel: guarded-orders, event: Order}}
targets: {all: {broker: inside, channel: all}}
routers: {one: {source: orders, match: all, routes: [], unmatched: [all]}}
dead_letter: {broker: inside, channel: dead}
"""


async def within(action: Awaitable[T]) -> T:
    async with asyncio.timeout(LIMIT_S):
        return await action


def broker_at(server: Secured, url: str, **more: str) -> Broker:
    return connect("edge", server.protocol, {"GATEWAY_BROKER_EDGE_URL": url, **more})


async def reason_for_red(server: Secured, url: str, **more: str) -> str:
    """Run a gateway at an address that cannot work, and return why its source is red."""
    config = gl.parse_config(CONFIG.replace("PROTOCOL", server.protocol))
    environ = {"GATEWAY_BROKER_EDGE_URL": url, **more}
    async with gl.Gateway(config, environ=environ, create_channels=True) as gateway:
        await within(gateway.wait())
        (source,) = gateway.stats().sources
    assert source.state is State.RED
    return source.reason


async def test_with_the_right_papers_messages_flow(server: Secured) -> None:
    broker, order = broker_at(server, server.url()), Place("guarded-orders")
    try:
        await within(broker.open())
        await within(broker.create([order]))
        sent = Outgoing(order.channel, None, (), b'{"n": 1}', None, "1")
        assert await within(broker.sink().send([sent])) == [None]
    finally:
        await within(broker.close())
    config = gl.parse_config(CONFIG.replace("PROTOCOL", server.protocol))
    environ = {"GATEWAY_BROKER_EDGE_URL": server.url()}
    async with asyncio.timeout(LIMIT_S):
        async with gl.Gateway(config, environ=environ, create_channels=True) as gateway:
            while (source := gateway.stats().sources[0]).settled < 1:
                assert source.state is not State.RED, source.reason
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("host", OTHER_HOST),
        ("authority", UNTRUSTED),
        ("no certificate", CLIENT),
        ("password", "credentials|user name or password"),
    ],
)
async def test_wrong_papers_turn_the_source_red_and_say_which(
    server: Secured, wrong: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    urls = {
        "host": server.url(host="127.0.0.1"),
        "authority": server.url(ca=server.papers.stranger),
        "no certificate": server.url(has_cert=False),
        "password": server.url(password="CANARY-wrong"),
    }
    said = await reason_for_red(server, urls[wrong])
    if server.protocol == "kafka" and wrong in {"host", "authority"}:
        reason = UNVERIFIED  # its client does not say which
    assert any(each in said for each in reason.split("|")), said
    assert "CANARY" not in said + caplog.text
    assert str(server.port) not in said


async def test_an_expired_certificate_turns_the_source_red(server: Secured) -> None:
    expired = server.papers.ca.sign_expired("expired", "localhost")
    async with impostor(server.protocol, expired) as port:
        said = await reason_for_red(server, server.url(port=port))
    assert (UNVERIFIED if server.protocol == "kafka" else EXPIRED) in said


async def test_nothing_is_told_to_a_server_that_has_no_tls(servers: dict[str, Secured]) -> None:
    """NATS begins in the clear: a server in the middle could say that it has no TLS."""
    async with impostor("nats", None) as port:
        assert NO_TLS in await reason_for_red(servers["nats"], servers["nats"].url(port=port))


async def test_a_password_may_stand_in_a_file(server: Secured, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("CANARY/pass:%@word\n")
    name = "GATEWAY_BROKER_EDGE_PASSWORD_FILE"
    broker = broker_at(server, server.url(password=None), **{name: str(file)})
    try:
        await within(broker.open())
    finally:
        await within(broker.close())
    file.write_text("CANARY-wrong")
    said = await reason_for_red(server, server.url(password=None), **{name: str(file)})
    assert "CANARY" not in said


async def test_a_cluster_that_leads_to_other_machines_is_not_followed_without_tls(
    tmp_path: Path,
) -> None:
    """A tunnel on loopback may lead to a cluster that names its servers by their real hosts."""
    server = KafkaServer(tmp_path)
    server.settings = {"advertised.listeners": f"PLAINTEXT://broker.example:{server.port}"}
    with server:
        broker = connect("edge", "kafka", {"GATEWAY_BROKER_EDGE_URL": server.url})
        with pytest.raises(BrokerError, match="without TLS") as caught:
            await within(broker.open())
        await within(broker.close())
        assert "broker.example" not in str(caught.value)
        url = f"{server.url}?plaintext=allowed"
        allowed = connect("edge", "kafka", {"GATEWAY_BROKER_EDGE_URL": url})
        await within(allowed.open())
        await within(allowed.close())
