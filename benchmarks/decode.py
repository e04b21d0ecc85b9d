"""How fast bodies become values: the compiled decoder, bare msgspec and pydantic, in one run.

Run it with `python -m benchmarks.decode`. The bodies are those of the design's `BusinessEvent`,
with a few fields more that nobody declared, as in real traffic.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

from gateway_lab.events.decode import compile_decoder
from gateway_lab.events.event_type import Path
from gateway_lab.events.pydantic_model import to_model
from gateway_lab.events.schema import read_event_type

BODIES: Final = 100_000
ROUNDS: Final = 9
PATHS: Final[tuple[Path, ...]] = (("event_type",), ("priority",), ("tenant_id",))
BUSINESS_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["event_type", "priority", "payload", "tenant_id"],
    "properties": {
        "event_type": {"type": "string"},
        "priority": {"enum": ["low", "medium", "high", "critical"]},
        "payload": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "amount": {"type": "number"}},
        },
        "tenant_id": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$", "x-private": True},
    },
}


class Bare(msgspec.Struct, gc=False):
    """The three routing fields, and no check of anything else."""

    event_type: str
    priority: str
    tenant_id: str


class Payload(BaseModel):
    """What happened; more fields may be there."""

    id: str | None = None
    amount: float | None = None


class BusinessEvent(BaseModel):
    """The same event type, as one writes it by hand with pydantic."""

    event_type: str
    priority: Literal["low", "medium", "high", "critical"]
    payload: Payload
    tenant_id: Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$")]


def make_bodies(count: int, seed: int = 0) -> list[bytes]:
    """Invent valid bodies of some 250 bytes."""
    rng = random.Random(seed)  # noqa: S311 - traffic, not a secret

    def bodies() -> Iterator[bytes]:
        for at in range(count):
            event = {
                "event_id": f"{rng.getrandbits(128):032x}",
                "event_type": rng.choice(["order.created", "order.paid", "user.signup"]),
                "occurred": f"2026-11-23T10:{at // 60 % 60:02d}:{at % 60:02d}.123456Z",
                "priority": rng.choice(["low", "medium", "high", "critical"]),
                "payload": {
                    "id": f"o{at}",
                    "amount": round(rng.random() * 1000, 2),
                    "currency": "EUR",
                },
                "tenant_id": f"tenant-{int(rng.paretovariate(0.8)) % 500}",
            }
            yield json.dumps(event).encode()

    return list(bodies())


def cpu_ns(run: Callable[[], object]) -> int:
    """Return the nanoseconds of CPU that a run takes."""
    gc.collect()
    start = time.process_time_ns()
    run()
    return time.process_time_ns() - start


def each(decode: Callable[[bytes], object], bodies: list[bytes]) -> Callable[[], None]:
    """Return a loop over the bodies."""

    def run() -> None:
        for body in bodies:
            decode(body)

    return run


def bare_columns(bodies: list[bytes]) -> list[list[str]]:
    """Fill three lists with a bare loop of msgspec, as one would by hand."""
    decode = msgspec.json.Decoder(Bare).decode
    columns: tuple[list[str], list[str], list[str]] = ([], [], [])
    gc.disable()
    for body in bodies:
        row = decode(body)
        columns[0].append(row.event_type)
        columns[1].append(row.priority)
        columns[2].append(row.tenant_id)
    gc.enable()
    return list(columns)


BARE: Final = "msgspec, bare loop"
PYDANTIC: Final = "pydantic, model_validate_json"


def measure(bodies: list[bytes]) -> dict[str, float]:
    """Return the nanoseconds a body takes, way by way: medians of rounds in turns."""
    event_type = read_event_type("BusinessEvent", BUSINESS_EVENT)
    decoder = compile_decoder(event_type, PATHS)
    urgent = [body.replace(b'"priority": "', b'"priority": "no ') for body in bodies]
    ways: dict[str, Callable[[], object]] = {
        BARE: each(msgspec.json.Decoder(Bare).decode, bodies),
        "msgspec, bare loop into 3 columns": lambda: bare_columns(bodies),
        "compiled decoder, decode_many": lambda: decoder.decode_many(bodies),
        "compiled decoder, decode": each(decoder.decode, bodies),
        "compiled decoder, decode_many, all refused": lambda: decoder.decode_many(urgent),
        PYDANTIC: each(BusinessEvent.model_validate_json, bodies),
        "pydantic, model of the event type": each(to_model(event_type).model_validate_json, bodies),
    }
    rounds = [{way: cpu_ns(run) for way, run in ways.items()} for _ in range(ROUNDS)]
    return {way: statistics.median(each[way] for each in rounds) / len(bodies) for way in ways}


def main() -> None:
    """Print the table."""
    bodies = make_bodies(BODIES)
    figures = measure(bodies)
    size = sum(map(len, bodies)) // len(bodies)
    table = Table(title=f"{len(bodies):,} bodies of {size} bytes")
    for heading in ("way", "ns a body", "M a second", "x pydantic", "x bare"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    bare = figures[BARE]
    pydantic = figures[PYDANTIC]
    for way, ns in figures.items():
        ratios = (f"{1000 / ns:.2f}", f"{pydantic / ns:.1f}", f"{bare / ns:.2f}")
        table.add_row(way, f"{ns:.0f}", *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
