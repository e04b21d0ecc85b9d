"""Servers with TLS and users, one of each protocol for a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.security.secured import Secured, secured


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Secured]]:
    """Hold what was started: a server starts when a test first asks for it."""
    with ExitStack() as stack:

        class Started(dict[str, Secured]):
            def __missing__(self, protocol: str) -> Secured:
                folder = tmp_path_factory.mktemp(f"secured-{protocol}")
                self[protocol] = stack.enter_context(secured(protocol, folder))
                return self[protocol]

        yield Started()


@pytest.fixture(params=["kafka", "rabbitmq", "nats", "redis"])
def server(request: pytest.FixtureRequest, servers: dict[str, Secured]) -> Secured:
    return servers[request.param]
