from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

import gateway_lab as gl
from gateway_lab.errors import ConfigError, MissingExtraError
from gateway_lab.gateway.app.brokers import NOWHERE
from tests.gateway.shop import until

pytestmark = pytest.mark.anyio

CONFIG = """
gateway_lab: 1
name: beside
brokers: {stream: kafka, work: rabbitmq, edge: nats, cache: redis, here: memory}
sources: {orders: {broker: here, channel: orders}}
targets: {out: {broker: here, channel: out}}
routers: {all: {source: orders, match: all, routes: [{name: all, to: [out]}], unmatched: drop}}
dead_letter: {broker: here, channel: dead}
"""


def gateway_at(**addresses: str) -> gl.Gateway:
    environ = {f"GATEWAY_BROKER_{alias.upper()}_URL": url for alias, url in addresses.items()}
    return gl.Gateway(gl.parse_config(CONFIG), environ=environ, create_channels=True)


def kafka_settings(url: str) -> dict[str, Any]:
    broker = gateway_at(stream=url).faststream_broker("stream")
    settings: dict[str, Any] = broker.config.broker_config.builder.config.producer_config
    return settings


@pytest.mark.parametrize(
    ("url", "protocol", "user"),
    [
        ("kafka://127.0.0.1:1,127.0.0.1:2", "plaintext", {}),
        ("kafkas://127.0.0.1:1,127.0.0.1:2", "ssl", {}),
        (
            "kafka://ann:p%2Fw@127.0.0.1:1,127.0.0.1:2?sasl=SCRAM-SHA-256",
            "sasl_plaintext",
            {
                "sasl.username": "ann",
                "sasl.password": "p/w",
                "sasl.mechanism": "SCRAM-SHA-256",
            },
        ),
        (
            "kafkas://ann:pw@127.0.0.1:1,127.0.0.1:2",
            "sasl_ssl",
            {"sasl.username": "ann", "sasl.password": "pw", "sasl.mechanism": "SCRAM-SHA-512"},
        ),
    ],
)
async def test_a_broker_of_kafka_is_at_the_address(
    url: str, protocol: str, user: dict[str, str]
) -> None:
    settings = kafka_settings(url)
    assert settings["bootstrap.servers"] == "127.0.0.1:1,127.0.0.1:2"
    assert settings["security.protocol"] == protocol
    assert {name: settings[name] for name in settings if name.startswith("sasl")} == user
    assert (settings["acks"], settings["enable.idempotence"]) == (-1, True)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://127.0.0.1:1", "amqp://guest:guest@127.0.0.1:1/"),
        ("amqp://ann:p%2Fw@127.0.0.1:1/shop", "amqp://ann:p%2Fw@127.0.0.1:1/shop"),
        ("amqp://ann:pw@127.0.0.1:1/%2Fshop", "amqp://ann:pw@127.0.0.1:1//shop"),
        ("amqps://ann:pw@127.0.0.1", "amqps://ann:pw@127.0.0.1:5671/"),
    ],
)
async def test_a_broker_of_rabbitmq_is_at_the_address(url: str, told: str) -> None:
    broker = gateway_at(work=url).faststream_broker("work")
    found = broker._connection_kwargs
    assert str(found["url"]).partition("?")[0] == told
    assert (found.get("ssl_context") is not None) == url.startswith("amqps")


@pytest.mark.parametrize(
    ("url", "server", "user"),
    [
        ("nats://127.0.0.1:1", "nats://127.0.0.1:1", {}),
        ("tls://127.0.0.1:1", "tls://127.0.0.1:1", {}),
        ("nats://ann:p%2Fw@127.0.0.1:1", "nats://127.0.0.1:1", {"user": "ann", "password": "p/w"}),
        ("nats://t0ken@127.0.0.1:1", "nats://127.0.0.1:1", {"token": "t0ken"}),
    ],
)
async def test_a_broker_of_nats_is_at_the_address(
    url: str, server: str, user: dict[str, str]
) -> None:
    broker = gateway_at(edge=url).faststream_broker("edge")
    found = broker._connection_kwargs
    assert found["servers"] == [server]
    assert (found.get("tls") is not None) == url.startswith("tls")
    names = ("user", "password", "token")
    assert {name: found[name] for name in names if found.get(name)} == user


async def test_a_broker_of_nats_has_credentials_of_a_file(tmp_path: Path) -> None:
    creds = tmp_path / "ann.creds"
    creds.write_text("-----BEGIN NATS USER JWT-----")
    broker = gateway_at(edge=f"nats://127.0.0.1:1?creds={creds}").faststream_broker("edge")
    assert broker._connection_kwargs["user_credentials"] == str(creds)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://127.0.0.1:1", {"db": 0}),
        ("redis://:pw@127.0.0.1:1/3", {"username": "default", "password": "pw", "db": 3}),
        ("redis://ann:p%2Fw@127.0.0.1:1", {"username": "ann", "password": "p/w", "db": 0}),
    ],
)
async def test_a_broker_of_redis_is_at_the_address(url: str, told: dict[str, Any]) -> None:
    broker = gateway_at(cache=url).faststream_broker("cache")
    found = broker._connection_kwargs
    assert (found["host"], found["port"]) == ("127.0.0.1", 1)
    names = ("username", "password", "db")
    assert {name: found[name] for name in names if found.get(name) is not None} == told


async def test_options_are_faststreams_own_and_go_first() -> None:
    broker = gateway_at(edge="nats://127.0.0.1:1").faststream_broker(
        "edge", name="mine", max_reconnect_attempts=3
    )
    assert broker._connection_kwargs["name"] == "mine"
    assert broker._connection_kwargs["max_reconnect_attempts"] == 3


async def test_an_alias_that_is_not_there_has_a_hint() -> None:
    with pytest.raises(ConfigError, match="did you mean 'edge'"):
        gateway_at().faststream_broker("edgy")


async def test_memory_has_no_broker_of_faststream() -> None:
    with pytest.raises(ConfigError, match="FastStream has no broker of memory"):
        gateway_at().faststream_broker("here")


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        ({}, "there is no address: GATEWAY_BROKER_EDGE_URL is not set"),
        ({"edge": "memory://somewhere"}, "memory is inside the gateway"),
        ({"edge": "nats://user:hunter2@somewhere"}, "the broker is on another machine"),
    ],
)
async def test_a_module_is_imported_without_addresses_and_says_so_when_it_runs(
    addresses: dict[str, str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = gateway_at(**addresses)
    broker = gateway.faststream_broker("edge")
    assert NOWHERE in str(broker._connection_kwargs["servers"])
    caplog.set_level(logging.ERROR)
    async with gateway.app:
        await until(
            lambda: f"broker edge of FastStream is not started: broker edge: {told}" in caplog.text
        )
        assert not broker.running
    assert "hunter2" not in caplog.text


async def test_a_client_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [each for each in sys.modules if each.startswith("faststream.rabbit")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    with pytest.raises(MissingExtraError, match="aio_pika is not installed") as caught:
        gateway_at().faststream_broker("work")
    assert "gateway-lab[faststream]" in caught.value.hint


async def test_the_document_of_an_app_has_what_users_read_beside_it() -> None:
    gateway = gateway_at(edge="nats://127.0.0.1:1", work="amqp://ann:pw@127.0.0.1")
    edge, work = gateway.faststream_broker("edge"), gateway.faststream_broker("work")

    @edge.subscriber("trap")
    async def handle(body: int) -> None: ...

    work.publisher("queue", schema=int)
    document = gateway.app.schema.to_specification().to_jsonable()
    channels = {
        each["address"]: each["servers"]
        for name, each in document["channels"].items()
        if name.startswith("faststream.")
    }
    assert channels["trap"] == [{"$ref": "#/servers/edge"}]
    assert {"edge", "work", "here"} <= document["servers"].keys()
    assert "127.0.0.1" not in str(document)
