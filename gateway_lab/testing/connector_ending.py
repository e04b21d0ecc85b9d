"""What every connector is held to when channels are missing and connections end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Set as AbstractSet
from typing import Any

import pytest

from gateway_lab.brokers.contract import (
    Broker,
    BrokerError,
    FailureClass,
    Place,
)
from gateway_lab.testing.connector_rig import (
    ConnectorTests,
    Rig,
    a_message,
    an_outgoing,
    numbers,
    send_until_confirmed,
    soon,
)


class EndingTests(ConnectorTests):
    """Nothing is created unasked, breaks are survived, and nothing is left behind."""

    # --- nothing is created unasked ---

    async def test_looking_creates_nothing(self, rig: Rig, broker: Broker, channel: str) -> None:
        """A channel that is missing stays missing, however often one asks."""
        absent = rig.absent_channel()
        for is_read in (True, False, True, False):
            there, missing = Place(channel, is_read), Place(absent, is_read)
            assert await soon(broker.missing([there, missing])) == [missing]
            assert missing.channel not in " ".join(await soon(broker.risks([there, missing])))
            assert await soon(broker.missing([missing])) == [missing]

    async def test_a_source_on_a_missing_channel_is_an_error_of_configuration(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """It is said at once, and the channel is not made."""
        absent = rig.absent_channel()
        with pytest.raises(BrokerError) as caught:
            await self.open(broker, rig, channel, absent)
        assert caught.value.failure.failure_class is FailureClass.CONFIGURATION
        assert await soon(broker.missing([Place(absent)])) == [Place(absent)]

    async def test_a_channel_is_created_when_asked_for(self, rig: Rig, broker: Broker) -> None:
        """And can then be written to and read from; asking again changes nothing."""
        name = rig.absent_channel()
        await soon(broker.create([Place(name, is_read=True)]))
        await soon(broker.create([Place(name)]))
        assert await soon(broker.missing([Place(name), Place(name, is_read=True)])) == []
        [got] = await self.round_trip(rig, broker, [an_outgoing(name, b"1")])
        assert got.body == b"1"

    # --- connections break, and end ---

    @pytest.mark.needs_feature("cuts")
    async def test_reading_goes_on_when_connections_were_cut(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """A read sees no error, and what was not settled comes again, now or later."""
        await rig.publish(channel, [a_message(body) for body in numbers(10)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(10)
        await rig.cut_connections()
        await soon(reading.source.settle(reading.handles[:3]))
        await rig.publish(channel, [a_message(body) for body in numbers(10, 10)])
        await reading.bodies(20)
        await soon(broker.close())
        settled = {each.body for each in reading.messages[:3]}
        await self.reopen(rig, channel, expected=set(numbers(20)) - settled)

    @pytest.mark.needs_feature("cuts")
    async def test_sending_goes_on_when_connections_were_cut(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What had no answer is a failure that passes; nothing confirmed is lost."""
        sink = broker.sink()
        await send_until_confirmed(sink, [an_outgoing(channel, b"before")])
        await rig.cut_connections()
        batch = [an_outgoing(channel, body) for body in numbers(20)]
        await send_until_confirmed(sink, batch)
        await rig.cut_connections()
        await send_until_confirmed(sink, [an_outgoing(channel, b"after")])
        stored = {each.body for each in await soon(rig.fetch(channel, 22))}
        assert stored == {b"before", b"after", *numbers(20)}

    @pytest.mark.needs_feature("stops")
    async def test_the_server_may_be_away(self, rig: Rig, broker: Broker, channel: str) -> None:
        """Sending and reading wait for it, or fail in a way that passes; nothing is lost."""
        reading = await self.open(broker, rig, channel)
        sink = broker.sink()
        await send_until_confirmed(sink, [an_outgoing(channel, b"before")])
        await reading.bodies(1)
        await rig.stop()
        sending = asyncio.create_task(send_until_confirmed(sink, [an_outgoing(channel, b"after")]))
        waiting = asyncio.create_task(reading.bodies(2))
        opening = asyncio.create_task(rig.broker())
        await asyncio.sleep(0)  # each of them meets a server that is away
        await rig.start()
        await soon(sending)
        await soon(waiting)
        await soon((await soon(opening)).close())

    @pytest.mark.needs_feature("stops")
    async def test_closing_does_not_wait_for_a_server_that_is_away(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """It neither hangs nor raises."""
        await rig.publish(channel, [a_message(body) for body in numbers(5)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(5)
        await rig.stop()
        try:
            await soon(reading.source.close())
            await soon(broker.close())
        finally:
            await rig.start()

    async def test_a_connection_that_is_closed_leaves_nothing_behind(
        self, rig: Rig, channel: str
    ) -> None:
        """No task and no thread is left, with messages in hand and a read that was cancelled."""
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        broker = await soon(rig.broker())
        reading = await self.open(broker, rig, channel)
        assert await soon(broker.sink().send([an_outgoing(channel)])) == [None]
        await reading.until(lambda: len(reading.messages) == 1)
        waiting = asyncio.create_task(reading.source.read(1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await soon(broker.close())
        await soon(_none_is_left(tasks, threads))

    async def test_closing_twice_is_closing_once(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Sources, the sink and the connection can be closed in any order, and again."""
        reading = await self.open(broker, rig, channel)
        await soon(reading.source.close())
        await soon(broker.sink().close())
        await soon(broker.close())
        await soon(reading.source.close())
        await soon(broker.close())

    async def test_addresses_are_shown_to_nobody(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What a log or a traceback shows names the alias, never the host or a password."""
        reading = await self.open(broker, rig, channel)
        with pytest.raises(BrokerError) as caught:
            await self.open(broker, rig, rig.absent_channel())
        shown = [repr(each) for each in (broker, broker.sink(), reading.source)]
        text = " ".join([*shown, str(caught.value)])
        assert not [
            secret for secret in ("127.0.0.1", "localhost", "guest", "://") if secret in text
        ]


async def _none_is_left(
    tasks: AbstractSet[asyncio.Task[Any]], threads: AbstractSet[threading.Thread]
) -> None:
    """Wait until there are no other tasks and threads than these: a client may end in its time."""
    ours = {*tasks, asyncio.current_task()}

    def is_left() -> bool:
        others = set(threading.enumerate()) - threads
        return bool(asyncio.all_tasks() - ours) or not all(map(_is_pool, others))

    while is_left():  # noqa: ASYNC110 - an end rings no bell
        await asyncio.sleep(0.01)


def _is_pool(thread: threading.Thread) -> bool:
    """Say whether a thread is the event loop's own: asyncio ends those with the loop."""
    return thread.name.startswith("asyncio_")
