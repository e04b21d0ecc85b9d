from __future__ import annotations

import subprocess
import sys

import pytest

from gateway_lab.brokers import registry
from gateway_lab.brokers.addresses import GRAMMARS
from gateway_lab.brokers.contract import BrokerError, FailureClass
from gateway_lab.brokers.memory.broker import MemoryBroker
from gateway_lab.brokers.registry import CONNECTORS, Connector, connect, require_server
from gateway_lab.errors import MissingExtraError
from gateway_lab.protocols.registry import PROTOCOLS


def test_every_protocol_has_a_connector() -> None:
    assert set(CONNECTORS) == set(PROTOCOLS)


@pytest.mark.parametrize("protocol", CONNECTORS)
def test_a_connector_can_be_made_without_a_server(protocol: str) -> None:
    url = "memory://orders" if protocol == "memory" else GRAMMARS[protocol].example
    broker = connect("orders", protocol, {"GATEWAY_BROKER_ORDERS_URL": url})
    assert (broker.alias, broker.protocol) == ("orders", protocol)
    assert "localhost" not in repr(broker)
    assert "password" not in repr(broker)


@pytest.mark.parametrize("protocol", GRAMMARS)
def test_a_connector_is_told_the_gateway_and_the_member(protocol: str) -> None:
    environ = {"GATEWAY_BROKER_ORDERS_URL": GRAMMARS[protocol].example}
    broker = connect("orders", protocol, environ, gateway="shop", member="one-0")
    assert (broker.alias, broker.protocol) == ("orders", protocol)


def test_memory_needs_no_address() -> None:
    assert isinstance(connect("local", "memory", {}), MemoryBroker)


@pytest.mark.parametrize("protocol", CONNECTORS)
def test_memory_stands_in_for_any_broker(protocol: str) -> None:
    broker = connect("orders", protocol, {"GATEWAY_BROKER_ORDERS_URL": "memory://orders"})
    assert isinstance(broker, MemoryBroker)
    assert broker.protocol == protocol


def test_an_alias_without_an_address_is_told_what_to_export() -> None:
    with pytest.raises(BrokerError) as caught:
        connect("orders", "redis", {"GATEWAY_BROKER_ORDERS_URL": " "})
    assert caught.value.failure.failure_class is FailureClass.CONFIGURATION
    assert "export GATEWAY_BROKER_ORDERS_URL=redis://localhost:6379/0" in caught.value.hint


@pytest.mark.parametrize("protocol", [each for each in CONNECTORS if each != "memory"])
@pytest.mark.parametrize(
    "url", ["user:secret@host", "ftp://user:secret@host", "://secret", "x:y:z"]
)
def test_an_address_that_cannot_be_read_is_not_shown(protocol: str, url: str) -> None:
    with pytest.raises(BrokerError) as caught:
        connect("orders", protocol, {"GATEWAY_BROKER_ORDERS_URL": url})
    assert caught.value.failure.failure_class is FailureClass.CONFIGURATION
    assert "GATEWAY_BROKER_ORDERS_URL" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_client_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = Connector(
        module="no_such_client",
        factory="X",
        package="no_such_client",
    )
    monkeypatch.setattr(registry, "CONNECTORS", {"redis": lost})
    with pytest.raises(MissingExtraError, match=r"gateway-lab\[redis\]"):
        connect("orders", "redis", {"GATEWAY_BROKER_ORDERS_URL": "redis://host"})


def test_only_the_connector_that_is_used_is_imported() -> None:
    code = """
import sys
from gateway_lab.brokers.registry import connect
connect("local", "memory", {})
print(sorted({"aiormq", "confluent_kafka", "nats", "redis"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("protocol", [name for name, each in CONNECTORS.items() if each.lease])
def test_the_environment_may_say_how_long_a_silent_process_keeps_what_it_holds(
    protocol: str,
) -> None:
    environ = {"GATEWAY_BROKER_ORDERS_URL": GRAMMARS[protocol].example, "GATEWAY_LEASE": "1500ms"}
    broker = connect("orders", protocol, environ)
    assert getattr(broker, f"_{CONNECTORS[protocol].lease}") == 1.5


@pytest.mark.parametrize("lease", ["2", "two", "s", "2d", "0s", "-1s"])
def test_a_lease_that_is_no_duration_is_told(lease: str) -> None:
    environ = {
        "GATEWAY_BROKER_ORDERS_URL": GRAMMARS["redis"].example,
        "GATEWAY_LEASE": lease,
    }
    with pytest.raises(BrokerError, match=r"GATEWAY_LEASE is .* which is no duration"):
        connect("orders", "redis", environ)


def test_what_several_processes_could_not_share_is_refused_unconnected() -> None:
    require_server("orders", "redis", {"GATEWAY_BROKER_ORDERS_URL": GRAMMARS["redis"].example})
    for url, says in (
        ("memory://shop", "memory is inside one process"),
        ("", "is not set"),
        ("redis:/nowhere", "cannot be read"),
    ):
        with pytest.raises(BrokerError, match=says):
            require_server("orders", "redis", {"GATEWAY_BROKER_ORDERS_URL": url})
