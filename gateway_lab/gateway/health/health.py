"""Health over HTTP: a port of its own for what `probes.py` answers.

It answers on the gateway's own event loop, so that a loop that hangs is seen to hang. It speaks
just enough HTTP for a GET: a request is small and soon there, or the client is sent away.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self

from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.counters import Stats
from gateway_lab.gateway.health.probes import Answer, Probes, in_words

LOOPBACK: Final = "127.0.0.1"

MAX_REQUEST: Final = 8 * 1024
"""Bytes of a request's head."""

CLIENT_S: Final = 5.0
"""Seconds that a client has to ask and to take the answer."""

MAX_CLIENTS: Final = 32
"""Clients at once; more are sent away."""

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
        self._probes = Probes(stats, name)
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
        self._probes.close()

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
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it is slow, or gone, or we go
        finally:
            self._clients.discard(me)
            writer.transport.abort()

    async def _answer(self, request: list[str]) -> bytes:
        if len(request) != 3 or not request[2].startswith("HTTP/1."):
            return _response(in_words(HTTPStatus.BAD_REQUEST))
        method, target, _ = request
        return _response(await self._probes.answer(method, target.partition("?")[0]))


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


def _response(answer: Answer) -> bytes:
    status, head = HTTPStatus(answer.status), [*answer.headers, ("Connection", "close")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in head)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode() + answer.body
