from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization as to

from gateway_lab.brokers.addresses import (
    GRAMMARS,
    Address,
    is_loopback,
    read_address,
    with_password_file,
)
from gateway_lab.brokers.contract import BrokerError, FailureClass
from gateway_lab.brokers.registry import connect

PROTOCOLS = list(GRAMMARS)
AWAY = "broker.example"


def refused(url: str, protocol: str = "kafka") -> BrokerError:
    """Read an address that must be refused; nothing of it may be in the error or behind it."""
    with pytest.raises(BrokerError) as caught:
        read_address("edge", url, protocol)
    error = caught.value
    assert error.failure.failure_class is FailureClass.CONFIGURATION
    assert error.hint
    assert "GATEWAY_BROKER_EDGE_URL" in str(error)
    assert "CANARY" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


def test_an_address_is_read_whole() -> None:
    address = read_address("edge", "kafka://ann:p%2Fw%40%25@localhost:1,[::1]?sasl=PLAIN", "kafka")
    assert address.hosts == (("localhost", 1), ("::1", 9092))
    assert address.host_list() == "localhost:1,[::1]:9092"
    assert (address.user, address.password) == ("ann", "p/w@%")
    assert address.options == {"sasl": "PLAIN"}
    assert address.tls is None


def test_hosts_of_a_cluster_may_repeat_the_scheme() -> None:
    address = read_address("edge", "nats://localhost:1,nats://127.0.0.1:2", "nats")
    assert address.hosts == (("localhost", 1), ("127.0.0.1", 2))


def test_an_address_shows_nothing_of_itself() -> None:
    address = read_address("edge", "amqp://CANARY:CANARY@localhost/CANARY", "rabbitmq")
    assert (address.place, address.password) == ("CANARY", "CANARY")
    assert repr(address) == str(address) == "Address()"


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestOtherMachines:
    def test_another_machine_is_refused_without_tls(self, protocol: str) -> None:
        scheme, secure = GRAMMARS[protocol].schemes
        error = refused(f"{scheme}://CANARY:CANARY@{AWAY}", protocol)
        assert "without TLS" in error.problem
        assert f"{secure}://" in error.hint
        assert "?plaintext=allowed" in error.hint

    def test_the_environment_may_allow_it_for_an_alias(self, protocol: str) -> None:
        scheme = GRAMMARS[protocol].schemes[0]
        url = f"{scheme}://ann:secret@{AWAY}?plaintext=allowed"
        assert connect("edge", protocol, {"GATEWAY_BROKER_EDGE_URL": url}).alias == "edge"

    def test_tls_is_enough(self, protocol: str) -> None:
        address = read_address("edge", f"{GRAMMARS[protocol].schemes[1]}://{AWAY}", protocol)
        assert address.tls is not None
        assert address.tls.check_hostname

    def test_this_machine_needs_no_tls(self, protocol: str) -> None:
        scheme = GRAMMARS[protocol].schemes[0]
        assert read_address("edge", f"{scheme}://127.0.0.1", protocol).tls is None

    def test_a_connector_refuses_it_whoever_makes_it(self, protocol: str) -> None:
        url = f"{GRAMMARS[protocol].schemes[0]}://a:b@{AWAY}"
        with pytest.raises(BrokerError, match="without TLS"):
            connect("edge", protocol, {"GATEWAY_BROKER_EDGE_URL": url})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("db.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("192.168.0.1", False),
        ("10.0.0.1", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("::", False),
        ("2130706433", False),
    ],
)
def test_loopback_is_known_by_the_name_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_one_host_elsewhere_is_enough_to_refuse_a_cluster() -> None:
    refused(f"kafka://localhost:9092,{AWAY}:9092")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "CANARY",
        "kafka://",
        "kafka:///CANARY",
        "amqp://localhost",
        "http://CANARY@localhost",
        "kafka://a:CANARY?x@localhost",
        "kafka://a:CANARY#x@localhost",
        "kafka://a:CANARY/x@localhost",
        "kafka://localhost:CANARY",
        "kafka://localhost:99999",
        "kafka://local host",
        "kafka://local\nhost",
        "kafka://localhost\0",
        "kafka://localhost,",
        "kafka://localhost?sasl",
        "kafka://localhost?sasl=",
        "kafka://localhost?sasl=PLAIN&sasl=PLAIN",
        "kafka://localhost?ssl.endpoint.identification.algorithm=none",
        "kafka://localhost?plaintext=yes",
        "kafkas://localhost?plaintext=allowed",
        "kafka://localhost?ca=CANARY",
        "kafkas://localhost?key=CANARY",
        "kafka://[::1",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(url: str) -> None:
    assert refused(url).hint


@pytest.mark.parametrize(
    ("protocol", "option"),
    [
        ("rabbitmq", "no_verify_ssl=1"),
        ("rabbitmq", "auth=external"),
        ("redis", "ssl_cert_reqs=none"),
        ("redis", "ssl_check_hostname=false"),
        ("nats", "tls_insecure=1"),
        ("kafka", "enable.ssl.certificate.verification=false"),
    ],
)
def test_no_option_of_a_client_library_gets_through(protocol: str, option: str) -> None:
    refused(f"{GRAMMARS[protocol].schemes[1]}://localhost?{option}", protocol)


def test_one_host_is_one_host_where_there_are_no_clusters() -> None:
    refused("redis://localhost:1,localhost:2", "redis")


@pytest.mark.parametrize("name", ["ca", "cert", "creds"])
def test_a_file_that_cannot_be_read_is_told_when_the_gateway_starts(
    name: str, tmp_path: Path
) -> None:
    file = tmp_path / "CANARY.pem"
    assert "file" in refused(f"tls://localhost?{name}={file}", "nats").problem
    if name != "creds":
        file.write_text("no PEM")
        assert "file" in refused(f"tls://localhost?{name}={file}", "nats").problem


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = trustme.CA().issue_cert("localhost")
    made.cert_chain_pems[0].write_to_path(str(cert))

    loaded = to.load_pem_private_key(made.private_key_pem.bytes(), None)
    locked = to.BestAvailableEncryption(b"CANARY")
    key.write_bytes(loaded.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, locked))
    refused(f"kafkas://localhost?cert={cert}&key={key}")


# --- passwords in files ---


def with_file(url: str, file: Path, protocol: str = "redis") -> Address:
    environ = {
        "GATEWAY_BROKER_EDGE_URL": url,
        "GATEWAY_BROKER_EDGE_PASSWORD_FILE": str(file),
    }
    connect("edge", protocol, environ)

    return read_address("edge", with_password_file("edge", url, str(file)), protocol)


def test_a_password_comes_from_a_file_as_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p:/?#@% w\n")
    address = with_file("redis://ann@localhost", file)
    assert (address.user, address.password) == ("ann", "p:/?#@% w")
    assert with_file("redis://localhost", file).password == "p:/?#@% w"


@pytest.mark.parametrize("content", [None, "", "\n", b"\xff"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "CANARY"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BrokerError, match="EDGE_PASSWORD_FILE") as caught:
        with_file("redis://ann@localhost", file)
    assert "CANARY" not in str(caught.value)


def test_two_passwords_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("one")
    with pytest.raises(BrokerError, match="leave out one") as caught:
        with_file("redis://ann:CANARY@localhost", file)
    assert "CANARY" not in str(caught.value)


def test_protocols_say_what_they_cannot_use() -> None:
    for protocol, url in (
        ("kafka", "kafka://ann@localhost"),
        ("kafka", "kafka://ann:CANARY@localhost?sasl=GSSAPI"),
        ("kafka", "kafka://localhost/CANARY"),
        ("redis", "redis://localhost/CANARY"),
        ("nats", "nats://localhost/CANARY"),
    ):
        with pytest.raises(BrokerError) as caught:
            connect("edge", protocol, {"GATEWAY_BROKER_EDGE_URL": url})
        assert "CANARY" not in str(caught.value)
