"""The servers that other tests rely on: they start, end as told, and end with the tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway_lab.testing.servers import (
    SERVERS,
    KafkaServer,
    NatsServer,
    RedisServer,
    Server,
    ServerError,
)

pytestmark = pytest.mark.broker

LIMIT_S = 60


@pytest.mark.slow
@pytest.mark.parametrize("protocol", SERVERS)
def test_a_server_that_was_killed_starts_again_where_it_was(protocol: str, tmp_path: Path) -> None:
    server = SERVERS[protocol](tmp_path / "server")
    with server:
        url, first = server.url, server.pid
        assert listens(server)
        server.kill()
        assert server.pid is None
        server.start()
        assert (server.url, listens(server)) == (url, True)
        assert server.pid not in {None, first}
    assert not listens(server)


def test_a_server_keeps_its_data(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        assert ask(server, b"SET a 1\r\n") == b"+OK\r\n"
        server.stop()
        server.start()
        assert ask(server, b"GET a\r\n") == b"$1\r\n1\r\n"


def test_a_paused_server_answers_later(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        peer = socket.create_connection(("127.0.0.1", server.port), LIMIT_S)
        server.pause()
        peer.sendall(b"PING\r\n")
        peer.settimeout(0.1)
        with pytest.raises(TimeoutError):
            peer.recv(100)
        server.resume()
        peer.settimeout(LIMIT_S)
        assert peer.recv(100) == b"+PONG\r\n"
        peer.close()


def test_a_paused_server_can_be_stopped(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.pause()
    assert server.pid is None


@pytest.mark.parametrize(("kind", "words"), [(NatsServer, "is string"), (RedisServer, "no-port")])
def test_a_server_that_ends_at_once_shows_what_it_wrote(
    kind: type[Server], words: str, tmp_path: Path
) -> None:
    server = kind(tmp_path, settings={"port": "no-port"})
    with pytest.raises(ServerError, match="ended") as caught:
        server.start()
    assert words in str(caught.value)
    server.stop()


def test_settings_are_the_servers_own(tmp_path: Path) -> None:
    with RedisServer(tmp_path, settings={"maxmemory": "3mb"}) as server:
        assert b"3145728" in ask(server, b"CONFIG GET maxmemory\r\n")


def test_a_server_that_is_not_installed_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="make servers"):
        KafkaServer(tmp_path).start()


def test_servers_end_when_the_tests_are_killed(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from gateway_lab.testing.servers import RedisServer
server = RedisServer(Path({str(tmp_path)!r}))
server.start()
print(server.port, flush=True)
input()
"""
    test = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with test:
        assert test.stdout
        port = int(test.stdout.readline())
        os.kill(test.pid, signal.SIGKILL)
    wait_until(lambda: not is_open(port))


def test_a_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert ask(server, b"PING\r\n") == b"+PONG\r\n"
    server.stop()


def ask(server: Server, question: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as peer:
        peer.sendall(question)
        return peer.recv(4096)


def listens(server: Server) -> bool:
    return is_open(server.port)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)
