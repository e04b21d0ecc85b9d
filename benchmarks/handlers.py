"""Handlers: what they cost above routing, and beside the same handler under FastStream.

    python -m benchmarks.handlers

Above routing: brokers in memory, so that nothing but the gateway and the handler takes time, in
microseconds of CPU. Beside FastStream: Kafka to Kafka, each acknowledging message by message: the
one by a commit each, the other by its window. Every run is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faststream import AckPolicy, BaseMiddleware, Depends, FastStream, Logger
from faststream.confluent import KafkaBroker
from pydantic import BaseModel

from benchmarks.bare import clocks, done_since
from benchmarks.stage import Done, addresses
from benchmarks.table import ROUNDS, Figure, show
from gateway_lab.brokers.memory.server import server_at
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.counters import SourceStats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.tuning import tune
from gateway_lab.messages.message import Message

MESSAGES = 20_000
FEW = 1_000
KEYS, PARTITIONS = 1_000, 4

_LOOK_S = 0.002
_CONFIG = """
gateway_lab: 1
name: NAME
brokers: {here: PROTOCOL}
events:
  Order:
    type: object
    required: [n, kind]
    properties: {n: {type: integer}, kind: {type: string}, note: {type: string}}
sources:
  orders: {broker: here, channel: NAME-in, event: OrderHANDLER}
targets:
  big: {broker: here, channel: NAME-out}
  small: {broker: here, channel: NAME-out}
routers:
  size:
    source: orders
    match: first
    routes: [{name: big, when: "kind = 'big' and n > 10", to: [big]}]
    unmatched: [small]
dead_letter: {broker: here, channel: NAME-dead}
"""


class Order(BaseModel):
    """What is handled."""

    n: int
    kind: str
    note: str = ""


class Passing(BaseMiddleware[Any, Any]):
    """A middleware that does nothing."""

    async def consume_scope(self, call_next: Callable[[Any], Any], msg: Any) -> Any:
        """Go on."""
        return await call_next(msg)


async def _store() -> dict[str, int]:
    return {"vat": 19}


async def add(order: Order) -> Order:
    """Handle without anything injected."""
    return Order(n=order.n + 1, kind=order.kind, note=order.note)


async def add_vat(
    order: Order, store: Annotated[dict[str, int], Depends(_store)], logger: Logger
) -> Order:
    """Handle with one async dependency and a logger."""
    logger.debug("order %s", order.n)
    return Order(n=order.n + store["vat"], kind=order.kind, note=order.note)


# --- the runs ---


def _body(n: int) -> bytes:
    return msgspec.json.encode({"n": n, "kind": ("big", "new")[n % 2], "note": "x" * 100})


def _config(name: str, protocol: str, *, is_handled: bool) -> Any:
    text = _CONFIG.replace("NAME", name).replace("PROTOCOL", protocol)
    return parse_config(text.replace("HANDLER", ", handler: {returns: Order}" * is_handled))


def _made(kind: str, name: str, url: str) -> Gateway:
    """Make a gateway; `routing` has no handler, `full` all that is injected and a middleware."""
    protocol = url.partition(":")[0]
    config = _config(name, protocol, is_handled=kind != "routing")
    middlewares = [Passing] if kind == "full" else []
    environ = {"GATEWAY_BROKER_HERE_URL": url}
    gateway = Gateway(config, environ=environ, middlewares=middlewares)
    if kind != "routing":
        gateway.handler("orders")(add_vat if kind == "full" else add)
    return gateway


async def _run(gateway: Gateway, count: int, publish: Callable[[], object] = lambda: None) -> Done:
    """Run until so many are settled; the time begins with the first."""
    async with gateway:
        tune()
        await _until(gateway, lambda source: source.settled)
        publish()
        start = clocks()
        await _until(gateway, lambda source: source.settled >= count)
        return done_since(start)


async def _until(gateway: Gateway, is_so: Callable[[SourceStats], object]) -> None:
    [source] = gateway.stats().sources
    while not is_so(source):
        assert source.state in {"waiting", "running"}, source.reason
        await asyncio.sleep(_LOOK_S)
        [source] = gateway.stats().sources


def in_memory(kind: str, count: int, _: str, __: str) -> Done:
    """Handle messages that come all at once."""
    url = f"memory://{uuid.uuid4().hex}"
    server = server_at(url)
    server.create(["bench-in", "bench-out", "bench-dead"])
    received = datetime.now(UTC)
    messages = [
        Message(body=_body(n), key=b"%d" % (n % KEYS), received=received) for n in range(count)
    ]
    server.publish("bench-in", messages[:1])
    gateway = _made(kind, "bench", url)
    return asyncio.run(_run(gateway, count, lambda: server.publish("bench-in", messages[1:])))


def on_kafka(kind: str, count: int, url: str, name: str) -> Done:
    """Handle what is on Kafka, with the gateway."""
    return asyncio.run(_run(_made(kind, name, url), count))


def faststream(_: str, count: int, url: str, name: str) -> Done:
    """Handle what is on Kafka, with FastStream, a commit a message."""
    return asyncio.run(_faststream(count, url, name))


async def _faststream(count: int, url: str, name: str) -> Done:
    broker = KafkaBroker(
        url.removeprefix("kafka://"), middlewares=[Passing], log_level=logging.DEBUG, acks="all"
    )
    finished, left = asyncio.Event(), count
    starts: list[tuple[float, float]] = []

    @broker.subscriber(
        f"{name}-in",
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    @broker.publisher(f"{name}-out")
    async def handle(
        order: Order, store: Annotated[dict[str, int], Depends(_store)], logger: Logger
    ) -> Order:
        nonlocal left
        if not starts:
            starts.append(clocks())
        left -= 1
        if not left:
            finished.set()
        return await add_vat(order, store, logger)

    app = FastStream(broker, logger=None)
    await app.start()
    await finished.wait()
    taken = done_since(starts[0])
    await app.stop()
    return taken


RUNS: Mapping[str, Callable[[str, int, str, str], Done]] = {
    "memory": in_memory,
    "kafka": on_kafka,
    "faststream": faststream,
}


def _apart(run: str, kind: str, count: int, url: str = "", name: str = "") -> Done:
    """Run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.handlers", run, kind, str(count), url, name]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - this file
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Done)


# --- the figures ---


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Measure all of it."""
    return [*_above_routing(rounds), *_beside_faststream(rounds)]


def _above_routing(rounds: int) -> list[Figure]:
    runs: dict[str, list[Done]] = {"routing": [], "plain": [], "full": []}
    for _ in range(rounds):
        for kind, done in runs.items():
            done.append(_apart("memory", kind, MESSAGES))
    cpu = {kind: _cpu_us(done, MESSAGES) for kind, done in runs.items()}
    rate = MESSAGES / statistics.median(each.seconds for each in runs["plain"])
    bare = f"routing alone, {cpu['routing']:.1f} µs of CPU"
    return [
        _above("a handler, nothing injected", cpu["plain"] - cpu["routing"], bare, 60),
        _above(
            "a handler with an async dependency, Logger and one middleware",
            cpu["full"] - cpu["routing"],
            bare,
            130,
        ),
        Figure(
            what="a handler, nothing injected, one process",
            value=f"{rate:,.0f} a second",
            against="12,000 a second",
            ratio=f"{rate / 12_000:.1f}",
            demanded=">= 1",
            is_met=rate >= 12_000,
        ),
    ]


def _above(what: str, above_us: float, against: str, bound_us: float) -> Figure:
    return Figure(
        what=what,
        value=f"{above_us:.1f} µs of CPU above routing",
        against=against,
        ratio="-",
        demanded=f"<= {bound_us:g} µs",
        is_met=above_us <= bound_us,
    )


def _cpu_us(runs: Sequence[Done], count: int) -> float:
    return statistics.median(each.cpu_s for each in runs) / count * 1e6


def _beside_faststream(rounds: int) -> list[Figure]:
    name = f"bench-{uuid.uuid4().hex[:8]}"
    ours: list[Done] = []
    theirs: list[Done] = []
    with addresses("kafka") as urls:
        _fill(urls["kafka"], name)
        for number in range(rounds):
            theirs.append(_apart("faststream", "full", FEW, urls["kafka"], name))
            again = f"{name}-{number}"
            _fill(urls["kafka"], again)
            ours.append(_apart("kafka", "full", MESSAGES, urls["kafka"], again))
    rates = [
        count / statistics.median(each.seconds for each in runs)
        for count, runs in ((MESSAGES, ours), (FEW, theirs))
    ]
    ratio = rates[0] / rates[1]
    return [
        Figure(
            what="that handler, Kafka to Kafka",
            value=f"{rates[0]:,.0f} a second, {_cpu_us(ours, MESSAGES):.0f} µs of CPU",
            against="the same under FastStream, a commit a message: "
            f"{rates[1]:,.0f} a second, {_cpu_us(theirs, FEW):.0f} µs of CPU",
            ratio=f"{ratio:.1f}",
            demanded=">= 5",
            is_met=ratio >= 5,
        )
    ]


def _fill(url: str, name: str) -> None:
    servers: dict[str, str | int | float | bool] = {
        "bootstrap.servers": url.removeprefix("kafka://")
    }
    topics = [NewTopic(f"{name}-{each}", PARTITIONS, 1) for each in ("in", "out", "dead")]
    admin = AdminClient(servers)
    for made in admin.create_topics(topics).values():
        made.result()
    producer = Producer({**servers, "queue.buffering.max.messages": 0})
    for n in range(MESSAGES):
        producer.produce(f"{name}-in", _body(n), b"%d" % (n % KEYS))
    assert not producer.flush()


def main() -> None:
    """Do one run and print what it took, or all of them."""
    if len(sys.argv) == 1:
        show(measure())
        return
    run, kind, count, url, name = sys.argv[1:]
    print(json.dumps(msgspec.to_builtins(RUNS[run](kind, int(count), url, name))), flush=True)
    os._exit(0)  # clients may take their time


if __name__ == "__main__":
    main()
