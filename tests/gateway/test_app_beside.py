from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.app import beside as app_beside
from gateway_lab.gateway.app.beside import Beside, broker_beside
from tests.gateway.shop import Shop, order, settled, until

pytestmark = pytest.mark.anyio


class FakeBroker:
    """Starts as often as it is told to fail, and then well."""

    def __init__(self, fails: int = 0) -> None:
        self.fails, self.starts, self.stops, self.connects = fails, 0, 0, 0
        self.is_there = True
        self.task: asyncio.Task[None] | None = None
        self.ended: Any = lambda: None

    async def connect(self) -> None:
        self.connects += 1

    async def ping(self, _: float) -> bool:
        return self.is_there

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self.fails:
            raise OSError("amqp://user:hunter2@somewhere refused")
        self.task = asyncio.create_task(self._consume())

    async def _consume(self) -> None:
        self.ended()

    async def stop(self) -> None:
        self.stops += 1


async def test_a_broker_that_is_down_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broker = FakeBroker(fails=3)
    beside = Beside("work", broker)
    beside.start()
    await until(lambda: broker.starts == 4)
    await beside.stop()
    assert broker.stops == 4, "what failed to start was closed, too"
    assert "hunter2" not in caplog.text
    assert caplog.text.count("broker work of FastStream cannot be started") == 1, "told once"


async def test_a_broker_is_not_started_before_its_server_answers() -> None:
    """A start that fails half is not undone by FastStream: the next one then does nothing."""
    broker = FakeBroker()
    broker.is_there = False
    beside = Beside("work", broker)
    beside.start()
    await until(lambda: broker.connects > 2)
    assert broker.starts == 0
    broker.is_there = True
    await until(lambda: broker.starts == 1)
    await beside.stop()


async def test_a_broker_that_is_down_holds_up_neither_the_gateway_nor_others() -> None:
    shop = Shop()
    gateway = shop.gateway()
    down, other = FakeBroker(fails=1_000_000), FakeBroker()
    gateway.app._beside += [Beside("work", down), Beside("edge", other)]
    async with gateway.app:
        await until(lambda: down.starts > 2 and other.starts == 1)
        shop.publish([order(7)])
        await until(settled(gateway, 1))
    assert shop.numbers("there", "small") == [7]
    assert (other.starts, other.stops) == (1, 1)


async def test_a_subscriber_that_asks_the_app_to_end_is_started_again_instead() -> None:
    gateway = Shop().gateway()
    broker = FakeBroker()
    broker.ended = lambda: gateway.app.exit() if broker.starts == 1 else None
    gateway.app._beside.append(Beside("work", broker))
    async with gateway.app:
        await until(lambda: broker.starts == 2)
        assert not gateway.app._should_exit
    assert broker_beside() is None
    gateway.app.exit()
    assert gateway.app._should_exit


async def test_a_broker_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_beside, "STOP_S", 0.01)
    broker = FakeBroker()

    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(broker, "stop", hang)
    beside = Beside("work", broker)
    beside.start()
    await until(lambda: broker.starts == 1)
    await asyncio.wait_for(beside.stop(), 60)


async def test_a_broker_without_an_address_is_not_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = FakeBroker()
    beside = Beside("work", broker, GatewayLabError("there is no address"))
    beside.start()
    await until(lambda: "there is no address" in caplog.text)
    await beside.stop()
    assert broker.starts == 0
