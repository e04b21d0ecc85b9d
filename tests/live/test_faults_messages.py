"""Messages and channels that are bad: each gets its letter, and all others go on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway_lab.gateway.counters import State
from gateway_lab.messages.headers import header_text
from gateway_lab.messages.message import Message
from gateway_lab.testing.server_process import Server
from gateway_lab.testing.servers import SERVERS, NatsServer, RedisServer
from tests.live.equal import NUMBER, balances
from tests.live.scene import (
    Scene,
    number_of,
    order,
    orders,
    settled,
    source_of,
    until,
)

pytestmark = [pytest.mark.broker, pytest.mark.anyio]


def server_of(request: pytest.FixtureRequest, protocol: str) -> Server:
    found: Server = request.getfixturevalue(f"{protocol}_server")
    return found


async def test_one_in_a_hundred_that_is_poison_holds_up_nothing(
    redis_server: RedisServer, nats_server: NatsServer, tmp_path: Path
) -> None:
    """Some cannot be read, some the target does not take: each is one letter with its bytes."""
    scene = Scene(tmp_path, near=redis_server, far=nats_server, calm=redis_server)
    await scene.create()
    messages = orders(2_000)
    for number in range(0, 2_000, 200):
        bytes_ = b"\xff poison %d" % number
        messages[number] = msgspec.structs.replace(messages[number], body=bytes_)
    too_large = range(100, 2_000, 200)
    for number in too_large:  # good to read, and too large with the headers that it is sent with
        messages[number] = order(number, pad="x" * 1_048_550)
    await scene.publish("orders", messages)
    async with scene.gateway() as gateway:
        await settled(gateway, "orders", 2_000)
    assert balances(gateway.stats())
    await scene.check(letters=too_large)


async def test_a_header_that_would_close_the_connection_is_a_letter_and_closes_nothing(
    redis_server: RedisServer, nats_server: NatsServer, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, near=redis_server, far=nats_server, calm=redis_server)
    await scene.create()
    messages = orders(1_000)
    huge = order(500)
    huge = msgspec.structs.replace(huge, headers=(*huge.headers, ("h", b"x" * 1_100_000)))
    messages[500] = huge
    await scene.publish("orders", messages)
    async with scene.gateway() as gateway:
        await settled(gateway, "orders", 1_000)
    [letter] = await scene.fetch("calm", "dead.orders")
    assert number_of(letter) == "500"
    assert header_text(letter.headers, "x-gw-dlq-class") == "permanent"
    assert letter.body == huge.body
    assert source_of(gateway, "orders").retried == 0
    assert await scene.count("far", "there") == 999


# --- channels that are deleted ---


@pytest.mark.parametrize("protocol", SERVERS)
async def test_a_target_that_is_deleted_under_load_makes_letters(
    request: pytest.FixtureRequest, protocol: str, tmp_path: Path
) -> None:
    far = server_of(request, protocol)
    calm = server_of(request, "nats" if protocol == "redis" else "redis")
    scene = Scene(tmp_path, near=calm, far=far, calm=calm)
    await scene.create()
    async with scene.gateway() as gateway:
        await scene.publish("orders", orders(1_000))
        await settled(gateway, "orders", 300)
        await scene.clients["far"].delete([scene.channel("there")])
        await scene.publish("orders", orders(500, 1_000))
        await settled(gateway, "orders", 1_500)
    letters = await scene.fetch("calm", "dead.orders")
    numbers = {int(number_of(each)) for each in letters}
    assert len(numbers) == len(letters)
    assert set(range(1_000, 1_500)) <= numbers
    published = {number_of(each): each for each in scene.published}
    for each in letters:
        assert header_text(each.headers, "x-gw-dlq-class") == "unroutable"
        assert each.body == published[number_of(each)].body
    [way] = [each for each in gateway.stats().ways if each.source == "orders"]
    assert (way.deliveries, way.dead_lettered, way.pending) == (1_500, len(letters), 0)
    assert way.delivered == 1_500 - len(letters)


@pytest.mark.parametrize("protocol", SERVERS)
async def test_a_source_that_is_deleted_under_load_is_red_and_says_why(
    request: pytest.FixtureRequest, protocol: str, tmp_path: Path
) -> None:
    near = server_of(request, protocol)
    calm = server_of(request, "nats" if protocol == "redis" else "redis")
    scene = Scene(tmp_path, near=near, far=calm, calm=calm)
    await scene.create()
    async with scene.gateway() as gateway:
        await scene.publish("orders", orders(3_000))
        await settled(gateway, "orders", 300)
        await scene.clients["near"].delete([scene.channel("orders")])
        await until(lambda: source_of(gateway, "orders").state is State.RED)
        assert source_of(gateway, "orders").reason
        await scene.publish("others", orders(500, 100_000))
        await settled(gateway, "others", 500)
    arrived = await scene.fetch("far", "there")
    assert len({number_of(each) for each in arrived}) >= source_of(gateway, "orders").settled


# --- what is wrong with the configuration ---


async def test_a_dead_letter_that_cannot_be_written_stops_its_source_alone(
    redis_server: RedisServer, nats_server: NatsServer, tmp_path: Path
) -> None:
    """Its name depends on the message, so nobody could know before; nothing of it is settled."""
    scene = Scene(tmp_path, near=nats_server, far=redis_server, calm=redis_server)
    scene.reconfigure("dead.{message.source}", "dead.{message.headers['kind']}")
    await scene.create()
    poison = Message(
        body=b"poison",
        headers=((NUMBER, b"100"), ("kind", b"nowhere")),
        received=order(0).received,
    )
    await scene.publish("orders", [*orders(100), poison, *orders(100, 101)])
    async with scene.gateway() as gateway:
        await until(lambda: source_of(gateway, "orders").state is State.RED)
        assert "dead letter" in source_of(gateway, "orders").reason
        await scene.publish("others", orders(500, 100_000))
        await settled(gateway, "others", 500)
    assert await scene.left_of("orders") >= 1
    await scene.clients["calm"].create([scene.channel("dead.nowhere")])
    async with scene.gateway() as again:
        await settled(again, "orders", await scene.left_of("orders"))
    assert await scene.left_of("orders") == 0
    [letter] = await scene.fetch("calm", "dead.nowhere")
    assert letter.body == b"poison"
    there = {int(number_of(each)) for each in await scene.fetch("far", "there")}
    assert there == {*range(201)} - {100}


async def test_a_dead_letter_channel_that_is_missing_at_the_start_lets_nothing_be_read(
    redis_server: RedisServer, nats_server: NatsServer, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, near=nats_server, far=redis_server, calm=redis_server)
    await scene.create("dead.orders")
    await scene.publish("orders", orders(100))
    async with scene.gateway() as gateway:
        await until(lambda: source_of(gateway, "orders").state is State.RED)
        assert scene.channel("dead.orders") in source_of(gateway, "orders").reason
        assert source_of(gateway, "orders").read == 0
    assert await scene.count("far", "there") == 0


async def test_a_broker_that_refuses_its_user_stops_only_who_needs_it(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path
) -> None:
    far = server_of(request, "rabbitmq")
    scene = Scene(tmp_path, near=redis_server, far=far, calm=redis_server)
    await scene.create()
    await scene.publish("orders", orders(100))
    await scene.publish("others", orders(100, 100_000))
    address = scene.environ["GATEWAY_BROKER_FAR_URL"]
    scene.environ["GATEWAY_BROKER_FAR_URL"] = address.replace("guest:guest", "guest:CANARY")
    async with scene.gateway() as gateway:
        await settled(gateway, "others", 100)
        await until(lambda: source_of(gateway, "orders").state is State.RED)
        reason = source_of(gateway, "orders").reason
        assert "refuses the user name or password" in reason
        assert "CANARY" not in reason
        assert source_of(gateway, "orders").read == 0
    scene.environ["GATEWAY_BROKER_FAR_URL"] = address
    async with scene.gateway() as again:
        await settled(again, "orders", 100)
    await scene.check()
