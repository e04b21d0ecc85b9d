from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway_lab.brokers.contract import Batch
from gateway_lab.gateway import window as window_file
from gateway_lab.gateway.window import MANY, Held, Window
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


async def test_headers_fill_a_window_as_bodies_do() -> None:
    window = Window(max_bytes=10_000)
    message = Message(body=None, headers=(("h", b"x" * 999), ("i", b"y")), received=RECEIVED)
    window.add(Held(0, Batch([message] * 4, [*range(4)], [0] * 4)))
    assert (window.fullness, await window.room()) == (0.4, 6)


async def test_with_many_in_hand_reading_goes_on_once_something_is_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window_file, "PACE_S", 3_600)
    window = Window()
    first, second = held(0, MANY - 1), held(0, 1)
    window.add(first)
    assert await window.room() > 0
    window.add(second)
    reading = asyncio.create_task(window.room())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not reading.done()
    second.unsettled = 0
    window.advance()
    assert await reading > 0


async def test_a_target_that_stalls_keeps_nobody_from_reading_until_the_window_is_full() -> None:
    window = Window()
    window.add(held(0, MANY))
    assert await window.room() > 0
