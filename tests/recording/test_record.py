"""Recording without a gateway: what is there, what comes, and nobody notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway_lab.brokers.contract import BrokerError
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.load import parse_config
from gateway_lab.errors import CaptureError
from gateway_lab.messages.message import Message
from gateway_lab.recording.record import record
from tests.gateway.shop import SHOP, Shop, number_of, order, settled, until

pytestmark = pytest.mark.anyio

LIMIT_S = 60


def numbers(capture: Capture) -> list[int]:
    rows = capture.frame.select("body").collect()["body"].to_list()
    return sorted(number_of(Message(body=body, received=order(0).received)) for body in rows)


async def all_there(shop: Shop, path: Path) -> Capture:
    return await record(shop.config, path, environ=shop.environ, until_caught_up=True)


async def test_all_that_is_there_is_recorded_and_stays_there(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n, key=str(n % 7)) for n in range(2_500)])
    capture = await all_there(shop, tmp_path / "c")
    assert numbers(capture) == list(range(2_500))
    assert capture.metadata.recorded_by == f"record shop {shop.config.digest[:12]}"
    assert len(await shop.left()) == 2_500


async def test_what_was_settled_long_ago_is_recorded_too(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n) for n in range(30)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 30))
    assert numbers(await all_there(shop, tmp_path / "c")) == list(range(30))


async def test_a_file_can_be_recorded(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n) for n in range(30)])
    capture = await all_there(shop, tmp_path / "c.parquet")
    assert numbers(capture) == list(range(30))
    assert capture.metadata.digest is not None


async def test_it_goes_on_until_the_limit(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n) for n in range(5)])
    recording = asyncio.create_task(
        record(shop.config, tmp_path / "c", environ=shop.environ, limit=8)
    )
    await until(lambda: (tmp_path / "c").is_dir() and any((tmp_path / "c").glob("part*")))
    assert not recording.done()
    shop.publish([order(n) for n in range(5, 20)])
    capture = await asyncio.wait_for(recording, LIMIT_S)
    assert capture.count == 8
    assert set(range(5)) <= set(numbers(capture))


async def test_a_limit_below_a_read_cuts_it(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n) for n in range(500)])
    capture = await record(shop.config, tmp_path / "c", environ=shop.environ, limit=7)
    assert capture.count == 7


async def test_it_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """However much of it was read by then."""
    shop = Shop()
    shop.publish([order(n) for n in range(5)])
    recording = record(shop.config, tmp_path / "c", environ=shop.environ, seconds=0.2)
    capture = await asyncio.wait_for(recording, LIMIT_S)
    assert set(numbers(capture)) <= set(range(5))


async def test_only_what_comes_from_now_on_if_that_is_asked_for(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n) for n in range(5)])
    recording = asyncio.create_task(
        record(shop.config, tmp_path / "c", environ=shop.environ, limit=3, from_start=False)
    )
    await until((tmp_path / "c").exists)
    shop.publish([order(n) for n in range(5, 8)])
    assert numbers(await asyncio.wait_for(recording, LIMIT_S)) == [5, 6, 7]


async def test_a_recording_that_is_cancelled_is_whole(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n) for n in range(5)])
    told = asyncio.Event()
    recording = asyncio.create_task(
        record(
            shop.config,
            tmp_path / "c.parquet",
            environ=shop.environ,
            progress=lambda count: told.set() if count == 5 else None,
        )
    )
    await asyncio.wait_for(told.wait(), LIMIT_S)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    assert numbers(scan_capture(tmp_path / "c.parquet")) == list(range(5))


async def test_one_source_can_be_chosen_and_no_channel_is_recorded_twice(tmp_path: Path) -> None:
    text = SHOP.replace(
        "sources:",
        "sources:\n  twin: {broker: here, channel: orders, event: Order}\n"
        "  big: {broker: there, channel: big, event: Order}",
    )
    shop = Shop(text)
    shop.publish([order(1)])
    shop.server("there").publish("big", [order(2)])
    assert numbers(await all_there(shop, tmp_path / "all")) == [1, 2]
    one = await record(
        shop.config, tmp_path / "one", sources=["big"], environ=shop.environ, until_caught_up=True
    )
    assert numbers(one) == [2]


async def test_what_is_private_is_masked(tmp_path: Path) -> None:
    shop = Shop(SHOP.replace("tenant: {type: string}", "tenant: {type: string, x-private: true}"))
    shop.publish([order(1, tenant="secret")])
    capture = await all_there(shop, tmp_path / "c")
    assert capture.is_masked
    assert b"secret" not in capture.frame.collect()["body"][0]


async def test_a_path_that_is_taken_is_refused(tmp_path: Path) -> None:
    shop = Shop()
    await all_there(shop, tmp_path / "c")
    with pytest.raises(CaptureError, match="this is there already"):
        await all_there(shop, tmp_path / "c")


async def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    shop = Shop()
    with pytest.raises(CaptureError, match="no source 'oders'") as refused:
        await record(shop.config, tmp_path / "c", sources=["oders"], environ=shop.environ)
    assert "orders" in refused.value.hint


async def test_a_channel_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    shop = Shop()
    shop.server("here").delete("orders")
    with pytest.raises(BrokerError, match="there is no channel 'orders'"):
        await all_there(shop, tmp_path / "c")
    with pytest.raises(CaptureError, match="no such file"):
        scan_capture(tmp_path / "c")


async def test_a_config_with_errors_is_refused(tmp_path: Path) -> None:
    broken = parse_config(SHOP.replace("n >= 100", "m >= 100"))
    with pytest.raises(CaptureError, match="the config has errors"):
        await record(broken, tmp_path / "c")
