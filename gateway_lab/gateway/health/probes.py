"""What a gateway answers to probes and to Prometheus: `/livez`, `/readyz` and `/metrics`.

One source for the port of its own (`health.py`) and for ASGI (`app/asgi.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import msgspec

from gateway_lab.gateway.counters import SourceStats, State, Stats
from gateway_lab.gateway.health.metrics import expose

DEFECT: Final = "a defect of gateway_lab"
"""How the reason of a source begins that an unforeseen error stopped; the log has the rest."""

PATHS: Final = ("/livez", "/readyz", "/metrics")

_READY: Final = (State.RUNNING, State.IDLE)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP.

    Attributes:
        status: Its number.
        headers: Name and value of each, the length among them.
        body: Empty where only the head was asked for.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Probes:
    """Answers for a gateway, or for all workers together."""

    def __init__(self, stats: Callable[[], Stats], name: str) -> None:
        """Prepare them.

        Args:
            stats: The books at this moment.
            name: Of the config.
        """
        self._stats, self._name = stats, name
        self._writing = ThreadPoolExecutor(1, "gateway-lab-metrics")

    async def answer(self, method: str, path: str) -> Answer:
        """Answer a request; a path that is none of `PATHS` is not found."""
        if method not in {"GET", "HEAD"}:
            return in_words(HTTPStatus.METHOD_NOT_ALLOWED)
        answer = await self._look_up(path)
        return replace(answer, body=b"") if method == "HEAD" else answer

    def close(self) -> None:
        """End the thread that writes metrics."""
        self._writing.shutdown()

    async def _look_up(self, path: str) -> Answer:
        if path == "/livez":
            return in_json(HTTPStatus.OK, {"live": True})
        if path == "/readyz":
            is_ready, told = readiness(self._stats())
            status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
            return in_json(status, {"ready": is_ready, "sources": told})
        if path == "/metrics":
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return in_kind(HTTPStatus.OK, kind, await self._metrics())
        return in_words(HTTPStatus.NOT_FOUND)

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


def in_words(status: HTTPStatus) -> Answer:
    """Answer with a status, in words."""
    return in_kind(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())


def in_json(status: HTTPStatus, content: object) -> Answer:
    """Answer with a document."""
    return in_kind(status, "application/json", msgspec.json.encode(content) + b"\n")


def in_kind(status: HTTPStatus, kind: str, body: bytes) -> Answer:
    """Answer with a body of a content type."""
    headers = (
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Answer(status.value, headers, body)
