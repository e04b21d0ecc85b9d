from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.counters import State, Stats
from gateway_lab.gateway.health import health
from gateway_lab.gateway.health.health import Health
from tests.gateway.books import source, stats
from tests.gateway.shop import Shop, order, settled, until

pytestmark = pytest.mark.anyio


def served(books: Callable[[], Stats] = stats, **options: Any) -> Health:
    return Health(books, **{"port": 0, "name": "shop", **options})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with served() as server:
        yield server.address[1]


async def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Ask as any client does."""

    def ask() -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        client.request(method, path)
        answer = client.getresponse()
        client.close()
        return answer.status, answer.read()

    return await asyncio.to_thread(ask)


async def raw(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(60):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.transport.abort()


async def readyz(*sources: Any) -> tuple[int, Any]:
    async with served(lambda: stats(*sources)) as server:
        status, body = await get(server.address[1], "/readyz")
        return status, json.loads(body)


async def test_a_process_that_answers_is_alive(port: int) -> None:
    assert await get(port, "/livez") == (200, b'{"live":true}\n')


async def test_it_is_ready_when_every_wanted_source_runs() -> None:
    status, told = await readyz(source("a"), source("b", State.IDLE))
    assert status == 200
    assert told == {"ready": True, "sources": {"a": {"state": "running"}, "b": {"state": "idle"}}}


@pytest.mark.parametrize("state", [State.WAITING, State.RED, State.STOPPED])
async def test_it_is_not_ready_while_a_source_does_not_run(state: State) -> None:
    status, told = await readyz(source("a"), source("b", state, "for broker there"))
    assert status == 503
    assert not told["ready"]
    assert told["sources"]["b"] == {"state": state, "reason": "for broker there"}


async def test_a_reason_is_its_first_line_and_nothing_of_a_defect() -> None:
    defect = "a defect of gateway_lab: KeyError in take (/home/me/pump.py:12)"
    red = source("a", State.RED, "source a: no permission\nhint: ask")
    _, told = await readyz(red, source("b", State.RED, defect))
    assert told["sources"]["a"]["reason"] == "source a: no permission"
    assert told["sources"]["b"]["reason"] == "a defect of gateway_lab: the log has more"


async def test_a_scrape_of_a_running_gateway_keeps_the_books() -> None:
    shop = Shop()
    numbers = [1, 2, 100, 200]
    shop.publish([order(n, tenant="a") for n in numbers])
    shop.publish([order(3, kind="waste"), order(4, kind="parked")])
    async with shop.gateway() as gateway, served(gateway.stats) as server:
        await until(settled(gateway, 6))
        _, text = await get(server.address[1], "/metrics")
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            sums[sample.name.removeprefix("gateway_lab_")] += sample.value
    read, in_flight = sums["messages_read_total"], sums["in_flight_messages"]
    assert read == 6 == sums["messages_settled_total"] + in_flight
    assert sums["router_messages_total"] == 12
    ended, pending = sums["deliveries_total"], sums["pending_deliveries"]
    assert sums["deliveries_decided_total"] == ended + pending == 12


async def test_what_is_not_there_is_not_found(port: int) -> None:
    assert await get(port, "/") == (404, b"Not Found\n")
    assert await get(port, "/livez?verbose") == (200, b'{"live":true}\n')


async def test_nothing_can_be_changed_from_outside(port: int) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert (await get(port, "/livez", method))[0] == 405


async def test_a_head_request_has_no_body(port: int) -> None:
    assert await get(port, "/metrics", "HEAD") == (200, b"")


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"GET /livez\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/9\r\n\r\n"],
    ids=["empty", "old", "tls", "new"],
)
async def test_what_is_no_request_is_refused(port: int, sent: bytes) -> None:
    assert (await raw(port, sent)).startswith(b"HTTP/1.1 400 ")


async def test_a_request_that_never_ends_is_cut_off(port: int) -> None:
    answer = await raw(port, b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert (await get(port, "/livez"))[0] == 200


async def test_clients_that_say_nothing_are_sent_away(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CLIENT_S", 0.01)
    assert await raw(port, b"GET /livez") == b""


async def test_too_many_clients_are_sent_away_and_come_again(port: int) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(health.MAX_CLIENTS)]
    assert await raw(port, b"GET /livez HTTP/1.1\r\n\r\n") == b""
    for _, writer in idle:
        writer.transport.abort()

    async def answers() -> bytes:
        return await raw(port, b"GET /livez HTTP/1.1\r\n\r\n")

    async with asyncio.timeout(60):
        while not (await answers()).startswith(b"HTTP/1.1 200 "):
            pass


async def test_nothing_is_left_when_it_ends() -> None:
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    async with served() as server:
        silent = await asyncio.open_connection(*server.address)
        port = server.address[1]
        await raw(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert await silent[0].read() == b""
    silent[1].close()
    assert asyncio.all_tasks() == tasks
    assert set(threading.enumerate()) <= threads
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_that_is_taken_is_told(port: int) -> None:
    with pytest.raises(GatewayLabError, match=f"health on 127.0.0.1:{port}: the port is taken"):
        async with served(port=port):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])  # noqa: S104
def test_another_host_is_refused_unless_that_is_meant(host: str) -> None:
    with pytest.raises(GatewayLabError, match="there is no login"):
        served(host=host)
    assert served(host=host, is_exposed=True).address == (host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_loopback_is_loopback(host: str) -> None:
    assert served(host=host).address == (host, 0)
