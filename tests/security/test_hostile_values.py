"""Messages that try to choose where they go, or what a broker does, on real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import count

import aiormq
import nats
import pytest

import gateway_lab as gl
from gateway_lab.messages.headers import Headers, header_text
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import SERVERS, Server
from tests.live.clients import Fresh

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

LIMIT_S = 50
NUMBERS = count()
PROTOCOLS = sorted(SERVERS)

CONFIG = """
gateway_lab: 1
name: hostile
brokers: {outside: SOURCE, inside: TARGET}
events:
  Order:
    type: object
    required: [tenant]
    properties: {tenant: {type: string}}
sources: {orders: {broker: outside, channel: "CHANNEL-in", event: Order}}
targets:
  guarded: {broker: inside, channel: "CHANNEL.{tenant}.events", max_channels: 3}
routers: {one: {source: orders, match: all, routes: [], unmatched: [guarded]}}
dead_letter: {broker: inside, channel: "CHANNEL-dead"}
"""

HOSTILE = [
    *("$JS.API.STREAM.DELETE", "$JS.API.STREAM.PURGE", "$SYS", "_INBOX.x", "amq.topic", ">"),
    *("*", "#", "a.b", "..", "__consumer_offsets/..", "a b", "", "a\0b", "a\nb", "a\r\nPUB x 0"),
    *("\t", "\u2028", "é", "🚀", "{x}", "{tenant}", "a%2e", "x" * 65, "x" * 100_000),
]


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Callable[[str], Server]:
    def server(protocol: str) -> Server:
        found: Server = request.getfixturevalue(f"{protocol}_server")
        return found

    return server


class Try:
    """A gateway between two protocols, and clients on both sides of it."""

    def __init__(self, source: str, target: str, urls: dict[str, str]) -> None:
        self.channel = f"hostile{next(NUMBERS)}"
        text = CONFIG.replace("SOURCE", source).replace("TARGET", target)
        self.config = gl.parse_config(text.replace("CHANNEL", self.channel))
        self.environ = {
            "GATEWAY_BROKER_OUTSIDE_URL": urls[source],
            "GATEWAY_BROKER_INSIDE_URL": urls[target],
        }
        self.outside = Fresh(source, urls[source])
        self.inside = Fresh(target, urls[target])

    async def run(self, messages: Iterable[Message], *tenants: str) -> dict[str, list[Message]]:
        """Publish messages, wait until all are settled, and return what tenants and the dead letter got."""
        sent = list(messages)
        await self.outside.create([f"{self.channel}-in"])
        await self.outside.publish(f"{self.channel}-in", sent)
        async with asyncio.timeout(LIMIT_S):
            async with gl.Gateway(
                self.config, environ=self.environ, create_channels=True
            ) as gateway:
                while (source := gateway.stats().sources[0]).settled < len(sent):
                    assert source.state in {"waiting", "running"}, source.reason
                    await asyncio.sleep(0.05)
        return await self.inside.fetch([self.dead, *map(self.named, tenants)])

    def named(self, tenant: str) -> str:
        return f"{self.channel}.{tenant}.events"

    @property
    def dead(self) -> str:
        return f"{self.channel}-dead"


def order(tenant: object, *headers: tuple[str, bytes], key: bytes | None = None) -> Message:
    body = json.dumps({"tenant": tenant}).encode()
    return Message(body=body, key=key, headers=headers, received=datetime.now(UTC))


def reason(letter: Message) -> str:
    return header_text(letter.headers, "x-gw-dlq-reason") or ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_value_leaves_the_declared_space(
    protocol: str, servers: Callable[[str], Server]
) -> None:
    there = Try(protocol, protocol, {protocol: servers(protocol).url})
    good = ["acme", "b-c", "D_1"]
    # One key, so that the good ones come first on Kafka, too.
    sent = [order(each, key=b"k") for each in (*good, *HOSTILE, "one-too-many")]
    arrived = await there.run(sent, *good)
    for tenant in good:
        (message,) = arrived[there.named(tenant)]
        assert json.loads(message.body or b"") == {"tenant": tenant}
    letters = {json.loads(each.body or b"")["tenant"]: reason(each) for each in arrived[there.dead]}
    assert set(letters) == {*HOSTILE, "one-too-many"}
    assert letters.pop("one-too-many").startswith("too-many-channels")
    for tenant, why in letters.items():
        assert why.startswith("unsafe-channel-value: "), (tenant, why)
        assert len(why) < 200


async def test_a_stream_of_nats_is_not_deleted_by_a_message(
    servers: Callable[[str], Server],
) -> None:
    """With the gateway's rights, `$JS.API.STREAM.DELETE.events` would delete it."""
    server = servers("nats")
    connection = await nats.connect(server.url)
    try:
        stream = connection.jetstream()
        await stream.add_stream(name="events", subjects=["precious"])
        await stream.publish("precious", b"1")
        there = Try("nats", "nats", {"nats": server.url})
        arrived = await there.run([order("$JS.API.STREAM.DELETE"), order("acme")])
        assert len(arrived[there.dead]) == 1
        assert (await stream.stream_info("events")).state.messages == 1
        await stream.delete_stream("events")
    finally:
        await connection.close()


async def test_a_header_does_not_choose_queues_of_rabbitmq(
    servers: Callable[[str], Server],
) -> None:
    """RabbitMQ sends a message to every routing key in the headers CC and BCC."""
    urls = {each: servers(each).url for each in ("redis", "rabbitmq")}
    there = Try("redis", "rabbitmq", urls)
    victim = f"{there.channel}-victim"
    await there.inside.create([victim])
    spelled = ("CC", "BCC", "cc", "Cc", "bCC")
    arrived = await there.run((order("acme", (name, victim.encode())) for name in spelled), "acme")
    assert [each.headers for each in map(without_own, arrived[there.named("acme")])] == [()] * 5
    assert await there.inside.count(victim) == 0


async def test_a_header_does_not_command_nats(servers: Callable[[str], Server]) -> None:
    urls = {each: servers(each).url for each in ("redis", "nats")}
    there = Try("redis", "nats", urls)
    commands: Headers = (
        ("Nats-Rollup", b"all"),
        ("nats-rollup", b"sub"),
        ("Nats-Expected-Stream", b"other"),
        ("Nats-Expected-Last-Sequence", b"99"),
        ("Nats-Msg-Id", b"same"),
        ("Nats-TTL", b"1s"),
    )
    arrived = await there.run((order("acme", each) for each in (*commands, *commands)), "acme")
    assert len(arrived[there.named("acme")]) == 2 * len(commands)


def without_own(message: Message) -> Message:
    """Leave out the gateway's headers."""
    headers = tuple(each for each in message.headers if not each[0].startswith("x-gw-"))
    return Message(body=message.body, headers=headers, received=message.received)


# --- nobody is answered ---


async def test_nobody_is_answered_on_rabbitmq(servers: Callable[[str], Server]) -> None:
    url = servers("rabbitmq").url
    there = Try("rabbitmq", "rabbitmq", {"rabbitmq": url})
    victim = f"{there.channel}-victim"
    await there.inside.create([victim, f"{there.channel}-in"])
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        properties = aiormq.spec.Basic.Properties(reply_to=victim, correlation_id="1")
        for tenant in ("acme", "a.b"):
            await channel.basic_publish(
                order(tenant).body or b"",
                routing_key=f"{there.channel}-in",
                properties=properties,
            )
    arrived = await there.run([order("acme"), order("a.b")], "acme")
    assert len(arrived[there.named("acme")]) + len(arrived[there.dead]) >= 2
    assert await there.inside.count(victim) == 0


# --- what is large does not stop a source ---


@pytest.mark.parametrize("target", ["rabbitmq", "nats", "redis"])
async def test_a_letter_of_a_bulky_message_can_be_written(
    target: str, servers: Callable[[str], Server]
) -> None:
    """A frame of RabbitMQ holds 128 KiB of headers, NATS 64: past that the source would stop."""
    there = Try("kafka", target, {each: servers(each).url for each in ("kafka", target)})
    many = tuple((f"h{number}", b"x" * 2_000) for number in range(200))
    bulky = [
        order(7, *many),
        order(7, ("one", b"x" * 300_000)),
        order(7, ("odd", b"\n" + b"x" * 300_000)),
        order(7, *((f"{number:0200}", b"\n") for number in range(2_000))),
        order(7, key=b"k" * 300_000),
        order("acme", *many),
        order("acme", key=b"k" * 300_000) if target != "redis" else order(7),
    ]
    arrived = await there.run(bulky)
    assert len(arrived[there.dead]) == len(bulky)
    assert {each.body for each in arrived[there.dead]} == {each.body for each in bulky}
