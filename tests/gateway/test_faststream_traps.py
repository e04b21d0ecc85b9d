"""What FastStream's defaults and gaps would do to messages, each trap a sentence.

Those of FastStream alone pin what we rely on, or what we keep away from: where one of them fails,
FastStream has changed, and what we do about it may go.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import nats
import pytest
import redis
from faststream import BaseMiddleware, Context, Depends, FastStream, Logger, StreamMessage
from faststream._internal.cli.utils.imports import import_from_string
from faststream.asgi import AsgiFastStream
from faststream.confluent import KafkaBroker, KafkaMessage, TestKafkaBroker
from faststream.confluent.opentelemetry import KafkaTelemetryMiddleware
from faststream.confluent.prometheus import KafkaPrometheusMiddleware
from faststream.nats import NatsBroker, TestNatsBroker
from faststream.nats.opentelemetry import NatsTelemetryMiddleware
from faststream.rabbit import RabbitMessage
from faststream.rabbit.opentelemetry import RabbitTelemetryMiddleware
from faststream.redis import RedisBroker, StreamSub, TestRedisBroker
from faststream.redis.opentelemetry import RedisTelemetryMiddleware
from nats.js.api import StreamConfig
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import gateway_lab as gl
from gateway_lab.errors import ConfigError
from gateway_lab.gateway.app import beside as app_beside
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.telemetry.telemetry import Telemetry
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import NatsServer, RedisServer
from tests.gateway.shop import RECEIVED, SHOP, Shop, header, number_of, order, settled, until

pytestmark = pytest.mark.anyio

HANDLED = SHOP.replace("event: Order}", "event: Order, handler: {returns: Order}}")
PROTOCOLS = ("kafka", "rabbitmq", "nats", "redis")


class Noting(BaseMiddleware[Any, Any]):
    """A middleware that touches nothing."""

    async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
        return await call_next(cmd)


# --- 1: one handler, several brokers ---


async def test_one_handler_on_two_brokers_gets_the_message_of_each() -> None:
    text = HANDLED.replace(
        "targets:\n",
        "  more: {broker: there, channel: more, event: Order, handler: {returns: Order}}\ntargets:\n",
    ).replace("source: orders", "source: [orders, more]")
    shop = Shop(text)
    shop.server("there").create(["more"])
    shop.server("letters").create(["dead.more"])
    gateway, seen = shop.gateway(), set()

    @gateway.handler("orders", "more")
    async def handle(
        event: dict[str, Any], message: Annotated[StreamMessage[Message], Context()], log: Logger
    ) -> None:
        seen.add((event["n"], message.raw_message.broker, log.name))

    shop.publish([order(1)])
    shop.server("there").publish("more", [order(2)])
    async with gateway.app:
        await until(settled(gateway, 2))
    name = "gateway_lab.handlers.handle"
    assert seen == {(1, "here", name), (2, "there", name)}


async def test_the_handler_stays_the_plain_function_that_it_was() -> None:
    """FastStream's decorators return one wrapper, which the broker that starts last takes over."""

    async def plain(n: int) -> None: ...

    gateway = Shop(HANDLED).gateway()
    assert gateway.handler("orders")(plain) is plain

    first, last = NatsBroker(), RedisBroker()
    stacked = first.subscriber("a")(plain)
    assert last.subscriber("b")(stacked) is stacked


async def test_stacked_subscribers_of_faststream_lose_the_context_of_the_first() -> None:
    first, last = NatsBroker(), RedisBroker()

    @last.subscriber("b")
    @first.subscriber("a")
    async def handle(body: int, message: Annotated[Any, Context()]) -> None: ...

    async with TestNatsBroker(first), TestRedisBroker(last):
        await last.publish(1, "b")
        with pytest.raises(Exception, match="message"):
            await first.publish(1, "a")


@pytest.mark.parametrize("message", [KafkaMessage, RabbitMessage], ids=["Kafka", "RabbitMQ"])
async def test_an_annotation_of_one_broker_is_refused_by_name(message: Any) -> None:
    async def handle(n: int, msg: Any) -> None: ...

    handle.__annotations__ = {"n": int, "msg": message}
    with pytest.raises(ConfigError, match=r"msg is a (Kafka|Rabbit)Message") as caught:
        Shop(HANDLED).gateway().handler("orders")(handle)
    assert "StreamMessage" in caught.value.hint


async def message_of_kafka(msg: Any) -> Any:
    return msg


async def test_an_annotation_of_one_broker_is_found_in_dependencies_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def handle(n: int, one: Any) -> None: ...

    monkeypatch.setitem(message_of_kafka.__annotations__, "msg", KafkaMessage)
    handle.__annotations__ = {"n": int, "one": Annotated[Any, Depends(message_of_kafka)]}
    with pytest.raises(ConfigError, match="message_of_kafka: msg is a KafkaMessage"):
        Shop(HANDLED).gateway().handler("orders")(handle)


# --- 2: telemetry of one broker ---

FOREIGN = [
    KafkaTelemetryMiddleware,
    RabbitTelemetryMiddleware,
    NatsTelemetryMiddleware,
    RedisTelemetryMiddleware,
    KafkaPrometheusMiddleware,
]


def made_of(kind: Any) -> Any:
    """Make one as FastStream's users give it: an object that makes middlewares."""
    if "Prometheus" not in kind.__name__:
        return kind()
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    return kind(registry=CollectorRegistry())


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("is_made", [False, True], ids=["class", "object"])
async def test_telemetry_of_one_broker_is_refused_by_name(kind: Any, is_made: bool) -> None:
    middleware = made_of(kind) if is_made else kind
    with pytest.raises(ConfigError, match=f"{kind.__name__} knows the messages of one broker"):
        gl.Gateway(Shop().config, middlewares=[middleware])


async def test_telemetry_of_one_broker_fails_over_a_bridge_of_faststream() -> None:
    """Why it is refused: it reads what only a command of its own broker has."""
    kafka, other = KafkaBroker(middlewares=[KafkaTelemetryMiddleware()]), NatsBroker()

    @kafka.subscriber("a")
    @other.publisher("b")
    async def bridge(body: int) -> int:
        return body

    async with TestKafkaBroker(kafka), TestNatsBroker(other):
        with pytest.raises(AttributeError, match="partition"):
            await kafka.publish(1, "a")


# --- 3: a stop with work in flight ---


async def test_a_stop_in_the_middle_of_work_loses_nothing() -> None:
    """FastStream's concurrent subscribers lost 2 of 60 at a stop that took its time."""
    shop = Shop(HANDLED)
    shop.publish([order(n, key=str(n)) for n in range(60)])

    async def stopped_after(number: int) -> None:
        gateway, begun = shop.gateway(), list[int]()

        @gateway.handler("orders")
        async def handle(event: dict[str, Any]) -> Any:
            begun.append(event["n"])
            await asyncio.sleep(0)
            return event

        async with gateway.app:
            await until(lambda: len(begun) >= number)

    await stopped_after(6)
    gateway = shop.gateway()
    gateway.handler("orders")(lambda event: event)
    async with gateway.app:
        await until(lambda: set(shop.numbers("there", "small")) == set(range(60)))
    assert await shop.left() == []


# --- 4: a target that is down at the start ---


async def test_a_target_that_is_down_at_the_start_loses_no_message() -> None:
    """FastStream starts brokers one by one: a source that is first failed 26 of 50 messages."""
    shop = Shop()
    shop.publish([order(n) for n in range(50)])
    shop.server("there").stop()
    gateway = shop.gateway()
    async with gateway.app:
        await until(lambda: gateway.stats().sources[0].state is State.WAITING)
        shop.server("there").start()
        await until(settled(gateway, 50))
    assert sorted(shop.numbers("there", "small")) == list(range(50))
    assert shop.letters() == []


# --- 5: bytes as they are ---

BODIES = [b'{"data": "x"}', b"\xff\xfe\x00", b"", b'{"a":1}', b"12", None]
OURS = ("x-gw-", "traceparent")
HEADERS = (("bin", b"\xff\x00"), ("empty", b""), ("twice", b"1"), ("twice", b"2"))
PAIR = """
gateway_lab: 1
name: pair
brokers: {one: ONE, other: OTHER}
sources: {all: {broker: one, channel: all}}
targets: {all: {broker: other, channel: out}}
routers: {all: {source: all, match: all, routes: [{name: all, to: [all]}], unmatched: drop}}
dead_letter: {broker: other, channel: dead}
"""


@pytest.mark.parametrize("other", PROTOCOLS)
@pytest.mark.parametrize("one", PROTOCOLS)
async def test_bodies_and_headers_survive_middlewares_and_traces_between_any_brokers(
    one: str, other: str
) -> None:
    """FastStream decodes headers to text, reads bodies as JSON, and unwraps `{"data": …}`."""
    passed = await passed_on(one, other, middlewares=[])
    assert await passed_on(one, other, middlewares=[Noting]) == passed
    assert await passed_on(one, other, middlewares=[Noting], is_traced=True) == passed
    bodies = [body for channel in passed.values() for body, _ in channel]
    assert sorted(bodies, key=repr) == sorted(
        (b"" if each is None and other != "kafka" else each for each in BODIES), key=repr
    )


async def passed_on(
    one: str, other: str, middlewares: list[Any], *, is_traced: bool = False
) -> dict[str, Any]:
    """Return what is on the channels of a pair when all messages have passed it."""
    shop = Shop(PAIR.replace("ONE", one).replace("OTHER", other))
    shop.server("one").create(["all"])
    shop.server("other").create(["out", "dead"])
    shop.server("one").publish(
        "all", [Message(body=each, received=RECEIVED, headers=HEADERS) for each in BODIES]
    )
    gateway = gl.Gateway(shop.config, environ=shop.environ, middlewares=middlewares)
    spans = InMemorySpanExporter()
    if is_traced:
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(spans))
        gateway.telemetry = Telemetry(tracer_provider=tracers)
    async with gateway.app:
        await until(settled(gateway, len(BODIES)))
    assert bool(spans.get_finished_spans()) is is_traced
    return {channel: kept(shop, channel) for channel in ("out", "dead")}


def kept(shop: Shop, channel: str) -> list[tuple[bytes | None, Any]]:
    return [
        (each.body, [pair for pair in each.headers if not pair[0].startswith(OURS)])
        for each in shop.fetch("other", channel)
    ]


# --- 6: a message that always fails ---


async def test_a_poison_message_is_a_letter_after_its_tries_and_others_flow() -> None:
    """FastStream on Kafka gave one 963 times in 2 seconds, and nothing behind it."""
    shop = Shop(HANDLED)
    gateway, tries = shop.gateway(), []

    @gateway.handler("orders")
    async def handle(event: dict[str, Any]) -> dict[str, Any]:
        if event["n"] == 3:
            tries.append(event["n"])
            raise LookupError("poison")
        return event

    shop.publish([order(n, key=str(n)) for n in range(10)])
    async with gateway.app:
        await until(settled(gateway, 10))
    assert sorted(shop.numbers("there", "small")) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    (letter,) = shop.letters()
    assert number_of(letter) == 3
    assert tries == [3, 3, 3]
    assert header(letter, "x-gw-dlq-attempts") == "3"


# --- 7: a connection to NATS that ends ---

BESIDE = """
gateway_lab: 1
name: beside
brokers: {edge: nats, cache: redis, here: memory}
sources: {orders: {broker: here, channel: orders}}
targets: {out: {broker: here, channel: out}}
routers: {all: {source: orders, match: all, routes: [{name: all, to: [out]}], unmatched: drop}}
dead_letter: {broker: here, channel: dead}
"""


def gateway_beside(alias: str, url: str) -> gl.Gateway:
    environ = {f"GATEWAY_BROKER_{alias.upper()}_URL": url}
    return gl.Gateway(gl.parse_config(BESIDE), environ=environ, create_channels=True)


@pytest.mark.broker
async def test_a_lost_connection_to_nats_leaves_the_loop_free_and_comes_back(
    tmp_path: Path,
) -> None:
    """FastStream gives up after 60 tries, and its pull subscriber then spins without a pause."""
    server, seen = NatsServer(tmp_path / "nats"), []
    with server:
        gateway = gateway_beside("edge", server.url)
        broker = gateway.faststream_broker("edge")
        assert broker._connection_kwargs["max_reconnect_attempts"] == -1

        @broker.subscriber("trap.lost")
        async def handle(body: int) -> None:
            seen.append(body)

        async def publish(body: int) -> None:
            client = await nats.connect(server.url)
            await client.publish("trap.lost", str(body).encode())
            await client.close()

        async def arrives(body: int) -> None:
            async with asyncio.timeout(40):
                while body not in seen:
                    await publish(body)
                    await asyncio.sleep(0.05)

        async with gateway.app:
            await arrives(1)
            await asyncio.to_thread(server.kill)
            async with asyncio.timeout(40):  # a loop that spins lets nobody else run
                for _ in range(100):
                    await asyncio.sleep(0.001)
            await asyncio.to_thread(server.start)
            await arrives(2)


@pytest.mark.broker
async def test_a_broker_that_comes_late_is_started_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FastStream's app ends with the first broker that is down, and leaves the others running.

    A second start of its subscriber of pub/sub, after one that failed, does nothing.
    """
    monkeypatch.setattr(app_beside, "PING_S", 0.2)
    server, seen = RedisServer(tmp_path / "redis"), []
    gateway = gateway_beside("cache", server.url)
    broker = gateway.faststream_broker("cache")

    @broker.subscriber("trap-late")
    async def handle(body: int) -> None:
        seen.append(body)

    async with gateway.app:
        await until(lambda: gateway.stats().sources[0].state is State.RUNNING)
        await until(lambda: "broker cache of FastStream cannot be started" in caplog.text)
        await asyncio.to_thread(server.start)
        try:
            async with asyncio.timeout(40):
                while not broker.running:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
                while not seen:
                    await broker.publish(7, "trap-late")
                    await asyncio.sleep(0.01)
        finally:
            await gateway.app.stop()
            await asyncio.to_thread(server.stop)
    assert set(seen) == {7}


@pytest.mark.broker
async def test_a_stream_of_redis_that_is_gone_does_not_end_the_app(
    redis_server: RedisServer,
) -> None:
    """FastStream's subscriber stops for good then, and asks its app to end."""
    gateway, seen = gateway_beside("cache", redis_server.url), []
    broker, stream = gateway.faststream_broker("cache"), f"trap-gone-{os.getpid()}"

    @broker.subscriber(stream=StreamSub(stream, group="g", consumer="c"))
    async def handle(body: int) -> None:
        seen.append(body)

    async def arrives(body: int) -> None:
        async with asyncio.timeout(40):
            while body not in seen:
                await broker.publish(body, stream=stream)
                await asyncio.sleep(0.05)

    async with gateway.app:
        async with asyncio.timeout(40):
            while not broker.running:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        await arrives(1)
        client = redis.Redis(port=redis_server.port)
        client.delete(stream)
        async with asyncio.timeout(40):
            while not client.exists(stream):  # noqa: ASYNC110 - made when it is started again
                await asyncio.sleep(0.01)
        await arrives(2)
        assert gateway.stats().sources[0].state is State.RUNNING
        client.delete(stream)
        client.close()


# --- 8: keys and partitions: tests/brokers/test_kafka.py places keys of batches as Kafka's own do ---

# --- 9: what is on a server stays as it is ---


@pytest.mark.broker
async def test_a_start_changes_no_stream_that_is_there(nats_server: NatsServer) -> None:
    """FastStream's `JStream` rewrites max_age to 0 and max_msgs to -1 as it starts."""
    name = f"trap-{os.getpid()}"
    client = await nats.connect(nats_server.url)
    js = client.jetstream()
    given = StreamConfig(name=name, subjects=[f"{name}.>"], max_age=3_600, max_msgs=12_345)
    await js.add_stream(given)
    text = PAIR.replace("ONE", "nats").replace("OTHER", "nats").replace("channel: ", "channel: N.")
    config = gl.parse_config(text.replace("N.", f"{name}."))
    environ = {f"GATEWAY_BROKER_{alias}_URL": nats_server.url for alias in ("ONE", "OTHER")}
    gateway = gl.Gateway(config, environ=environ, create_channels=True)
    async with gateway.app:
        await until(lambda: gateway.stats().sources[0].state is State.RUNNING)
    after = (await js.stream_info(name)).config
    await js.delete_stream(name)
    await client.close()
    assert (after.max_age, after.max_msgs) == (3_600, 12_345)


# --- 10: requests ---


@pytest.mark.broker
async def test_a_request_is_not_answered_by_the_gateway(nats_server: NatsServer) -> None:
    """FastStream answers whoever gave an inbox, with `b''` where a handler returns nothing."""
    subject = f"trap.request.{os.getpid()}"
    text = (
        PAIR.replace("ONE", "nats")
        .replace("OTHER", "memory")
        .replace("channel: all}", f"channel: {subject}, options: {{delivery: at_most_once}}}}", 1)
    )
    environ = {"GATEWAY_BROKER_ONE_URL": nats_server.url}
    config = gl.parse_config(text)
    gateway = gl.Gateway(config, environ=environ, create_channels=True, middlewares=[Noting])
    client = await nats.connect(nats_server.url)
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    async with gateway.app:
        await until(lambda: gateway.stats().sources[0].state is State.RUNNING)
        await client.publish(subject, b"?", reply=inbox)
        await until(settled(gateway, 1))
    await client.publish(inbox, b"nobody else spoke")
    first = await answers.next_msg(timeout=30)
    await client.close()
    assert first.data == b"nobody else spoke"


# --- 11: another config under load ---


async def test_each_message_is_decided_by_one_config_while_configs_change() -> None:
    shop = Shop()
    gateway = shop.gateway()
    other = gl.parse_config(SHOP.replace("unmatched: [small]", "unmatched: [big]"))
    async with gateway.app:
        for n in range(0, 500, 10):
            shop.publish([order(n % 100) for n in range(n, n + 10)])
            await gateway.reload(other if n % 20 else shop.config)
        await until(settled(gateway, 500))
    small, big = len(shop.fetch("there", "small")), len(shop.fetch("there", "big"))
    assert small + big == 500
    assert shop.letters() == []


# --- 12: nothing is left behind ---


async def test_a_stop_leaves_no_task_and_no_thread_behind() -> None:
    shop = Shop(HANDLED)
    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    gateway = shop.gateway()

    @gateway.handler("orders")
    async def handle(event: dict[str, Any]) -> dict[str, Any]:
        return event

    async with gateway.app:
        shop.publish([order(1)])
        await until(settled(gateway, 1))
    await until(lambda: asyncio.all_tasks() == before)
    await until(lambda: not set(threading.enumerate()) - threads)


# --- what we rely on in FastStream itself ---


async def test_the_command_takes_an_attribute_of_an_attribute() -> None:
    _, found = import_from_string("tests.gateway.test_faststream_traps:Holder.app")
    assert found is Holder.app


class Holder:
    app = FastStream()


async def test_hooks_are_given_only_the_options_that_they_ask_for() -> None:
    gateway, seen = Shop().gateway(), []

    @gateway.app.on_startup
    async def none() -> None:
        seen.append("none")

    @gateway.app.on_startup
    async def one(worker_id: int | None = None) -> None:
        seen.append(f"worker {worker_id}")

    await gateway.app.start(worker_id=1, more="x")
    await gateway.app.stop()
    assert seen == ["none", "worker 1"]


async def test_a_server_runs_an_asgi_app_through_its_lifespan_context() -> None:
    entered: list[str] = []

    class Entered(AsgiFastStream):
        @asynccontextmanager
        async def start_lifespan_context(self, *_: Any) -> AsyncIterator[None]:
            entered.append("entered")
            yield

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    await Entered()({"type": "lifespan"}, receive, send)
    assert entered == ["entered"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_what_is_set_for_the_app_is_seen_by_brokers_beside_it() -> None:
    gateway = gateway_beside("edge", "nats://127.0.0.1:1")
    broker, seen = gateway.faststream_broker("edge"), []

    @broker.subscriber("trap")
    async def handle(body: int, shared: Annotated[str, Context()]) -> None:
        seen.append((body, shared))

    gateway.app.context.set_global("shared", "all")
    async with TestNatsBroker(broker):
        await broker.publish(1, "trap")
    assert seen == [(1, "all")]
