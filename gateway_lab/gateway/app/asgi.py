"""A gateway's app over ASGI: health, metrics and its document, alone or within another application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from faststream import FastStream
from faststream.asgi import AsgiFastStream
from faststream.specification import get_asyncapi_html

from gateway_lab.gateway.counters import Stats
from gateway_lab.gateway.health.probes import PATHS, Answer, Probes, in_json, in_kind

if TYPE_CHECKING:
    from faststream.asgi.types import ASGIApp, Receive, Scope, Send

ASYNCAPI_PATH: Final = "/asyncapi"

Ask: TypeAlias = Callable[[str], Awaitable[Answer]]
"""Answers a request of a method."""


class GatewayAsgi(AsgiFastStream):
    """Serves an app. What serves it starts and stops the app; where it is mounted, nobody does."""

    def __init__(
        self,
        app: FastStream,
        *,
        stats: Callable[[], Stats],
        name: str,
        asgi_routes: Sequence[tuple[str, ASGIApp]],
        asyncapi_path: str | None,
    ) -> None:
        """Put routes together; those that are given go behind ours.

        Args:
            app: What is started and stopped.
            stats: The books of its gateway at this moment.
            name: Of the config.
            asgi_routes: More of them.
            asyncapi_path: See `GatewayApp.as_asgi`.
        """
        probes = Probes(stats, name)
        asked: dict[str, Ask] = {path: _probe(probes, path) for path in PATHS}
        if asyncapi_path:
            asked |= {asyncapi_path: _page(app), f"{asyncapi_path}.json": _document(app)}
        routes = [*((path, _served(ask)) for path, ask in asked.items()), *asgi_routes]
        super().__init__(asgi_routes=routes, logger=app.logger, context=app.context)
        app.context.set_global("app", app)  # FastStream has put this one in its place
        self._app, self._probes = app, probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, also below the path that it is mounted at."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].removeprefix(scope.get("root_path", ""))}
        await super().__call__(scope, receive, send)

    @asynccontextmanager
    async def start_lifespan_context(
        self, run_extra_options: dict[str, Any] | None = None
    ) -> AsyncIterator[None]:
        """Start the app, and stop it in the end: what a server's own start and end do."""
        await self._app.start(**(run_extra_options or self._run_extra_options))
        try:
            yield
        finally:
            await self._app.stop()
            self._probes.close()


def _probe(probes: Probes, path: str) -> Ask:
    async def ask(method: str) -> Answer:
        return await probes.answer(method, path)

    return ask


def _document(app: FastStream) -> Ask:
    async def ask(_: str) -> Answer:
        specification = await asyncio.to_thread(app.schema.to_specification)
        return in_json(HTTPStatus.OK, specification.to_jsonable())

    return ask


def _page(app: FastStream) -> Ask:
    async def ask(_: str) -> Answer:
        specification = await asyncio.to_thread(app.schema.to_specification)
        # FastStream's page can publish, on any of the brokers: not from here.
        page = get_asyncapi_html(specification, try_it_out_path=None)
        return in_kind(HTTPStatus.OK, "text/html; charset=utf-8", page.encode())

    return ask


def _served(ask: Ask) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        del receive  # nothing of a request but its method and path is looked at
        answer = await ask(scope["method"])
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return serve
