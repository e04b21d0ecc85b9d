"""The route designer as a page of its own: for those without a notebook.

A server on this machine alone shows the panel of `designer.js` and passes on what a person does.
Everything is served from here; the page asks nothing else for anything.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import queue
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from gateway_lab.lab.designer import SHOWN, Designer

HOST: Final = "127.0.0.1"
_HERE: Final = Path(__file__).parent
_FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/designer.js": ("designer.js", "text/javascript"),
    "/designer.css": ("designer.css", "text/css"),
}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MOST_BYTES: Final = 1 << 20
"""Of a command: a config is no longer than that."""

ALIVE_S: Final = 10.0
"""After which a view without news is told that there is none."""


class PageServer(ThreadingHTTPServer):
    """Serves one designer to whoever has the token.

    Attributes:
        designer: What is shown.
        token: Opens the page, once as `/?token=…`; a cookie keeps it then.
        hear: Is given each command; any thread calls it.
    """

    daemon_threads = True

    def __init__(
        self, port: int, designer: Designer, token: str, hear: Callable[[dict[str, Any]], object]
    ) -> None:
        super().__init__((HOST, port), _Request)
        self.designer, self.token, self.hear = designer, token, hear

    @property
    def address(self) -> str:
        """`http://host:port`."""
        return f"http://{HOST}:{self.server_port}"

    @contextmanager
    def news(self) -> Iterator[queue.SimpleQueue[Mapping[str, Any]]]:
        """Collect what changes in the panel; the first of it is all that there is."""
        changes: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()

        def note(change: Any) -> None:
            changes.put({change["name"]: change["new"]})

        changes.put({name: getattr(self.designer, name) for name in SHOWN})
        self.designer.observe(note, SHOWN)
        # Once more: what changed before it was observed is in neither.
        changes.put({name: getattr(self.designer, name) for name in SHOWN})
        try:
            yield changes
        finally:
            self.designer.unobserve(note, SHOWN)


class _Request(BaseHTTPRequestHandler):
    """One request; without the token there is nothing to be seen."""

    protocol_version = "HTTP/1.1"

    @property
    def _page(self) -> PageServer:
        return cast("PageServer", self.server)

    @property
    def _cookie(self) -> str:
        return f"gateway_lab_{self._page.server_port}"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        given = parse_qs(address.query).get("token", [""])[0]
        if address.path == "/" and self._is_token(given):
            cookie = f"{self._cookie}={given}; HttpOnly; SameSite=Strict; Path=/"
            self._answer(HTTPStatus.SEE_OTHER, {"Location": "/", "Set-Cookie": cookie})
        elif not self._is_known():
            self._refuse()
        elif address.path == "/state":
            self._stream()
        elif address.path in _FILES:
            name, kind = _FILES[address.path]
            body = (_HERE / name).read_bytes()
            self._answer(HTTPStatus.OK, {"Content-Type": f"{kind}; charset=utf-8"}, body)
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        if not self._is_known() or self.path != "/command":
            return self._refuse()
        told = self.headers.get("Content-Length", "0")
        size = int(told) if re.fullmatch("[0-9]{1,9}", told) else MOST_BYTES + 1
        if size > MOST_BYTES:
            self.close_connection = True
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            command = json.loads(self.rfile.read(size))
        except (ValueError, RecursionError):
            command = None
        if not isinstance(command, dict):
            return self._answer(HTTPStatus.BAD_REQUEST)
        self._page.hear(command)
        return self._answer(HTTPStatus.ACCEPTED)

    def _stream(self) -> None:
        """Send what changes, until the view is gone."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        for name, value in {**_HEADERS, "Content-Type": "text/event-stream"}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError), self._page.news() as news:
            while True:
                try:
                    line = f"data: {json.dumps(news.get(timeout=ALIVE_S))}\n\n"
                except queue.Empty:
                    line = ":\n\n"
                self.wfile.write(line.encode())

    def _is_known(self) -> bool:
        """Say whether the request comes from the page that was opened with the token."""
        hosts = {f"{name}:{self._page.server_port}" for name in (HOST, "localhost")}
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie)
        is_here = self.headers.get("Host", "") in hosts
        return is_here and cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._page.token.encode())

    def _refuse(self) -> None:
        self.close_connection = True
        told = b"Open the address that gateway-lab printed: it holds the token.\n"
        self._answer(HTTPStatus.FORBIDDEN, {"Content-Type": "text/plain"}, told)

    def _answer(
        self, status: HTTPStatus, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.send_response(status)
        told = {**_HEADERS, **(headers or {}), "Content-Length": str(len(body))}
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Say nothing: a request is no news."""


async def serve(designer: Designer, port: int, token: str, ready: Callable[[str], object]) -> None:
    """Show a designer until the task is cancelled.

    Args:
        designer: What is shown.
        port: Of this machine; 0: any that is free.
        token: Without it nobody sees the page.
        ready: Is called with the page's address.

    Raises:
        OSError: The port is taken.
    """
    loop = asyncio.get_running_loop()

    def hear(command: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(designer.hear, command)

    with PageServer(port, designer, token, hear) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            designer.count()
            ready(f"{server.address}/?token={token}")
            await asyncio.Event().wait()
        finally:
            server.shutdown()
