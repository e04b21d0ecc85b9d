"""The rig of the embedded broker, for the suite of connectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from gateway_lab.brokers.memory.broker import MemoryBroker
from gateway_lab.brokers.memory.server import server_at
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.memory import SourceOptions

NUMBERS = count()


class MemoryRig:
    options = SourceOptions()

    def __init__(self) -> None:
        self.url = f"memory://suite-{next(NUMBERS)}"
        self.server = server_at(self.url)

    async def broker(self) -> MemoryBroker:
        broker = MemoryBroker("local", self.url)
        await broker.open()
        return broker

    async def fresh_channel(self) -> str:
        channel = self.absent_channel()
        self.server.create([channel])
        return channel

    def absent_channel(self) -> str:
        return f"channel-{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="local", protocol="memory", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        self.server.publish(channel, messages)

    async def fetch(self, channel: str, n: int) -> list[Message]:
        messages = self.server.fetch(channel)
        assert len(messages) >= n  # what is confirmed is there at once
        return messages

    async def cut_connections(self) -> None:
        self.server.cut_connections()

    async def stop(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()
