"""Real servers for examples: where each alias of their configs is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway_lab.examples.stage import Stage, staged
from gateway_lab.testing.servers import Server

ALIASES = {"kafka": "stream", "rabbitmq": "work", "nats": "edge", "redis": "cache"}


@contextmanager
def on(config: object, *servers: Server, **environ: str) -> Iterator[Stage]:
    """Stage an example on servers that run already; nothing else may be started."""
    urls = {f"GATEWAY_BROKER_{ALIASES[each.protocol].upper()}_URL": each.url for each in servers}
    with staged(config, {**urls, **environ}, tell=pytest.fail) as stage:  # type: ignore[arg-type]
        yield stage
