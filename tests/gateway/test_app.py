from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from faststream import Context, Depends, TestApp

from gateway_lab.errors import ConfigError
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.testing.gateway_test import GatewayTest
from tests.gateway.shop import SHOP, Shop, order, settled, until

pytestmark = pytest.mark.anyio

HANDLED = SHOP.replace("event: Order}", "event: Order, handler: {returns: Order}}")


def state_of(gateway: Gateway) -> State:
    (source,) = gateway.stats().sources
    return source.state


@pytest.fixture
async def shop() -> Shop:
    return Shop()


async def test_an_app_without_brokers_runs_its_gateway(shop: Shop) -> None:
    gateway = shop.gateway()
    assert gateway.app.brokers == []
    async with gateway.app:
        shop.publish([order(7), order(700)])
        await until(settled(gateway, 2))
    assert (shop.numbers("there", "small"), shop.numbers("there", "big")) == ([7], [700])
    assert state_of(gateway) is State.STOPPED


async def test_hooks_run_around_the_start_and_the_stop(shop: Shop) -> None:
    gateway, seen = shop.gateway(), []

    @gateway.app.on_startup
    async def _() -> None:
        seen.append(("on_startup", state_of(gateway)))

    @gateway.app.after_startup
    async def _() -> None:
        await until(lambda: state_of(gateway) is State.RUNNING)
        seen.append(("after_startup", state_of(gateway)))

    @gateway.app.on_shutdown
    def _() -> None:
        seen.append(("on_shutdown", state_of(gateway)))

    @gateway.app.after_shutdown
    async def _() -> None:
        seen.append(("after_shutdown", state_of(gateway)))

    async with gateway.app:
        pass
    assert seen == [
        ("on_startup", State.WAITING),
        ("after_startup", State.RUNNING),
        ("on_shutdown", State.RUNNING),
        ("after_shutdown", State.STOPPED),
    ]


async def test_what_a_hook_puts_into_the_context_is_there_for_handlers() -> None:
    shop = Shop(HANDLED)
    gateway = shop.gateway()

    @gateway.app.on_startup
    async def load(factor: int) -> None:
        gateway.app.context.set_global("factor", factor)

    @gateway.handler("orders")
    async def handle(event: dict[str, Any], factor: Annotated[int, Context()]) -> dict[str, Any]:
        return {"n": event["n"] * factor}

    await gateway.app.start(factor=3)
    shop.publish([order(7)])
    await until(settled(gateway, 1))
    await gateway.app.stop()
    assert shop.numbers("there", "small") == [21]


async def test_handlers_are_tested_without_the_app() -> None:
    shop = Shop(HANDLED)
    gateway = shop.gateway()

    def factor() -> int:
        return 3

    @gateway.handler("orders")
    async def handle(event: dict[str, Any], by: Annotated[int, Depends(factor)]) -> dict[str, Any]:
        return {"n": event["n"] * by}

    assert gateway.app.brokers == []
    gateway.dependencies.override(factor, lambda: 5)
    async with GatewayTest(gateway) as test:
        await test.publish("orders", {"n": 2})
        (sent,) = test.fetch("there", "small")
    assert sent.body == b'{"n":10}'


async def test_a_hook_that_fails_leaves_nothing_running(shop: Shop) -> None:
    gateway = shop.gateway()

    @gateway.app.after_startup
    async def fail() -> None:
        await until(lambda: state_of(gateway) is State.RUNNING)
        raise LookupError("a hook")

    with pytest.raises(LookupError, match="a hook"):
        await gateway.app.start()
    assert state_of(gateway) is State.STOPPED


async def test_an_app_does_not_start_whose_handlers_are_not_registered() -> None:
    gateway = Shop(HANDLED).gateway()
    with pytest.raises(ConfigError, match="no function is registered for the handler of orders"):
        await gateway.app.start()


async def test_a_stop_finishes_what_is_in_flight() -> None:
    shop = Shop(HANDLED)
    gateway, begun, go = shop.gateway(), asyncio.Event(), asyncio.Event()

    @gateway.handler("orders")
    async def handle(event: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        await go.wait()
        return event

    await gateway.app.start()
    shop.publish([order(7)])
    await asyncio.wait_for(begun.wait(), 60)
    stopping = asyncio.create_task(gateway.app.stop())
    await asyncio.sleep(0)
    go.set()
    await stopping
    assert shop.numbers("there", "small") == [7]
    assert await shop.left() == []


async def test_faststreams_test_of_apps_runs_it(shop: Shop) -> None:
    gateway, seen = shop.gateway(), list[str]()

    @gateway.app.after_shutdown
    async def _() -> None:
        seen.append("after_shutdown")

    async with TestApp(gateway.app):
        shop.publish([order(7)])
        await until(settled(gateway, 1))
    assert seen == ["after_shutdown"]


# --- under FastStream's own command ---

MODULE = """
import gateway_lab as gl

gateway = gl.Gateway(gl.read_config("shop.yaml"), create_channels={creates})

@gateway.app.after_startup
async def began() -> None:
    print("began", flush=True)

@gateway.app.after_shutdown
async def ended() -> None:
    print("ended", flush=True)
"""


class Command:
    """`faststream run` in a process of its own."""

    def __init__(
        self, folder: Path, text: str = SHOP, *, creates: bool = True, **environ: str
    ) -> None:
        (folder / "shop.yaml").write_text(text)
        (folder / "shop_of_app.py").write_text(MODULE.format(creates=creates))
        self._folder, self._environ = folder, {**os.environ, **environ, "NO_COLOR": "1"}

    async def __aenter__(self) -> asyncio.subprocess.Process:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faststream", "run", "shop_of_app:gateway.app"),
            cwd=self._folder,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self.process

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()


async def line_of(process: asyncio.subprocess.Process, text: bytes) -> None:
    assert process.stdout
    async with asyncio.timeout(50):
        while text not in (line := await process.stdout.readline()):
            assert line, "it ended"


async def output_of(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(50):
        return (await process.communicate())[0].decode()


@pytest.mark.slow
async def test_faststream_runs_the_app_until_sigterm(tmp_path: Path) -> None:
    async with Command(tmp_path) as process:
        await line_of(process, b"began")
        process.send_signal(signal.SIGTERM)
        assert "ended" in await output_of(process)
        assert process.returncode == 0


@pytest.mark.slow
async def test_an_app_whose_sources_are_red_ends_and_says_so_by_its_exit_code(
    tmp_path: Path,
) -> None:
    async with Command(tmp_path, creates=False) as process:
        told = await output_of(process)
        assert "source orders is red" in told
        assert "Traceback" not in told
        assert process.returncode == 1


@pytest.mark.slow
async def test_faststreams_traceback_shows_no_address(tmp_path: Path) -> None:
    text = SHOP.replace("here: memory", "here: kafka")
    secret = "kafka://user:hunter2@somewhere:9092"
    async with Command(tmp_path, text, GATEWAY_BROKER_HERE_URL=secret) as process:
        told = await output_of(process)
        assert process.returncode == 1
        assert "broker here: the broker is on another machine" in told
        assert "hunter2" not in told
        assert "somewhere" not in told
