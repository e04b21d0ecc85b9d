"""Taps: every message that was settled is in the capture, whatever happens."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.journal import Journal
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.load import parse_config
from gateway_lab.errors import CaptureError
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.mask import show_private
from gateway_lab.messages.message import Message
from gateway_lab.offline.run import replay
from gateway_lab.recording.tap import Tap
from tests.gateway.shop import SHOP, Faults, Shop, faulty, header, number_of, order, settled, until

pytestmark = pytest.mark.anyio

TWO_READERS = SHOP.replace(
    "  orders: {broker: here, channel: orders, event: Order}",
    "  orders: {broker: here, channel: orders, event: Order}\n"
    "  again: {broker: here, channel: orders, event: Order}",
).replace("    source: orders\n    match: all", "    source: again\n    match: all")

PRIVATE = SHOP.replace("tenant: {type: string}", "tenant: {type: string, x-private: true}").replace(
    "channel: orders, event: Order}", "channel: orders, event: Order, private: {key: true}}"
)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with faulty(monkeypatch) as faults:
        yield faults


def tapped(shop: Shop, tap: Tap) -> Gateway:
    return Gateway(shop.config, environ=shop.environ, wrap=tap.wrap)


def numbers(capture: Capture) -> list[int]:
    rows = capture.frame.select("body").collect()["body"].to_list()
    return [number_of(Message(body=body, received=order(0).received)) for body in rows]


async def run(shop: Shop, path: Path, n: int) -> int:
    """Run a gateway with a tap until so many messages are settled; return how many it recorded."""
    with Tap(shop.config, path) as tap:
        async with tapped(shop, tap) as gateway:
            await until(settled(gateway, n))
        return tap.recorded


async def test_all_that_a_source_delivers_is_recorded(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n, key=str(n % 7)) for n in range(500)])
    assert await run(shop, tmp_path / "c", 500) == 500
    capture = scan_capture(tmp_path / "c")
    assert sorted(numbers(capture)) == list(range(500))
    assert capture.places() == ["memory:orders"]
    assert capture.metadata.recorded_by == f"run shop {shop.config.digest[:12]}"


async def test_the_replay_of_a_tap_gives_what_arrived(tmp_path: Path) -> None:
    shop = Shop()
    shop.publish([order(n, key=str(n % 7), tenant="ab"[n % 2]) for n in range(200)])
    shop.publish([order(n, kind=["waste", "parked"][n % 2]) for n in range(20)])
    shop.publish([Message(body=b"{", received=order(0).received)])
    await run(shop, tmp_path / "c", 221)
    deliveries = replay(shop.config, scan_capture(tmp_path / "c")).deliveries(rendered=True)
    delivered = deliveries.filter(pl.col("outcome") == "delivered").collect()
    arrived = [
        (alias, channel, each.key, each.body)
        for alias, channel in (
            ("there", "big"),
            ("there", "small"),
            ("here", "tenant.a"),
            ("here", "tenant.b"),
        )
        for each in shop.fetch(alias, channel)
    ]
    assert Counter(delivered.select("broker", "channel", "key", "body").rows()) == Counter(arrived)
    letters = deliveries.filter(pl.col("outcome") == "dead_lettered").collect()
    assert letters.height == len(shop.letters())


async def test_nothing_is_settled_before_it_is_on_the_disk(faults: Faults, tmp_path: Path) -> None:
    shop = Shop()
    path = tmp_path / "c"
    early: list[int] = []

    def on_settle(messages: list[Message]) -> None:
        early.extend({number_of(each) for each in messages} - set(numbers(scan_capture(path))))

    faults.on_settle = on_settle
    with Tap(shop.config, path) as tap:
        async with tapped(shop, tap) as gateway:
            for start in range(0, 200, 10):
                shop.publish([order(n) for n in range(start, start + 10)])
                await until(settled(gateway, start + 10))
    assert early == []


async def test_a_full_disk_stops_the_source_red_and_settles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()

    def full(self: Journal, rows: pl.DataFrame) -> None:
        del self, rows
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    shop.publish([order(n) for n in range(20)])

    async def record() -> Gateway:
        with Tap(shop.config, tmp_path / "c") as tap:
            async with tapped(shop, tap) as gateway:
                await gateway.wait()
                [source] = gateway.stats().sources
                assert source.state is State.RED
                assert "no space left on device" in source.reason
                assert source.settled == 0
            return gateway

    with pytest.raises(CaptureError, match="no space left on device"):
        await record()
    assert len(await shop.left()) == 20
    monkeypatch.undo()
    await run(shop, tmp_path / "c", 20)
    assert sorted(numbers(scan_capture(tmp_path / "c"))) == list(range(20))


async def test_a_message_that_comes_again_is_recorded_again(tmp_path: Path) -> None:
    shop = Shop()
    shop.server("there").stop()
    with Tap(shop.config, tmp_path / "c") as tap:
        async with tapped(shop, tap) as gateway:
            shop.server("there").start()
            shop.publish([order(n) for n in range(10)])
            await until(settled(gateway, 10))
            shop.server("there").stop()
            shop.publish([order(n) for n in range(10, 20)])
            await until(lambda: gateway.stats().sources[0].retried >= 10)
            shop.server("here").cut_connections()
            await until(lambda: gateway.stats().sources[0].redelivered >= 10)
            shop.server("there").start()
            await until(settled(gateway, 20))
    found = Counter(numbers(scan_capture(tmp_path / "c")))
    assert found == {n: 1 if n < 10 else 2 for n in range(20)}


async def test_a_channel_that_two_sources_read_is_recorded_once(tmp_path: Path) -> None:
    shop = Shop(TWO_READERS)
    shop.server("letters").create(["dead.again"])
    shop.publish([order(n, tenant="a") for n in range(50)])
    await run(shop, tmp_path / "c", 100)
    capture = scan_capture(tmp_path / "c")
    assert sorted(numbers(capture)) == list(range(50))
    assert replay(shop.config, capture).routers()["messages"].to_list() == [50, 50]


async def test_what_is_private_is_masked_before_it_is_written(tmp_path: Path) -> None:
    shop = Shop(PRIVATE)
    shop.publish([order(n, key="secret-key", tenant="secret-tenant") for n in range(50)])
    shop.publish([Message(body=b'{"n": "secret', received=order(0).received)])
    with Tap(shop.config, tmp_path / "c") as tap:
        async with tapped(shop, tap) as gateway:
            await until(settled(gateway, 51))
            assert all(b"secret" not in each.read_bytes() for each in (tmp_path / "c").iterdir())
    capture = scan_capture(tmp_path / "c")
    assert capture.metadata.masked == ("orders: event.tenant", "orders: key")
    rows = capture.frame.collect()
    assert b"secret" not in b"".join(rows["body"].to_list())
    assert {key[:7] for key in rows["key"].drop_nulls()} == {b"masked:"}
    assert rows["invalid"].null_count() == 50
    assert header(shop.fetch("there", "small")[0], "tenant") == "secret-tenant"


async def test_private_values_are_recorded_where_they_may_be_seen(tmp_path: Path) -> None:
    shop = Shop(PRIVATE)
    shop.publish([order(1, key="k", tenant="secret-tenant")])
    show_private()
    try:
        await run(shop, tmp_path / "c", 1)
    finally:
        show_private(show=False)
    assert not scan_capture(tmp_path / "c").is_masked
    with pytest.raises(CaptureError, match="is not masked, and this would be"):
        await run(shop, tmp_path / "c", 1)


def test_a_config_with_errors_is_refused(tmp_path: Path) -> None:
    broken = parse_config(SHOP.replace("n >= 100", "m >= 100"))
    with pytest.raises(CaptureError, match="the config has errors"):
        Tap(broken, tmp_path / "c")


async def test_a_tap_that_is_not_open_is_refused(tmp_path: Path) -> None:
    shop = Shop()
    async with Gateway(
        shop.config, environ=shop.environ, wrap=Tap(shop.config, tmp_path / "c").wrap
    ) as gateway:
        await gateway.wait()
    assert "with Tap" in gateway.stats().sources[0].reason
