"""A small config on memory brokers, and sinks that fail as they are told, for this room's tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count

import msgspec
import pytest

from gateway_lab.brokers.contract import Batch, Broker, Failure, FailureClass, Outgoing
from gateway_lab.brokers.memory.broker import MemoryBroker, MemorySource
from gateway_lab.brokers.memory.server import MemoryServer, server_at
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.config.plan import AddressPlan
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT_S = 60
NUMBERS = count()

SHOP = """
gateway_lab: 1
name: shop
brokers: {here: memory, there: memory, letters: memory}
events:
  Order:
    type: object
    required: [n]
    properties: {n: {type: integer}, kind: {type: string}, tenant: {type: string}}
sources:
  orders: {broker: here, channel: orders, event: Order}
targets:
  big: {broker: there, channel: big}
  small: {broker: there, channel: small, headers: {tenant: "{tenant}"}}
  tenant: {broker: here, channel: "tenant.{tenant}", max_channels: 3}
routers:
  size:
    source: orders
    match: first
    routes:
      - {name: waste, when: kind = 'waste', to: [drop]}
      - {name: parked, when: kind = 'parked', to: [dead_letter]}
      - {name: big, when: n >= 100, to: [big]}
    unmatched: [small]
  tenants:
    source: orders
    match: all
    routes: [{name: tenant, when: tenant is not null, to: [tenant]}]
    unmatched: drop
retry: {initial: 1ms, max: 5ms}
dead_letter: {broker: letters, channel: "dead.{message.source}"}
"""
TWO = SHOP.replace(
    "targets:\n",
    "  others: {broker: other, channel: others}\ntargets:\n  kept: {broker: other, channel: kept}\n",
).replace(
    "routers:\n",
    "routers:\n  keep:\n    source: others\n    match: all\n    routes: [{name: all, to: [kept]}]\n"
    "    unmatched: drop\n",
)
TWO = TWO.replace("letters: memory}", "letters: memory, other: memory}")
"""The same, and a second source whose messages never leave the broker `other`."""

CHANNELS = {"here": ["orders", "tenant.a", "tenant.b"], "there": ["big", "small"]}
CHANNELS["letters"] = ["dead.orders"]


class Shop:
    """The servers of one test, and what is on them."""

    def __init__(self, text: str = SHOP) -> None:
        self.number = next(NUMBERS)
        self.config: GatewayConfig = parse_config(text)
        self.environ = {
            f"GATEWAY_BROKER_{alias.upper()}_URL": f"memory://shop-{self.number}-{alias}"
            for alias in self.config.brokers
        }
        for alias in self.config.brokers:
            self.server(alias).create(CHANNELS.get(alias, ()))

    def server(self, alias: str) -> MemoryServer:
        return server_at(self.environ[f"GATEWAY_BROKER_{alias.upper()}_URL"])

    def gateway(self, *, create_channels: bool = False) -> Gateway:
        return Gateway(self.config, environ=self.environ, create_channels=create_channels)

    def publish(self, messages: Iterable[Message], channel: str = "orders") -> None:
        self.server("here").publish(channel, messages)

    def fetch(self, alias: str, channel: str) -> list[Message]:
        return self.server(alias).fetch(channel)

    def numbers(self, alias: str, channel: str) -> list[int]:
        return [number_of(each) for each in self.fetch(alias, channel)]

    def letters(self) -> list[Message]:
        return self.fetch("letters", "dead.orders")

    async def left(self) -> list[Message]:
        """What the group of the source would read now: what is not settled."""
        url = self.environ["GATEWAY_BROKER_HERE_URL"]
        broker = MemoryBroker("here", url, gateway=self.config.name)
        address = AddressPlan(broker="here", protocol="memory", channel="orders", pattern=None)
        source = await broker.source("orders", [address], None)
        found: list[Message] = []
        while batch := source._take(1_000):
            found += batch.messages
        await broker.close()
        return found


def order(n: int, *, key: str | None = None, **fields: object) -> Message:
    body = msgspec.json.encode({"n": n, **fields})
    return Message(body=body, key=None if key is None else key.encode(), received=RECEIVED)


def number_of(message: Message) -> int:
    return int(msgspec.json.decode(message.body or b"{}")["n"])


def n_of(outgoing: Outgoing) -> int:
    return int(msgspec.json.decode(outgoing.body or b"{}")["n"])


def header(message: Message, name: str) -> str | None:
    return next((value.decode() for key, value in message.headers if key == name), None)


async def until(is_so: Callable[[], object]) -> None:
    """Wait for a condition; others have their turn in between."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110 - a condition rings no bell
            await asyncio.sleep(0.001)


def settled(gateway: Gateway, number: int) -> Callable[[], bool]:
    return lambda: sum(each.settled for each in gateway.stats().sources) >= number


def balances(gateway: Gateway) -> bool:
    stats = gateway.stats()
    return all(each.in_flight == 0 for each in stats.sources) and all(
        way.pending == 0 for way in stats.ways
    )


RETRYABLE = Failure(FailureClass.RETRYABLE, "the broker throttles")
PERMANENT = Failure(FailureClass.PERMANENT, "the message is too large")
UNROUTABLE = Failure(FailureClass.UNROUTABLE, "there is no such channel")
CONFIGURATION = Failure(FailureClass.CONFIGURATION, "no permission")
AMBIGUOUS = Failure(FailureClass.RETRYABLE, "no answer in time", is_ambiguous=True)

Judge = Callable[[Outgoing], Failure | None]


class Faults:
    """What goes wrong with sinks and sources of a test: functions that it may set.

    Attributes:
        judge: Says how a message to a broker fails; an ambiguous failure stores it all the same.
        stalled: Aliases whose sends wait until they are taken out.
        sent: Every message that was tried, in order, with its alias.
        sends: How many batches were sent.
        deaf: Whether settling never comes to an end: the process dies before it.
        on_settle: Told what is settled, before the broker is.
    """

    def __init__(self) -> None:
        self.judge: dict[str, Judge] = {}
        self.stalled: set[str] = set()
        self.sent: list[tuple[str, Outgoing]] = []
        self.deaf = False
        self.on_settle: Callable[[list[Message]], None] = lambda _: None
        self.sends = 0

    def tries(self) -> Counter[str]:
        return Counter(outgoing.id for _, outgoing in self.sent)


class FaultySink:
    sends_at_once = 1

    def __init__(self, broker: MemoryBroker, faults: Faults) -> None:
        self._alias, self._faults = broker.alias, faults
        self._sink = MemoryBroker.sink(broker)

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        while self._alias in self._faults.stalled:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        self._faults.sends += 1
        self._faults.sent += [(self._alias, each) for each in batch]
        judge = self._faults.judge.get(self._alias, lambda _: None)
        verdicts = [judge(each) for each in batch]
        passing = [
            each for each, v in zip(batch, verdicts, strict=True) if v is None or v.is_ambiguous
        ]
        answers = iter(await self._sink.send(passing))
        return [
            verdict if verdict and not verdict.is_ambiguous else (next(answers) or verdict)
            for verdict in verdicts
        ]

    async def close(self) -> None:
        await self._sink.close()


class FaultySource:
    starts = None

    def __init__(self, source: MemorySource, faults: Faults) -> None:
        self._source, self._faults = source, faults
        self._read: dict[int, Message] = {}
        self.give_back, self.close = source.give_back, source.close
        self.lost = 0

    async def read(self, limit: int) -> Batch:
        batch = await self._source.read(limit)
        self._read |= dict(zip(map(id, batch.handles), batch.messages, strict=True))
        return batch

    async def settle(self, handles: Sequence[object]) -> None:
        if self._faults.deaf:
            await asyncio.Event().wait()
        self._faults.on_settle([self._read[id(each)] for each in handles])
        await self._source.settle(handles)


class FaultyBroker(MemoryBroker):
    faults: Faults

    def sink(self) -> FaultySink:  # type: ignore[override]
        return FaultySink(self, self.faults)

    async def source(  # type: ignore[override]
        self, name: str, addresses: Sequence[AddressPlan], options: object
    ) -> FaultySource:
        return FaultySource(await super().source(name, addresses, options), self.faults)


@contextmanager
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Let every connection of a gateway fail as the test says."""
    faults = Faults()

    def connect(alias: str, protocol: str, environ: dict[str, str], **names: str) -> Broker:
        url = environ[f"GATEWAY_BROKER_{alias.upper()}_URL"]
        broker = FaultyBroker(alias, url, protocol, **names)
        broker.faults = faults
        return broker

    monkeypatch.setattr("gateway_lab.gateway.gateway.connect", connect)
    yield faults
    monkeypatch.undo()
