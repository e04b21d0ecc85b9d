from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from faststream.asgi import AsgiResponse, get

from gateway_lab.gateway.app.asgi import GatewayAsgi
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.health.health import Health
from gateway_lab.gateway.health.probes import PATHS
from tests.gateway.shop import Shop, until

pytestmark = pytest.mark.anyio


def running(gateway: Gateway) -> bool:
    return all(each.state is State.RUNNING for each in gateway.stats().sources)


@asynccontextmanager
async def client_of(app: Any, root: str = "") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


@asynccontextmanager
async def served(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway as a server does: it tells the application of its own start and end."""
    asgi = gateway.app.as_asgi()
    async with asgi.start_lifespan_context(), client_of(asgi) as client:
        await until(lambda: running(gateway))
        yield client


async def test_a_server_starts_and_stops_the_gateway_with_it() -> None:
    gateway = Shop().gateway()
    async with served(gateway) as client:
        assert (await client.get("/livez")).json() == {"live": True}
        assert (await client.get("/readyz")).status_code == 200
    (source,) = gateway.stats().sources
    assert source.state is State.STOPPED


def without_times(body: bytes) -> bytes:
    """Leave out what differs from one look to the next."""
    return re.sub(rb"(?m)^(process|python)_.*$|_created.*$|_seconds.*$|_age.*$", b"", body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_it_answers_what_the_port_of_its_own_answers(path: str, method: str) -> None:
    gateway = Shop().gateway()
    async with served(gateway) as client, Health(gateway.stats, port=0, name="shop") as health:
        host, port = health.address
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as other:
            theirs = await other.request(method, path)
        ours = await client.request(method, path)
    assert ours.status_code == theirs.status_code
    assert without_times(ours.content) == without_times(theirs.content)
    kept = [each for each in theirs.headers if each not in {"connection", "content-length"}]
    assert {each: ours.headers[each] for each in kept} == {
        each: theirs.headers[each] for each in kept
    }


async def test_it_is_not_ready_while_a_source_does_not_run() -> None:
    gateway = Shop().gateway()
    async with client_of(gateway.app.as_asgi()) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert not answer.json()["ready"]


async def test_the_document_and_its_page_are_served() -> None:
    gateway = Shop().gateway()
    async with client_of(gateway.app.as_asgi()) as client:
        document = (await client.get("/asyncapi.json")).json()
        page = await client.get("/asyncapi")
    assert document == gateway.app.schema.to_specification().to_jsonable()
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>shop AsyncAPI</title>" in page.text
    assert "asyncapi/try" not in page.text, "a page that publishes"


async def test_the_document_need_not_be_served() -> None:
    asgi = Shop().gateway().app.as_asgi(asyncapi_path=None)
    async with client_of(asgi) as client:
        assert (await client.get("/asyncapi")).status_code == 404
        assert (await client.get("/asyncapi.json")).status_code == 404


async def test_a_text_of_the_config_cannot_end_the_pages_script() -> None:
    shop = Shop()
    shop.config = shop.config.model_copy(update={"description": "</script><script>alert(1)"})
    async with client_of(shop.gateway().app.as_asgi()) as client:
        page = await client.get("/asyncapi")
    assert "</script><script>alert" not in page.text


async def test_users_add_paths_of_their_own() -> None:
    @get
    async def version(_: Any) -> AsgiResponse:
        return AsgiResponse(b"7", 200)

    asgi = Shop().gateway().app.as_asgi(asgi_routes=[("/version", version)])
    async with client_of(asgi) as client:
        assert (await client.get("/version")).text == "7"


@pytest.mark.parametrize("is_cut", [False, True], ids=["Starlette 0.33 and later", "before"])
async def test_it_answers_below_the_path_that_it_is_mounted_at(is_cut: bool) -> None:
    """A mounting application gives the whole path and the root of it; older ones cut it off."""
    gateway = Shop().gateway()
    asgi = gateway.app.as_asgi()

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix("/gateway") if is_cut else scope["path"]
        await asgi({**scope, "path": path, "root_path": "/gateway"}, receive, send)

    async with gateway.app, client_of(mounted) as client:
        assert (await client.get("/gateway/livez")).json() == {"live": True}
        assert (await client.get("/gateway/asyncapi.json")).status_code == 200


async def test_the_context_still_leads_to_the_app() -> None:
    gateway = Shop().gateway()
    asgi = gateway.app.as_asgi()
    assert isinstance(asgi, GatewayAsgi)
    assert gateway.app.context.get("app") is gateway.app


async def test_options_of_the_server_reach_hooks() -> None:
    gateway, seen = Shop().gateway(), []

    @gateway.app.on_startup
    async def note(worker_id: int) -> None:
        seen.append(worker_id)

    async with gateway.app.as_asgi().start_lifespan_context({"worker_id": 3}):
        pass
    assert seen == [3]
