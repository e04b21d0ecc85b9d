from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

import pytest

from gateway_lab.brokers.contract import FailureClass
from gateway_lab.brokers.memory.broker import MemoryBroker
from gateway_lab.brokers.memory.server import server_at
from gateway_lab.config.plan import AddressPlan
from gateway_lab.testing.connector_rig import a_message, an_outgoing, numbers, soon
from gateway_lab.testing.connector_suite import FEATURES, ConnectorSuite
from tests.brokers.memory_rig import MemoryRig

NUMBERS = count()


class TestMemory(ConnectorSuite):
    protocol = "memory"
    features = FEATURES - {"crash", "leases"}  # it ends with its process

    @pytest.fixture
    def rig(self) -> MemoryRig:
        return MemoryRig()


@pytest.mark.anyio
async def test_a_stand_in_reads_by_the_patterns_of_its_protocol() -> None:
    url = f"memory://pattern-{next(NUMBERS)}"
    server = server_at(url)
    server.create(["orders.eu", "orders.us", "users.eu"])
    for channel in server.channels:
        server.publish(channel, [a_message(channel.encode())])
    broker = MemoryBroker("bus", url, protocol="nats")
    address = AddressPlan(broker="bus", protocol="nats", channel=None, pattern="orders.*")
    source = await broker.source("orders", [address], None)
    batch = await soon(source.read(10))
    assert {each.body for each in batch.messages} == {b"orders.eu", b"orders.us"}
    assert {each.protocol for each in batch.messages} == {"nats"}
    await broker.close()


@pytest.mark.anyio
async def test_a_handle_of_a_lost_partition_settles_nothing() -> None:
    rig = MemoryRig()
    channel = await rig.fresh_channel()
    await rig.publish(channel, [a_message(b"1")])
    broker = await rig.broker()
    source = await broker.source("reader", [rig.address(channel)], None)
    before = await soon(source.read(10))
    rig.server.cut_connections()
    await source.settle(before.handles)
    after = await soon(source.read(10))
    assert [each.body for each in after.messages] == [b"1"]
    assert list(after.attempts) == [1]
    await broker.close()


@pytest.mark.anyio
async def test_a_channel_that_is_deleted_is_unroutable() -> None:
    rig = MemoryRig()
    channel = await rig.fresh_channel()
    broker = await rig.broker()
    source = await broker.source("reader", [rig.address(channel)], None)
    rig.server.delete(channel)
    [failure] = await broker.sink().send([an_outgoing(channel)])
    assert failure is not None
    assert failure.failure_class is FailureClass.UNROUTABLE
    await source.close()
    await broker.close()


@pytest.mark.anyio
async def test_messages_may_come_from_another_thread() -> None:
    rig = MemoryRig()
    channel = await rig.fresh_channel()
    broker = await rig.broker()
    source = await broker.source("reader", [rig.address(channel)], None)
    got: list[bytes | None] = []
    publish = asyncio.create_task(asyncio.to_thread(publish_one_by_one, rig, channel))
    while len(got) < 500:
        got += [each.body for each in (await soon(source.read(100))).messages]
    await publish
    assert Counter(got) == Counter(numbers(500))
    await broker.close()


def publish_one_by_one(rig: MemoryRig, channel: str) -> None:
    for body in numbers(500):
        rig.server.publish(channel, [a_message(body)])
