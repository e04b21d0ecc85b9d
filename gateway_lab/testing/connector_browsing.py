"""Sentences about looking through channels without taking anything from anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway_lab.brokers.contract import Broker, BrokerError, Browser, FailureClass
from gateway_lab.messages.message import Message
from gateway_lab.testing.connector_rig import ConnectorTests, Rig, a_message, numbers, soon


@asynccontextmanager
async def browsing(
    broker: Broker, rig: Rig, *channels: str, from_start: bool = True
) -> AsyncIterator[Browser]:
    """Open a browser on channels."""
    addresses = [rig.address(channel) for channel in channels]
    browser = await soon(broker.browser(addresses, rig.options, from_start=from_start))
    try:
        yield browser
    finally:
        await soon(browser.close())


async def all_of(browser: Browser, limit: int = 100) -> list[Message]:
    """Read until it has caught up."""
    messages: list[Message] = []
    while not browser.has_caught_up:
        messages += await soon(browser.read(limit))
    return messages


async def some_of(browser: Browser, n: int) -> list[Message]:
    """Read `n` messages."""
    messages: list[Message] = []
    while len(messages) < n:
        messages += await soon(browser.read(n - len(messages)))
    return messages


def bodies(messages: list[Message]) -> list[bytes | None]:
    """Return their bodies, sorted: partitions come in any order."""
    return sorted((each.body for each in messages), key=lambda body: int(body or b"-1"))


class BrowsingTests(ConnectorTests):
    """How a connector looks through channels."""

    @pytest.mark.needs_feature("looks")
    async def test_a_browser_sees_all_that_is_there(self, rig: Rig, broker: Broker) -> None:
        """From the first message to the last, in pieces, of several channels."""
        channels = [await soon(rig.fresh_channel()) for _ in range(2)]
        for channel, start in zip(channels, (0, 150), strict=True):
            await rig.publish(channel, [a_message(each) for each in numbers(150, start)])
        async with browsing(broker, rig, *channels) as browser:
            messages = await all_of(browser)
        assert bodies(messages) == numbers(300)
        assert {each.channel for each in messages} == set(channels)

    @pytest.mark.needs_feature("looks")
    async def test_a_browser_of_an_empty_channel_has_caught_up(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """There is nothing to wait for."""
        async with browsing(broker, rig, channel) as browser:
            assert await all_of(browser) == []

    @pytest.mark.needs_feature("looks")
    async def test_a_browser_that_has_caught_up_waits_for_more(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What arrives later comes, too."""
        await rig.publish(channel, [a_message(each) for each in numbers(5)])
        async with browsing(broker, rig, channel) as browser:
            assert bodies(await all_of(browser)) == numbers(5)
            await rig.publish(channel, [a_message(each) for each in numbers(5, 5)])
            assert bodies(await some_of(browser, 5)) == numbers(5, 5)

    @pytest.mark.needs_feature("looks")
    async def test_a_browser_may_begin_at_the_end(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What was there before does not come."""
        await rig.publish(channel, [a_message(each) for each in numbers(5)])
        async with browsing(broker, rig, channel, from_start=False) as browser:
            assert browser.has_caught_up
            await rig.publish(channel, [a_message(each) for each in numbers(5, 5)])
            assert bodies(await some_of(browser, 5)) == numbers(5, 5)

    @pytest.mark.needs_feature("looks")
    async def test_a_browser_and_a_source_give_the_same_messages(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """And the browser takes nothing from the source."""
        messages = [
            a_message(b"%d" % n, b"k%d" % (n % 3), headers=(("n", b"%d" % n),)) for n in range(20)
        ]
        await rig.publish(channel, messages)
        async with browsing(broker, rig, channel) as browser:
            seen = await all_of(browser)
            reading = await self.open(broker, rig, channel)
            await reading.bodies(20)
            await reading.settle()
        assert sorted(map(_without_clock, seen)) == sorted(map(_without_clock, reading.messages))

    @pytest.mark.needs_feature("looks")
    async def test_a_browser_sees_what_others_settled(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Nobody's place matters to it."""
        await rig.publish(channel, [a_message(each) for each in numbers(10)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(10)
        await reading.settle()
        async with browsing(broker, rig, channel) as browser:
            assert bodies(await all_of(browser)) == numbers(10)

    @pytest.mark.needs_feature("looks")
    @pytest.mark.needs_feature("cuts")
    async def test_a_browser_survives_lost_connections(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Nothing is skipped, and nothing comes twice."""
        await rig.publish(channel, [a_message(each) for each in numbers(50)])
        async with browsing(broker, rig, channel) as browser:
            messages = await some_of(browser, 20)
            await rig.cut_connections()
            messages += await some_of(browser, 30)
            await rig.publish(channel, [a_message(each) for each in numbers(5, 50)])
            messages += await some_of(browser, 5)
        assert bodies(messages) == numbers(55)

    @pytest.mark.needs_feature("looks")
    async def test_a_browser_of_a_channel_that_is_not_there_is_refused(
        self, rig: Rig, broker: Broker
    ) -> None:
        """And looking does not make it."""
        with pytest.raises(BrokerError) as refused:
            async with browsing(broker, rig, rig.absent_channel()):
                pass
        assert refused.value.failure.failure_class is FailureClass.CONFIGURATION

    @pytest.mark.needs_feature("takes")
    async def test_where_looking_would_take_messages_it_is_refused(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """With a hint of what to do instead."""
        with pytest.raises(BrokerError, match="takes them") as refused:
            async with browsing(broker, rig, channel):
                pass
        assert refused.value.hint


def _without_clock(message: Message) -> tuple[object, ...]:
    return (
        message.position,
        message.channel,
        message.partition,
        message.body,
        message.key,
        message.headers,
        message.timestamp,
    )
