from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing, Place, Source
from gateway_lab.brokers.redis.broker import RedisBroker
from gateway_lab.brokers.redis.line import Line, Reply, make_pool, pack
from gateway_lab.brokers.redis.sink import RedisSink
from gateway_lab.brokers.redis.source import RedisSource
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.redis import SourceOptions, TargetOptions
from gateway_lab.testing.connector_suite import FEATURES, ConnectorSuite
from gateway_lab.testing.servers import RedisServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()


class RedisRig:
    options = SourceOptions()
    lease_s = 1.5

    def __init__(self, server: RedisServer, client: Redis) -> None:
        self.server, self.client = server, client

    async def broker(self, **fields: object) -> RedisBroker:
        broker = RedisBroker("cache", self.server.url, lease_s=self.lease_s, **fields)  # type: ignore[arg-type]
        await broker.open()
        return broker

    def program(self) -> str:
        made = f"RedisBroker('cache', {self.server.url!r}, lease_s={self.lease_s})"
        return f"from gateway_lab.brokers.redis.broker import RedisBroker\nbroker = {made}"

    async def fresh_channel(self) -> str:
        channel = self.absent_channel()
        await self.client.xgroup_create(channel, "made", mkstream=True)
        return channel

    def absent_channel(self) -> str:
        return f"channel.{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="cache", protocol="redis", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        pipeline = self.client.pipeline()
        for each in messages:
            fields: dict[Any, Any] = {} if each.body is None else {"body": each.body}
            fields |= dict(each.headers)
            if each.key is not None:
                fields["x-gw-key"] = each.key
            if each.timestamp is not None:
                fields["x-gw-timestamp"] = each.timestamp.isoformat()
            pipeline.xadd(channel, fields)
        await pipeline.execute()

    async def fetch(self, channel: str, n: int) -> list[Message]:
        entries: list[tuple[bytes, dict[bytes, bytes]]] = []
        while len(entries) < n:
            entries = cast("Any", await self.client.xrange(channel))
        return [a_message(fields) for _, fields in entries]

    async def cut_connections(self) -> None:
        await self.client.client_kill_filter(_type="normal", skipme=True)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)


def a_message(fields: dict[bytes, bytes]) -> Message:
    own = {b"body", b"x-gw-key", b"x-gw-timestamp"}
    headers = [(name.decode(), value) for name, value in fields.items() if name not in own]
    return Message(
        body=fields.get(b"body"),
        key=fields.get(b"x-gw-key"),
        headers=tuple(headers),
        received=datetime.now(UTC),
    )


class TestRedis(ConnectorSuite):
    protocol = "redis"
    features = FEATURES

    @pytest.fixture
    async def rig(self, redis_server: RedisServer) -> AsyncIterator[RedisRig]:
        async with Redis.from_url(redis_server.url) as client:
            yield RedisRig(redis_server, client)


@pytest.fixture
async def rig(redis_server: RedisServer) -> AsyncIterator[RedisRig]:
    async with Redis.from_url(redis_server.url) as client:
        yield RedisRig(redis_server, client)


@pytest.fixture
async def broker(rig: RedisRig) -> AsyncIterator[RedisBroker]:
    broker = await rig.broker()
    yield broker
    await broker.close()


@asynccontextmanager
async def configured(rig: RedisRig, **settings: int | str) -> AsyncIterator[None]:
    """Change settings of the server, and change them back."""
    names = {each.replace("_", "-"): value for each, value in settings.items()}
    before = {each: (await rig.client.config_get(each))[each] or "" for each in names}
    for name, value in names.items():
        await rig.client.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            await rig.client.config_set(name, value)


PUBSUB = TargetOptions(delivery="at_most_once")


def outgoing(channel: str, body: bytes = b"{}", **fields: Any) -> Outgoing:
    known = {"key": None, "headers": (), "timestamp": None, "id": f"id-{next(NUMBERS)}"}
    return Outgoing(channel=channel, body=body, **(known | fields))


def message(body: bytes | None) -> Message:
    return Message(body=body, received=datetime.now(UTC))


def classes(failures: Sequence[Failure | None]) -> list[FailureClass | None]:
    return [failure.failure_class if failure else None for failure in failures]


async def read(source: Source, n: int) -> list[bytes | None]:
    bodies: list[bytes | None] = []
    while len(bodies) < n:
        bodies += [each.body for each in (await source.read(n - len(bodies))).messages]
    return bodies


async def test_a_member_that_comes_back_finds_what_it_held(rig: RedisRig) -> None:
    channel = await rig.fresh_channel()
    await rig.publish(channel, [message(b"%d" % n) for n in range(10)])
    crashed = await rig.broker(member="gateway-1")
    source = await crashed.source("reader", [rig.address(channel)], rig.options)
    await read(source, 10)
    again = await rig.broker(member="gateway-1")
    source = await again.source("reader", [rig.address(channel)], rig.options)
    batch = await source.read(100)
    assert [each.body for each in batch.messages] == [b"%d" % n for n in range(10)]
    assert set(batch.attempts) == {1}
    await again.close()
    await crashed.close()


async def test_pending_entries_that_were_trimmed_are_counted_as_lost(rig: RedisRig) -> None:
    channel = await rig.fresh_channel()
    await rig.publish(channel, [message(b"%d" % n) for n in range(10)])
    first = await rig.broker(member="gateway-1")
    await read(await first.source("reader", [rig.address(channel)], rig.options), 10)
    lost = {}
    for member, left in (("gateway-1", 7), ("gateway-2", 3)):
        await rig.client.xtrim(channel, maxlen=left, approximate=False)
        other = await rig.broker(member=member)
        source = await other.source("reader", [rig.address(channel)], rig.options)
        assert isinstance(source, RedisSource)
        await read(source, left)
        lost[member] = source.lost
        await rig.client.xtrim(channel, maxlen=left - 1, approximate=False)
        await other.close()
        lost[f"{member} at its end"] = source.lost
    await first.close()
    assert lost == {
        "gateway-1": 3,
        "gateway-1 at its end": 4,
        "gateway-2": 3,
        "gateway-2 at its end": 4,
    }


async def test_what_is_given_back_and_trimmed_is_lost(rig: RedisRig, broker: RedisBroker) -> None:
    channel = await rig.fresh_channel()
    await rig.publish(channel, [message(b"1"), message(b"2")])
    source = await broker.source("reader", [rig.address(channel)], rig.options)
    assert isinstance(source, RedisSource)
    batch = await source.read(10)
    await rig.client.xtrim(channel, maxlen=1, approximate=False)
    await source.give_back(batch.handles)
    assert await read(source, 1) == [b"2"]
    assert source.lost == 1


async def test_a_clean_stop_leaves_no_member_behind_and_an_unclean_one_its_entries(
    rig: RedisRig,
) -> None:
    channel = await rig.fresh_channel()
    await rig.publish(channel, [message(b"1")])
    for settles, members in ((False, 1), (True, 1)):
        broker = await rig.broker(member=f"settles-{settles}")
        source = await broker.source("reader", [rig.address(channel)], rig.options)
        batch = await source.read(10)
        if settles:
            await source.settle(batch.handles)
        await broker.close()
        assert len(await rig.client.xinfo_consumers(channel, "reader")) == members
    pending = await rig.client.xpending(channel, "reader")
    assert pending["pending"] == 0


async def test_a_stream_that_is_deleted_stops_the_source(
    rig: RedisRig, broker: RedisBroker
) -> None:
    channel = await rig.fresh_channel()
    source = await broker.source("reader", [rig.address(channel)], rig.options)
    await rig.client.delete(channel)
    with pytest.raises(BrokerError, match="gone"):
        await asyncio.wait_for(source.read(10), 30)
    assert await broker.missing([Place(channel)]) == [Place(channel)]


async def test_an_entry_without_a_body_is_a_tombstone(rig: RedisRig, broker: RedisBroker) -> None:
    channel = await rig.fresh_channel()
    await rig.client.xadd(channel, {"x-gw-key": "k", "h": b"\xff"})
    source = await broker.source("reader", [rig.address(channel)], rig.options)
    [got] = (await source.read(10)).messages
    assert (got.body, got.key, got.headers) == (None, b"k", (("h", b"\xff"),))
    assert got.timestamp is not None
    assert got.timestamp.tzinfo is UTC


async def test_a_server_that_is_full_passes_and_nothing_is_overtaken(
    rig: RedisRig, broker: RedisBroker
) -> None:
    channel = await rig.fresh_channel()
    async with configured(rig, maxmemory=1, maxmemory_policy="noeviction"):
        sent = await broker.sink().send([outgoing(channel) for _ in range(3)])
    assert classes(sent) == [FailureClass.RETRYABLE] * 3
    assert not any(each.is_ambiguous for each in sent if each)
    assert await rig.client.xlen(channel) == 0


async def test_a_server_that_cannot_write_passes(rig: RedisRig, broker: RedisBroker) -> None:
    channel = await rig.fresh_channel()
    async with configured(rig, min_replicas_to_write=1):
        sent = await broker.sink().send([outgoing(channel)])
    assert classes(sent) == [FailureClass.RETRYABLE]
    await rig.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        sent = await broker.sink().send([outgoing(channel)])
    finally:
        await rig.client.execute_command("REPLICAOF", "NO", "ONE")
    assert classes(sent) == [FailureClass.RETRYABLE]
    assert await broker.sink().send([outgoing(channel)]) == [None]


class _Late(Line):
    """Lets something happen right before a transaction is carried out."""

    happens: Callable[[], Awaitable[object]]

    async def exchange(self, request: bytes, count: int, **limits: float) -> list[Reply]:
        last = pack(b"EXEC")
        begun = await super().exchange(request.removesuffix(last), count - 1, **limits)
        await self.happens()
        return begun + await super().exchange(last, 1, **limits)


async def test_a_server_that_stops_to_write_in_the_middle_of_a_transaction_passes(
    rig: RedisRig,
) -> None:
    channel, line = await rig.fresh_channel(), _Late(make_pool("cache", rig.server.url))
    async with configured(rig, min_replicas_to_write=0):
        line.happens = partial(rig.client.config_set, "min-replicas-to-write", 1)
        sent = await RedisSink(line).send([outgoing(channel), outgoing(channel)])
    await line.close()
    assert classes(sent) == [FailureClass.RETRYABLE] * 2
    assert {each.reason for each in sent if each} == {"the broker misses replicas"}


async def test_a_key_that_is_no_stream_is_unroutable(rig: RedisRig, broker: RedisBroker) -> None:
    channel, other = await rig.fresh_channel(), rig.absent_channel()
    await rig.client.set(other, "text")
    sent = await broker.sink().send([outgoing(channel), outgoing(other), outgoing(channel)])
    assert classes(sent) == [None, FailureClass.UNROUTABLE, None]
    assert await broker.missing([Place(other)]) == [Place(other)]
    with pytest.raises(BrokerError, match="no stream"):
        await broker.source("reader", [rig.address(other)], rig.options)


async def test_what_the_server_denies_is_an_error_of_configuration(rig: RedisRig) -> None:
    channel, denied = await rig.fresh_channel(), await rig.fresh_channel()
    await rig.client.execute_command(
        "ACL", "SETUSER", "limited", "on", ">secret-1", f"~{channel}", "+@all"
    )
    stranger = RedisBroker("cache", rig.server.url.replace("://", "://limited:secret-2@"))
    with pytest.raises(BrokerError, match="credentials") as caught:
        await stranger.open()
    assert "secret" not in str(caught.value)
    await stranger.close()
    known = RedisBroker("cache", rig.server.url.replace("://", "://limited:secret-1@"))
    await known.open()
    sent = await known.sink().send([outgoing(channel), outgoing(denied), outgoing(channel)])
    assert classes(sent) == [None, FailureClass.CONFIGURATION, None]
    assert await rig.client.xlen(channel) == 2
    await known.close()


async def test_what_would_end_the_connection_is_refused_here(rig: RedisRig) -> None:
    channel = await rig.fresh_channel()
    megabyte = 1024 * 1024
    async with configured(rig, proto_max_bulk_len=megabyte):
        broker = await rig.broker()
        large = outgoing(channel, b"x" * (megabyte + 1))
        headers = outgoing(channel, headers=(("h", b"x" * (megabyte + 1)),))
        sent = await broker.sink().send([outgoing(channel), large, headers, outgoing(channel)])
        await broker.close()
    assert classes(sent) == [None, FailureClass.PERMANENT, FailureClass.PERMANENT, None]


async def test_a_header_cannot_be_taken_for_the_body(rig: RedisRig, broker: RedisBroker) -> None:
    channel = await rig.fresh_channel()
    sent = await broker.sink().send([outgoing(channel, headers=(("body", b"other"),))])
    assert classes(sent) == [FailureClass.PERMANENT]


async def test_pubsub_carries_what_is_declared_at_most_once(
    rig: RedisRig, broker: RedisBroker
) -> None:
    channel = rig.absent_channel()
    assert await broker.sink().send([outgoing(channel, options=PUBSUB)]) == [None]
    options = SourceOptions(delivery="at_most_once")
    source = await broker.source("reader", [rig.address(channel)], options)
    batch = [outgoing(channel, b"%d" % n, options=PUBSUB) for n in range(3)]
    assert await broker.sink().send(batch) == [None] * 3
    assert await asyncio.wait_for(read(source, 3), 30) == [b"0", b"1", b"2"]
    await rig.cut_connections()
    waiting = asyncio.create_task(read(source, 1))
    while not await rig.client.publish(channel, b"again"):
        pass
    assert await asyncio.wait_for(waiting, 30) == [b"again"]
    assert await broker.missing([Place(channel)]) == [Place(channel)]


LIST: Any = {"delivery": "at_most_once", "transport": "list"}


async def test_a_list_carries_what_is_declared_at_most_once(
    rig: RedisRig, broker: RedisBroker
) -> None:
    one, two = rig.absent_channel(), rig.absent_channel()
    to = TargetOptions(**LIST)
    assert await broker.missing([Place(one, is_read=True, options=SourceOptions(**LIST))]) == []
    addresses = [rig.address(one), rig.address(two)]
    source = await broker.source("reader", addresses, SourceOptions(**LIST))
    batch = [outgoing(one, b"%d" % n, options=to) for n in range(3)]
    assert await broker.sink().send(batch) == [None] * 3
    assert await asyncio.wait_for(read(source, 3), 30) == [b"0", b"1", b"2"]
    waiting = asyncio.create_task(source.read(1))
    await asyncio.sleep(0)
    await rig.cut_connections()
    await rig.client.rpush(two, b"3")
    got = (await asyncio.wait_for(waiting, 30)).messages[0]
    assert (got.channel, got.body, got.key, got.headers) == (two, b"3", None, ())
    assert await rig.client.exists(one, two) == 0
    await source.close()
    with pytest.raises(BrokerError, match="closed"):
        await source.read(1)


async def test_a_list_that_is_a_stream_stops_the_source(rig: RedisRig, broker: RedisBroker) -> None:
    channel = await rig.fresh_channel()
    source = await broker.source("reader", [rig.address(channel)], SourceOptions(**LIST))
    with pytest.raises(BrokerError, match="the key of that name"):
        await asyncio.wait_for(source.read(1), 30)


def test_a_list_has_to_be_declared() -> None:
    for options in (SourceOptions, TargetOptions):
        with pytest.raises(ValueError, match="at_most_once"):
            options(transport="list")
