from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway_lab.brokers.contract import Batch
from gateway_lab.gateway.window import Held, Window
from gateway_lab.messages.message import Message

RECEIVED = datetime(2026, 3, 2, tzinfo=UTC)

pytestmark = pytest.mark.anyio


def held(reader: int, messages: int) -> Held:
    message = Message(body=b"x", key=None, headers=(), timestamp=None, received=RECEIVED)
    return Held(reader, Batch([message] * messages, [*range(messages)], [0] * messages))


async def test_a_window_that_two_readers_overfilled_has_no_room_until_a_batch_is_done() -> None:
    window = Window(max_messages=10)
    first, second = held(0, 7), held(1, 7)
    window.add(first)
    window.add(second)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await window.room()
    first.unsettled = 0
    window.advance()
    assert await window.room() == 3
