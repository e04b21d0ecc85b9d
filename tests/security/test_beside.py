"""FastStream brokers beside a gateway: the address's TLS, user and password are theirs, too."""

from __future__ import annotations

import asyncio

import pytest

import gateway_lab as gl
from tests.security.secured import PASSWORD, USER, Secured
from tests.security.test_tls import CONFIG

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

LIMIT_S = 40


def gateway_at(server: Secured, url: str) -> gl.Gateway:
    config = gl.parse_config(CONFIG.replace("PROTOCOL", server.protocol))
    return gl.Gateway(config, environ={"GATEWAY_BROKER_EDGE_URL": url})


async def test_a_broker_has_the_papers_of_its_address(server: Secured) -> None:
    broker = gateway_at(server, server.url()).faststream_broker("edge")
    try:
        async with asyncio.timeout(LIMIT_S):
            await broker.start()
            assert await broker.ping(timeout=20)
    finally:
        await broker.stop()


async def test_its_document_shows_neither_address_nor_password(server: Secured) -> None:
    gateway = gateway_at(server, server.url())
    broker = gateway.faststream_broker("edge")

    @broker.subscriber("orders")
    async def handle(order: dict[str, int]) -> None: ...

    specification = gateway.app.schema.to_specification()
    for told in (specification.to_json(), specification.to_yaml(), repr(broker)):
        assert USER not in told
        assert PASSWORD not in told
        assert "localhost" not in told
        assert str(server.port) not in told
