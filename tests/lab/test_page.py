"""The designer as a page: who may see it, and what it is told."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

import gateway_lab as gl
from gateway_lab.lab.page import MOST_BYTES, PageServer

DATA = Path(__file__).parents[2] / "data"
TOKEN = "the-token"
LIMIT_S = 60


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Asks a page server; it has the cookie once it was opened."""

    def __init__(self, server: PageServer) -> None:
        self.server = server
        self.headers: dict[str, str] = {}

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=LIMIT_S)
        ) as made:
            yield made

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        with self.connection() as connection:
            connection.request(method, path, body, {**self.headers, **headers})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())

    def open(self) -> None:
        answer = self.ask("GET", f"/?token={TOKEN}")
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        self.headers = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}

    def command(self, **command: Any) -> int:
        return self.ask("POST", "/command", json.dumps(command).encode()).status

    @contextmanager
    def news(self) -> Iterator[Iterator[dict[str, Any]]]:
        with self.connection() as connection:
            connection.request("GET", "/state", headers=self.headers)
            with connection.getresponse() as answer:
                yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))


@pytest.fixture
def designer() -> gl.Designer:
    config = gl.read_config(DATA / "business.yaml")
    return gl.design(config, gl.scan_capture(DATA / "business.parquet").head(200))


@pytest.fixture
def client(designer: gl.Designer) -> Iterator[Client]:
    with PageServer(0, designer, TOKEN, designer.hear) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Client(server)
        server.shutdown()
        thread.join(LIMIT_S)


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/state", "/designer.js"])
def test_without_the_token_nothing_is_shown(client: Client, path: str) -> None:
    answer = client.ask("GET", path)
    assert answer.status == 403
    assert b"holds the token" in answer.body


def test_without_the_token_nothing_is_done(client: Client, designer: gl.Designer) -> None:
    assert client.command(do="undo") == 403
    assert client.command(do="remove_route", arguments=["by_priority", "critical"]) == 403
    assert designer.draft.is_written


def test_a_page_of_another_name_is_refused(client: Client) -> None:
    client.open()
    assert client.ask("GET", "/", Host="evil.example").status == 403


def test_the_page_and_what_it_loads_are_served_from_here_alone(client: Client) -> None:
    client.open()
    for path in ("/", "/page.js", "/page.css", "/designer.js", "/designer.css"):
        answer = client.ask("GET", path)
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        text = answer.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text
    assert client.ask("GET", "/page.py").status == 404


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: Client) -> None:
    cookie = client.ask("GET", f"/?token={TOKEN}").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_commands_change_what_every_view_is_told(client: Client, designer: gl.Designer) -> None:
    client.open()
    changes = {"when": "priority = 'low'"}
    told = {"do": "edit_route", "arguments": ["by_priority", "critical"], "changes": changes}
    with client.news() as one, client.news() as other:
        assert (
            {"document", "counts", "flow", "status", "steps"} <= set(next(one)) == set(next(other))
        )
        assert client.command(**told) == 202
        for view in (one, other):
            steps = next(each["steps"] for each in view if each.get("steps", {}).get("at"))
            assert steps["names"][-1] == "route by_priority/critical: when"
    assert designer.config.routers["by_priority"].routes[0].when == "priority = 'low'"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"do"', b"[" * 100_000])
def test_what_is_no_command_is_refused(client: Client, body: bytes) -> None:
    client.open()
    assert client.ask("POST", "/command", body).status == 400
    assert client.command(do="undo") == 202


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "-1", "long", "9" * 5_000])
def test_a_command_that_is_too_long_or_does_not_say_how_long_is_refused(
    client: Client, length: str
) -> None:
    client.open()
    assert client.ask("POST", "/command", b"", **{"Content-Length": length}).status == 413
