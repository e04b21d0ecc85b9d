from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

import aiormq
import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from msgspec.structs import replace
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.common import FieldTable
from pamqp.frame import marshal
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from gateway_lab.brokers.contract import BrokerError, FailureClass, Outgoing
from gateway_lab.brokers.rabbitmq import contents as rabbitmq_contents
from gateway_lab.brokers.rabbitmq import sink as rabbitmq_sink
from gateway_lab.brokers.rabbitmq import source as rabbitmq_source
from gateway_lab.brokers.rabbitmq.broker import RabbitmqBroker
from gateway_lab.brokers.rabbitmq.contents import (
    Arriving,
    Content,
    Taker,
    read_delivery,
    read_properties,
)
from gateway_lab.brokers.rabbitmq.frames import (
    PublishEncoder,
    encode_acks,
    encode_requeues,
)
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.rabbitmq import SourceOptions, TargetOptions
from gateway_lab.testing.connector_rig import (
    LIMIT_S,
    Reading,
    a_message,
    an_outgoing,
    classes,
    numbers,
    send_until_confirmed,
    soon,
)
from gateway_lab.testing.connector_suite import ConnectorSuite
from gateway_lab.testing.servers import RabbitmqServer, free_port
from tests.brokers.proxy import Proxy

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()
T = TypeVar("T")
QUORUM: FieldTable = {"x-queue-type": "quorum"}


class RabbitmqRig:
    options = SourceOptions()

    def __init__(self, server: RabbitmqServer, proxy: Proxy) -> None:
        self._server, self.proxy = server, proxy

    def url(self, user: str = "guest:guest", path: str = "", scheme: str = "amqp") -> str:
        return f"{scheme}://{user}@127.0.0.1:{self.proxy.port}/{path}"

    async def broker(self, *, window: int = 10_000, lease_s: float = 600) -> RabbitmqBroker:
        broker = RabbitmqBroker("rabbit", self.url(), window=window, lease_s=lease_s)
        await broker.open()
        return broker

    def program(self) -> str:
        made = f"RabbitmqBroker('rabbit', {self._server.url!r})"
        return f"from gateway_lab.brokers.rabbitmq.broker import RabbitmqBroker\nbroker = {made}"

    async def ask(self, question: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        """Ask on a connection that is not the connector's."""
        async with aiormq.connect(self._server.url) as connection:
            return await question(await connection.channel())

    async def fresh_channel(self) -> str:
        name = self.absent_channel()
        await self.ask(lambda bare: bare.queue_declare(name, durable=True, arguments=QUORUM))
        return name

    def absent_channel(self) -> str:
        return f"queue-{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="rabbit", protocol="rabbitmq", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        async def publish(bare: AbstractChannel) -> None:
            for each in messages:
                headers: FieldTable = {name: bytearray(value) for name, value in each.headers}
                if each.key is not None:
                    headers["x-gw-key"] = bytearray(each.key)
                if each.timestamp is not None:
                    headers["x-gw-timestamp"] = each.timestamp.isoformat()
                properties = Basic.Properties(headers=headers, delivery_mode=2)
                await bare.basic_publish(
                    each.body or b"", routing_key=channel, properties=properties, mandatory=True
                )

        await self.ask(publish)

    async def fetch(self, channel: str, n: int) -> list[Message]:
        async def fetch(bare: AbstractChannel) -> list[Message]:
            got: list[Message] = []
            arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
            await bare.basic_qos(prefetch_count=10_000)  # unlimited would mean 2,000 to a quorum
            await bare.basic_consume(channel, arrived.put)
            while len(got) < n or not arrived.empty() or await waiting(channel, bare):
                got.append(as_message(await arrived.get()))
            return got

        return await self.ask(fetch)

    async def ready(self, channel: str) -> int:
        """Count what waits in a queue and is with no consumer."""
        return await self.ask(lambda bare: waiting(channel, bare))

    async def evaluate(self, *erlang: str) -> None:
        """Let the server do what only its own tools can ask for."""
        environment = os.environ | self._server._environment()
        script = self._server.installed()
        assert script is not None
        tool = script.with_name("rabbitmqctl")
        process = await asyncio.create_subprocess_exec(
            tool,
            "-q",
            "-n",
            environment["RABBITMQ_NODENAME"],
            "eval",
            ", ".join(erlang) + ".",
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out

    async def cut_connections(self) -> None:
        self.proxy.cut()

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def start(self) -> None:
        self._server.start()  # in this thread: it ends with the one that started it


async def waiting(queue: str, bare: AbstractChannel) -> int:
    """Count what a queue holds and has given to nobody."""
    return (await bare.queue_declare(queue, passive=True)).message_count or 0


def as_message(delivered: DeliveredMessage) -> Message:
    table: dict[str, Any] = delivered.header.properties.headers or {}
    table.pop("x-delivery-count", None)
    headers = {
        name: value.encode() if isinstance(value, str) else bytes(value)
        for name, value in table.items()
    }
    key, time = headers.pop("x-gw-key", None), headers.pop("x-gw-timestamp", None)
    timestamp = datetime.fromisoformat(time.decode()) if time else None
    return a_message(delivered.body, key, headers=tuple(headers.items()), timestamp=timestamp)


@pytest.fixture
async def rig(rabbitmq_server: RabbitmqServer) -> AsyncIterator[RabbitmqRig]:
    with Proxy(free_port(), rabbitmq_server.port) as proxy:
        yield RabbitmqRig(rabbitmq_server, proxy)


class TestRabbitmq(ConnectorSuite):
    protocol = "rabbitmq"
    features = frozenset({"attempts", "crash", "cuts", "order", "stops", "unroutable"})

    @pytest.fixture
    def rig(self, rig: RabbitmqRig) -> RabbitmqRig:
        return rig


@pytest.fixture
async def broker(rig: RabbitmqRig) -> AsyncIterator[RabbitmqBroker]:
    broker = await soon(rig.broker())
    yield broker
    await soon(broker.close())


@pytest.fixture
async def queue(rig: RabbitmqRig) -> str:
    return await soon(rig.fresh_channel())


def sending(channel: str, body: bytes = b"{}", **fields: Any) -> Outgoing:
    return replace(an_outgoing(channel, body), **fields)


# --- publishing ---


async def test_nothing_bound_to_an_exchange_makes_every_message_unroutable(
    rig: RabbitmqRig, broker: RabbitmqBroker
) -> None:
    exchange = rig.absent_channel()
    await rig.ask(lambda bare: bare.exchange_declare(exchange))
    options = TargetOptions(exchange=exchange)
    batch = [sending("nobody", options=options) for _ in range(20)]
    assert classes(await soon(broker.sink().send(batch))) == [FailureClass.UNROUTABLE] * 20


async def test_messages_with_one_id_have_their_own_answers(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    batch = [sending(name, id="one") for name in [queue, rig.absent_channel()] * 50]
    expected = [None, FailureClass.UNROUTABLE] * 50
    assert classes(await soon(broker.sink().send(batch))) == expected


async def test_an_exchange_that_is_missing_takes_only_its_own_messages_with_it(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    absent = TargetOptions(exchange=rig.absent_channel())
    batch = [sending(queue), sending(queue, options=absent), sending(queue)]
    for _ in range(2):
        failures = await soon(broker.sink().send(batch))
        assert classes(failures) == [None, FailureClass.UNROUTABLE, None]


async def test_an_exchange_takes_messages_to_the_queues_bound_to_it(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    exchange = rig.absent_channel()
    await rig.ask(lambda bare: bare.exchange_declare(exchange))
    await rig.ask(lambda bare: bare.queue_bind(queue, exchange, "orders.new"))
    options = TargetOptions(exchange=exchange)
    assert await soon(broker.sink().send([sending("orders.new", b"1", options=options)])) == [None]
    assert [each.body for each in await soon(rig.fetch(queue, 1))] == [b"1"]


async def test_headers_fill_a_frame_to_the_last_byte(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    sink = broker.sink()
    [refused] = await soon(sink.send([sending(queue, headers=(("h", b"x" * 131_072),))]))
    assert refused is not None
    taken, allowed = (int(word) for word in re.findall(r"\d+", refused.reason))
    fits = 131_072 - (taken - allowed) - 8  # a frame has eight bytes of its own
    largest, too_large = ((("h", b"x" * size),) for size in (fits, fits + 1))
    batch = [sending(queue, headers=largest), sending(queue, headers=too_large)]
    assert classes(await soon(sink.send(batch))) == [None, FailureClass.PERMANENT]
    assert [each.headers for each in await soon(rig.fetch(queue, 1))] == [largest]


@pytest.mark.parametrize("name", ["CC", "BCC", "cc"])
async def test_a_header_that_names_recipients_is_refused(
    broker: RabbitmqBroker, queue: str, name: str
) -> None:
    failures = await soon(broker.sink().send([sending(queue, headers=((name, b"other"),))]))
    assert classes(failures) == [FailureClass.PERMANENT]


async def test_a_server_that_takes_less_than_usual_is_believed(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    batch = [sending(queue, b"1"), sending(queue, b"x" * 60_000), sending(queue, b"3")]
    await rig.evaluate("application:set_env(rabbit, max_message_size, 50000)")
    try:
        sink = broker.sink()
        failure = (await soon(sink.send(batch)))[1]
        await send_until_confirmed(sink, [batch[0], batch[2]])
        again = await soon(sink.send(batch))
    finally:
        await rig.evaluate("application:set_env(rabbit, max_message_size, 134217728)")
    assert classes([failure]) == [FailureClass.PERMANENT]
    assert classes(again) == [None, FailureClass.PERMANENT, None]


async def test_a_silent_server_gets_no_second_copy_before_it_answers(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, message = broker.sink(), sending(queue, b"1")
    assert await soon(sink.send([sending(queue, b"0")])) == [None]
    monkeypatch.setattr(rabbitmq_sink, "ANSWER_LIMIT_S", 0.2)
    rig.proxy.hold()
    [first] = await soon(sink.send([message]))
    [second] = await soon(sink.send([message]))
    rig.proxy.release()
    await send_until_confirmed(sink, [message])
    assert first is not None
    assert first.is_ambiguous
    assert second is not None
    assert not second.is_ambiguous
    assert classes([first, second]) == [FailureClass.RETRYABLE] * 2
    stored = [each.body for each in await soon(rig.fetch(queue, 3))]
    assert stored == [b"0", b"1", b"1"]


async def test_a_lost_connection_leaves_open_what_became_of_a_message(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    sink = broker.sink()
    assert await soon(sink.send([sending(queue)])) == [None]
    rig.proxy.hold()

    async def cut_when_stored() -> None:
        await until(lambda: rig.ready(queue), 4)
        rig.proxy.cut()
        rig.proxy.release()

    sent = sink.send([sending(queue) for _ in range(3)])
    failures, _ = await soon(asyncio.gather(sent, cut_when_stored()))
    assert classes(failures) == [FailureClass.RETRYABLE] * 3
    assert all(each and each.is_ambiguous for each in failures)


async def test_a_server_without_room_is_waited_for_while_sources_go_on(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_sink, "ANSWER_LIMIT_S", 0.5)
    monkeypatch.setattr(rabbitmq_sink, "_BLOCKED_LIMIT_S", 0.1)
    sink, alarm = broker.sink(), "{resource_limit, disk, node()}"
    await rig.publish(queue, [a_message(b"0")])
    source = await soon(broker.source("reader", [rig.address(queue)], rig.options))
    await rig.evaluate(f"rabbit_alarm:set_alarm({{{alarm}, []}})")
    try:
        failures = [(await soon(sink.send([sending(queue, b"1")])))[0] for _ in range(3)]
        batch = await soon(source.read(10))
        await soon(source.settle(batch.handles))
    finally:
        await rig.evaluate(f"rabbit_alarm:clear_alarm({alarm})")
    assert classes(failures) == [FailureClass.RETRYABLE] * 3
    assert failures[2] is not None
    assert "takes no messages now" in failures[2].reason
    await send_until_confirmed(sink, [sending(queue, b"2")])
    await soon(source.close())
    assert {each.body for each in await soon(rig.fetch(queue, 2))} == {b"1", b"2"}


# --- reading ---


async def test_the_window_bounds_what_is_unsettled(rig: RabbitmqRig, queue: str) -> None:
    await rig.publish(queue, [a_message(body) for body in numbers(25)])
    broker = await soon(rig.broker(window=10))
    reading = Reading(await soon(broker.source("reader", [rig.address(queue)], rig.options)))
    await reading.bodies(10)
    assert await rig.ready(queue) == 15
    await reading.settle()
    assert len(await reading.bodies(20)) == 20
    await soon(broker.close())


async def test_what_is_held_for_too_long_goes_back_once(rig: RabbitmqRig, queue: str) -> None:
    await rig.publish(queue, [a_message(body) for body in numbers(5)])
    broker = await soon(rig.broker(lease_s=0.2))
    source = await soon(broker.source("reader", [rig.address(queue)], rig.options))
    held = Reading(source)
    await held.bodies(5)
    await until(lambda: rig.ready(queue), 5)  # nobody reads: it stays there
    again = Reading(source)
    await again.bodies(5)
    await soon(source.settle(held.handles))  # of no effect any more
    assert min(again.attempts) >= 1
    assert set(held.handles).isdisjoint(again.handles)
    await soon(broker.close())
    await until(lambda: rig.ready(queue), 5)  # the server may take its time


@pytest.mark.parametrize(("size", "headers"), [(50_000, ()), (1, (("h", b"x" * 100_000),))])
async def test_a_source_that_is_not_read_holds_little_in_memory(
    rig: RabbitmqRig,
    broker: RabbitmqBroker,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    headers: tuple[tuple[str, bytes], ...],
) -> None:
    monkeypatch.setattr(rabbitmq_source, "UNREAD_BYTES", 100_000)
    bodies = [body * size for body in numbers(30, 10)]
    await rig.publish(queue, [a_message(body, headers=headers) for body in bodies])
    source = await soon(broker.source("reader", [rig.address(queue)], rig.options))
    inbox = source._inbox
    assert inbox is not None
    socket = inbox._arriving._socket
    assert socket is not None
    await until(lambda: resolved(socket.is_reading()), False)
    assert inbox._unread_bytes <= 100_000 + 2 * 256 * 1024  # what one look at the socket brings
    reading = Reading(source)
    assert await reading.bodies(30, limit=7) == bodies


async def test_a_queue_that_is_deleted_stops_its_source(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    source = await soon(broker.source("reader", [rig.address(queue)], rig.options))
    running = asyncio.create_task(source.read(10))
    await rig.ask(lambda bare: bare.queue_delete(queue))
    with pytest.raises(BrokerError, match="no such queue") as caught:
        await soon(running)
    assert caught.value.failure.failure_class is FailureClass.CONFIGURATION


async def test_a_queue_that_is_bound_is_read_under_the_name_of_the_channel(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    options = SourceOptions(exchange="orders", queue=queue)
    await rig.publish(queue, [a_message(b"1")])
    source = await soon(broker.source("reader", [rig.address("orders.new")], options))
    batch = await soon(source.read(10))
    assert [each.channel for each in batch.messages] == ["orders.new"]


@pytest.mark.parametrize(
    ("id_from", "expected"),
    [
        (None, [None, None, None]),
        ("message_id", ["m-0", "m-1", "m-2"]),
        ("headers.Order-Id", [None, "7", "a\\xff"]),
    ],
)
async def test_a_message_has_the_id_that_its_publisher_gave_it(
    rig: RabbitmqRig,
    broker: RabbitmqBroker,
    queue: str,
    id_from: str | None,
    expected: list[str | None],
) -> None:
    """And has it again when it comes again."""
    every = [
        Basic.Properties(message_id="m-0"),
        Basic.Properties(message_id="m-1", headers={"order-id": 7}),
        Basic.Properties(message_id="m-2", headers={"ORDER-ID": bytearray(b"a\xff")}),
    ]

    async def publish(bare: AbstractChannel) -> None:
        for properties in every:
            await bare.basic_publish(b"", routing_key=queue, properties=properties)

    await rig.ask(publish)
    options = SourceOptions(id_from=id_from)
    source = await soon(broker.source("reader", [rig.address(queue)], options))
    for _ in range(2):
        reading = Reading(source)
        while len(reading.messages) < 3:
            reading.add(await soon(source.read(3)))
        assert [each.id for each in reading.messages] == expected
        await soon(source.give_back(reading.handles))


async def test_headers_of_others_are_read_as_text(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str
) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table: FieldTable = {"n": 7, "b": True, "t": moment, "l": [1, "a"], "v": None, "f": 0.5}
    properties = Basic.Properties(headers=table, timestamp=moment)
    await rig.ask(lambda bare: bare.basic_publish(b"", routing_key=queue, properties=properties))
    source = await soon(broker.source("reader", [rig.address(queue)], rig.options))
    [message] = (await soon(source.read(1))).messages
    assert dict(message.headers) == {
        "n": b"7",
        "b": b"true",
        "t": b"2026-01-02T03:04:05+00:00",
        "l": b'[1, "a"]',
        "v": b"",
        "f": b"0.5",
    }
    assert message.timestamp == moment


# --- refusals ---


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ({"user": "guest:CANARY-pass"}, "refuses the user name or password"),
        ({"path": "CANARY-host"}, "refuses the virtual host"),
        ({"scheme": "amqps"}, "agree on no TLS"),
    ],
)
async def test_what_will_never_work_is_said_without_the_address(
    rig: RabbitmqRig, url: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = RabbitmqBroker("rabbit", rig.url(**url))
    with pytest.raises(BrokerError, match=reason) as caught:
        await soon(broker.open())
    await soon(broker.close())
    assert caught.value.failure.failure_class is FailureClass.CONFIGURATION
    told = caplog.text + str(caught.value) + repr(vars(caught.value))
    assert not {"CANARY", "127.0.0.1", str(rig.proxy.port)} & set(
        re.findall(r"CANARY|[\d.]+", told)
    )


async def test_a_broker_that_is_away_is_waited_for_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    tries: list[asyncio.StreamWriter] = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(writer)
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    broker = RabbitmqBroker("rabbit", f"amqp://guest:guest@127.0.0.1:{port}/")
    opening = asyncio.create_task(broker.open())
    await until(lambda: resolved(len(tries) > 3), True)
    assert not opening.done()
    opening.cancel()
    await asyncio.wait([opening])
    await soon(broker.close())
    listener.close()
    await listener.wait_closed()
    assert caplog.records == []


async def test_a_connection_that_breaks_is_made_again_without_a_word(
    rig: RabbitmqRig, broker: RabbitmqBroker, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of others are still heard."""
    reading = Reading(await soon(broker.source("reader", [rig.address(queue)], rig.options)))
    await send_until_confirmed(broker.sink(), [sending(queue, b"1")])
    await rig.evaluate(
        '[rabbit_networking:close_connection(C, "why") || C <- rabbit_networking:connections()]'
    )
    await send_until_confirmed(broker.sink(), [sending(queue, b"2")])
    await reading.bodies(2)
    await soon(rig.ask(lambda bare: bare.queue_delete(queue)))  # the server cancels our consumer
    with pytest.raises(BrokerError, match="no such queue"):
        await soon(reading.source.read(1))
    assert caplog.records == []
    async with aiormq.connect(rig.url()) as other:
        rig.proxy.cut()
        await until(lambda: resolved(other.is_closed), True)
    assert caplog.records != []


async def test_a_user_without_permission_is_an_error_of_configuration(
    rig: RabbitmqRig, queue: str
) -> None:
    backend = "rabbit_auth_backend_internal"
    await rig.evaluate(
        f'{backend}:add_user(<<"idle">>, <<"idle">>, <<"tests">>)',
        f'{backend}:set_permissions(<<"idle">>, <<"/">>, <<>>, <<>>, <<>>, <<"tests">>)',
    )
    broker = RabbitmqBroker("rabbit", rig.url("idle:idle"))
    await soon(broker.open())
    failures = await soon(broker.sink().send([sending(queue), sending(queue)]))
    with pytest.raises(BrokerError, match="denies permission"):
        await soon(broker.source("reader", [rig.address(queue)], rig.options))
    await soon(broker.close())
    assert classes(failures) == [FailureClass.CONFIGURATION] * 2


# --- frames ---


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 10_000])
def test_a_publish_is_the_bytes_that_pamqp_writes(size: int) -> None:
    body = b"x" * size
    sent = sending("q", body, key=b"k", headers=(("a", b"1"), ("b", "grün".encode())))
    properties = Basic.Properties(
        delivery_mode=2, message_id="id", headers={"a": "1", "b": "grün", "x-gw-key": "k"}
    )
    frames: list[Any] = [
        Basic.Publish(routing_key="q", mandatory=True),
        ContentHeader(properties=properties, body_size=size),
        *[ContentBody(body[at : at + 4088]) for at in range(0, size, 4088)],
    ]
    expected = b"".join([marshal(each, 3) for each in frames])
    assert PublishEncoder(3, "", 4096).encode(sent, b"id") == expected


def test_settlements_are_the_bytes_that_pamqp_writes() -> None:
    acks = [Basic.Ack(7), Basic.Ack(5, multiple=True)]
    assert encode_acks(3, 5, [7]) == b"".join([marshal(each, 3) for each in acks])
    nacks = [Basic.Nack(tag, multiple=False, requeue=True) for tag in (1, 2)]
    assert encode_requeues(3, [1, 2]) == b"".join([marshal(each, 3) for each in nacks])


SEEN = Basic.Deliver("0", 258, redelivered=True, exchange="e", routing_key="r")


def stream(properties: Basic.Properties, *bodies: bytes) -> list[tuple[bytes, bool]]:
    """Write frames, each with whether it concerns a message of channel 1."""
    passed = [
        marshal(Heartbeat(), 0),
        marshal(Basic.QosOk(), 1),
        marshal(Basic.Ack(1), 1),  # of no interest to who has no publishes
        marshal(SEEN, 2),
        marshal(ContentHeader(), 2),
    ]
    size = sum(map(len, bodies))
    taken = [
        marshal(SEEN, 1),
        marshal(ContentHeader(properties=properties, body_size=size), 1),
        *[marshal(ContentBody(each), 1) for each in bodies],
    ]
    return [*[(each, False) for each in passed], *[(each, True) for each in taken]]


@pytest.mark.parametrize("size", [1, 3, 7, 8, 50, 1_000])
@pytest.mark.parametrize("bodies", [(), (b"body",), (b"in ", b"two ", b"parts")])
async def test_frames_are_told_apart_wherever_the_stream_is_cut(
    size: int, bodies: tuple[bytes, ...]
) -> None:
    reader = asyncio.StreamReader()
    contents: list[Content] = []
    arriving = Arriving(reader)
    arriving.takers[1] = Taker(contents.append)
    frames = stream(Basic.Properties(), *bodies) * 3
    data = b"".join([frame for frame, _ in frames])
    for at in range(0, len(data), size):
        arriving.data_received(data[at : at + size])
    arriving.eof_received()
    assert await reader.read() == b"".join([frame for frame, is_taken in frames if not is_taken])
    assert [body for _, _, body in contents] == [b"".join(bodies)] * 3
    assert {read_delivery(method) for method, _, _ in contents} == {("0", 258, True)}


async def test_a_server_of_another_protocol_is_heard() -> None:
    reader = asyncio.StreamReader()
    arriving = Arriving(reader)
    arriving.data_received(b"HTTP/1.1 400 Bad Request")
    arriving.eof_received()
    assert await reader.read() == b"HTTP/1.1 400 Bad Request"


@pytest.mark.parametrize("count", range(10))
def test_properties_are_read_whichever_of_them_there_are(count: int) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    every: dict[str, Any] = {
        "message_id": "id",
        "headers": {"x-gw-key": "k", "a": "1", "x-delivery-count": 3},
        "timestamp": moment,
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "priority": 1,
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "1000",
    }
    without = {name: value for at, (name, value) in enumerate(every.items()) if at != count}
    read = read_properties(ContentHeader(properties=Basic.Properties(**without)).marshal())
    assert read.message_id == without.get("message_id", "")
    assert read.timestamp == without.get("timestamp")
    has_headers = "headers" in without
    assert (read.key, read.headers, read.delivery_count) == (
        (b"k", (("a", b"1"),), 3) if has_headers else (None, (), None)
    )


def test_a_header_that_nobody_can_read_harms_no_other() -> None:
    inner = b"\x01\xff" + b"S\0\0\0\1v"  # a table whose name is not UTF-8
    table = b"\3bad" + b"F\0\0\0\x08" + inner + b"\4good" + b"S\0\0\0\1g"
    header = b"\0\x3c\0\0" + bytes(8) + b"\x20\0" + len(table).to_bytes(4) + table
    assert read_properties(header).headers == (("bad", inner), ("good", b"g"))


DEEP = b""
for _ in range(5_000):
    DEEP = b"\1kF" + len(DEEP).to_bytes(4) + DEEP


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"D\2\0\0\0\x0f", b"0.15"),
        (b"A\0\0\0\6D\2\0\0\0\x0f", b'["0.15"]'),
        (b"T" + b"\xff" * 8, b"\xff" * 8),
        (b"F" + len(DEEP).to_bytes(4) + DEEP, DEEP),
    ],
    ids=["decimal", "decimal in a list", "time after all calendars", "table without a bottom"],
)
def test_a_header_of_a_rare_type_harms_neither_the_source_nor_other_headers(
    field: bytes, expected: bytes
) -> None:
    table = b"\4rare" + field + b"\x08x-gw-key" + b"S\0\0\0\1k"
    header = b"\0\x3c\0\0" + bytes(8) + b"\x20\0" + len(table).to_bytes(4) + table
    properties = read_properties(header)
    assert (properties.headers, properties.key) == ((("rare", expected),), b"k")


class FakeSocket(asyncio.Transport):
    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False


async def test_a_server_that_nobody_listens_to_for_long_counts_as_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rabbitmq_contents, "_HEARTBEAT_EVERY_S", 0.001)
    reader = asyncio.StreamReader()
    arriving = Arriving(reader)
    arriving.connection_made(FakeSocket())
    arriving.pause()
    arriving.pause()
    beat = marshal(Heartbeat(), 0)
    assert await soon(reader.readexactly(3 * len(beat))) == 3 * beat
    arriving.resume()
    arriving.data_received(beat)
    arriving.pause()
    arriving.connection_lost(None)  # nothing may come behind it
    assert set(await soon(reader.read())) == set(beat)


async def until(ask: Callable[[], Awaitable[object]], expected: object) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(LIMIT_S):
        while await ask() != expected:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)


async def resolved(value: object) -> object:
    return value
