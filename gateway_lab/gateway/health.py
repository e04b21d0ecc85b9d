"""Health over HTTP: `/livez`, `/readyz` and `/metrics`, for probes and for Prometheus.

It answers on the gateway's own event loop, so that a loop that hangs is seen to hang. It speaks
just enough HTTP for a GET: a request is small and soon there, or the client is sent away.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self

import msgspec

from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.counters import SourceStats, State, Stats
from gateway_lab.gateway.metrics import expose

LOOPBACK: Final = "127.0.0.1"

MAX_REQUEST: Final = 8 * 1024
"""Bytes of a request's head."""

CLIENT_S: Final = 5.0
"""Seconds that a client has to ask and to take the answer."""

MAX_CLIENTS: Final = 32
"""Clients at once; more are sent away."""

DEFECT: Final = "a defect of gateway_lab"
"""How the reason of a source begins that an unforeseen error stopped; the log has the rest."""

_READY: Final = (State.RUNNING, State.IDLE)
_HINTS: Final = {
    errno.EADDRINUSE: ("the port is taken", "choose another port, or end what listens there"),
    errno.EACCES: ("the port may not be opened", "choose one above 1023"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "name an address of this machine"),
}


class Health:
    """Serves the health of a gateway while its block runs.

        async with Health(gateway.stats, port=9100, name="shop"):
            await gateway.wait()

    Attributes:
        address: Host and port that it listens at, the real one where port 0 was asked for.
    """

    def __init__(
        self,
        stats: Callable[[], Stats],
        *,
        port: int,
        name: str,
        host: str = LOOPBACK,
        is_exposed: bool = False,
    ) -> None:
        """Prepare it; nothing listens yet.

        Args:
            stats: The books of a gateway, or of all workers together, at this moment.
            port: Where to listen; 0 takes any that is free.
            name: Of the config.
            host: Where to listen.
            is_exposed: Whether `host` may be other than this machine alone.

        Raises:
            GatewayLabError: The host is not loopback and `is_exposed` is not set.
        """
        if not is_exposed and not _is_loopback(host):
            raise GatewayLabError(
                "there is no login: whoever reaches this address reads the names of sources, "
                "routes and brokers, and how much passes",
                where=f"health on {host}",
                hint=f"listen on {LOOPBACK}, or allow it to be exposed, behind a firewall",
            )
        self.address = (host, port)
        self._stats, self._name = stats, name
        self._clients: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            GatewayLabError: The port is taken, or may not be used.
        """
        host, port = self.address
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST)
        except OSError as error:
            problem, hint = _HINTS.get(error.errno or 0, ("it cannot listen there", ""))
            raise GatewayLabError(problem, where=f"health on {host}:{port}", hint=hint) from None
        self.address = self._server.sockets[0].getsockname()[:2]
        self._writing = ThreadPoolExecutor(1, "gateway-lab-metrics")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more, and send away who is there."""
        self._server.close()
        clients = [each for each in self._clients if each]
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await self._server.wait_closed()
        self._writing.shutdown()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and hang up, within a limit of time."""
        me = asyncio.current_task()
        try:
            if len(self._clients) < MAX_CLIENTS:
                self._clients.add(me)
                async with asyncio.timeout(CLIENT_S):
                    writer.write(await self._answer(await _read_request(reader)))
                    writer.close()
                    await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # it is slow, or gone
        finally:
            self._clients.discard(me)
            writer.transport.abort()

    async def _answer(self, request: list[str]) -> bytes:
        if len(request) != 3 or not request[2].startswith("HTTP/1."):
            return _response(HTTPStatus.BAD_REQUEST)
        method, target, _ = request
        if method not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED)
        response = await self._look_up(target.partition("?")[0])
        return b"".join(response.partition(b"\r\n\r\n")[:2]) if method == "HEAD" else response

    async def _look_up(self, path: str) -> bytes:
        if path == "/livez":
            return _response(HTTPStatus.OK, {"live": True})
        if path == "/readyz":
            is_ready, told = readiness(self._stats())
            status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
            return _response(status, {"ready": is_ready, "sources": told})
        if path == "/metrics":
            return _response(HTTPStatus.OK, await self._metrics())
        return _response(HTTPStatus.NOT_FOUND)

    async def _metrics(self) -> bytes:
        """Write a scrape in the one thread for it: messages go on meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writing, expose, self._stats(), self._name)


def readiness(stats: Stats) -> tuple[bool, dict[str, dict[str, str]]]:
    """Return whether all sources run that a router reads, and how each of them is."""
    told = {each.source: _state_of(each) for each in stats.sources}
    return all(each.state in _READY for each in stats.sources), told


def _state_of(source: SourceStats) -> dict[str, str]:
    """Tell a state and its reason: the problem alone, and no trace of a defect."""
    state = {"state": str(source.state)}
    if reason := source.reason.partition("\n")[0]:
        is_defect = reason.startswith(DEFECT)
        state["reason"] = f"{DEFECT}: the log has more" if is_defect else reason
    return state


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _read_request(reader: asyncio.StreamReader) -> list[str]:
    """Return the words of the request's first line; none where the head is too long."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return []
    return head.partition(b"\r\n")[0].decode("latin-1").split(" ")


def _response(status: HTTPStatus, content: dict[str, object] | bytes | None = None) -> bytes:
    """Write a response; without content it is the status in words."""
    if isinstance(content, bytes):
        kind, body = "text/plain; version=0.0.4; charset=utf-8", content
    elif content is None:
        kind, body = "text/plain; charset=utf-8", f"{status.phrase}\n".encode()
    else:
        kind, body = "application/json", msgspec.json.encode(content) + b"\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
