"""Shadows: what another config would do, without the live way noticing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_lab.captures.read import scan_capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import CaptureError, ConfigError
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.offline.diff import diff
from gateway_lab.recording import shadow as module
from gateway_lab.recording.recorder import Recorder
from gateway_lab.recording.shadow import Shadow, ShadowStats
from gateway_lab.routing.route import SourceRouter
from tests.gateway.shop import RECEIVED, SHOP, Shop, balances, number_of, order, settled, until

pytestmark = pytest.mark.anyio


def changed(old: str, new: str) -> GatewayConfig:
    assert old in SHOP
    return parse_config(SHOP.replace(old, new))


async def run(shop: Shop, shadow: Shadow, messages: list[Message]) -> ShadowStats:
    """Publish messages to a gateway with a shadow, and return what the shadow saw in the end."""
    shop.publish(messages)
    with shadow:
        async with Gateway(shop.config, environ=shop.environ, wrap=shadow.wrap) as gateway:
            await until(settled(gateway, len(messages)))
            assert balances(gateway)
    return shadow.stats()


async def test_the_same_config_agrees_about_everything(tmp_path: Path) -> None:
    shop = Shop()
    shadow = Shadow(shop.config, shop.config, out=tmp_path / "c")
    stats = await run(shop, shadow, [order(n, tenant="a") for n in range(300)])
    assert stats == ShadowStats(compared=300, agreed=300)
    assert scan_capture(tmp_path / "c").count == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n >= 100", "n >= 290"),
        ("channel: big}", "channel: huge}"),
        ('headers: {tenant: "{tenant}"}', 'headers: {tenant: "{n}"}'),
        ("channel: small, headers", "channel: small, key: k, headers"),
        ("channel: small, headers", 'channel: small, body: {m: "{n}"}, headers'),
        (
            "{name: waste, when: kind = 'waste', to: [drop]}",
            "{name: spam, when: n = 7, to: [drop]}",
        ),
        ("big: {broker: there", "big: {broker: here"),
    ],
)
async def test_whatever_differs_is_counted_and_recorded_for_diff(
    tmp_path: Path, old: str, new: str
) -> None:
    shop, other = Shop(), changed(old, new)
    shadow = Shadow(shop.config, other, out=tmp_path / "c")
    stats = await run(shop, shadow, [order(n) for n in range(300)])
    capture = scan_capture(tmp_path / "c")
    assert stats.compared == 300 == stats.agreed + stats.disagreed
    assert 0 < capture.count == stats.disagreed < 300
    assert diff(shop.config, other, capture).messages().collect().height > 0


async def test_the_live_way_delivers_as_without_a_shadow(tmp_path: Path) -> None:
    shop = Shop()
    everything_dropped = changed("unmatched: [small]", "unmatched: drop")
    shadow = Shadow(shop.config, everything_dropped, out=tmp_path / "c")
    await run(shop, shadow, [order(n) for n in range(50)])
    assert sorted(shop.numbers("there", "small")) == list(range(50))


async def test_an_error_in_the_shadow_never_reaches_the_live_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    shadow = Shadow(shop.config, changed("n >= 100", "n >= 10"))
    route = module._effect

    def fail(router: SourceRouter, message: Message) -> module.Effect:
        if number_of(message) % 10 == 0:
            raise KeyError("secret")
        return route(router, message)

    monkeypatch.setattr(module, "_effect", fail)
    stats = await run(shop, shadow, [order(n) for n in range(100)])
    assert (stats.compared, stats.failed, stats.dropped) == (90, 10, 0)
    assert stats.problem == "a defect of gateway_lab: KeyError"
    assert sorted(shop.numbers("there", "small")) == list(range(100))


async def test_what_it_has_no_time_for_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    shadow = Shadow(shop.config, shop.config)
    go_on = threading.Event()
    effect = module._effect
    monkeypatch.setattr(module, "QUEUE_MESSAGES", 100)
    monkeypatch.setattr(module, "_effect", after(go_on, effect))
    shop.publish([order(n) for n in range(3_000)])
    with shadow:
        async with Gateway(shop.config, environ=shop.environ, wrap=shadow.wrap) as gateway:
            await until(settled(gateway, 3_000))
        go_on.set()
    stats = shadow.stats()
    assert stats.compared + stats.dropped == 3_000
    assert stats.compared < 1_500
    assert len(shop.fetch("there", "small")) + len(shop.fetch("there", "big")) == 3_000


async def test_large_messages_fill_the_queue_by_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    shadow = Shadow(shop.config, shop.config)
    go_on = threading.Event()
    monkeypatch.setattr(module, "QUEUE_BYTES", 1_000_000)
    monkeypatch.setattr(module, "_effect", after(go_on, module._effect))
    shop.publish([order(n, large="x" * 100_000) for n in range(300)])
    with shadow:
        async with Gateway(shop.config, environ=shop.environ, wrap=shadow.wrap) as gateway:
            await until(settled(gateway, 300))
        go_on.set()
    assert shadow.stats().dropped > 0


def after(event: threading.Event, function: Callable[..., Any]) -> Callable[..., Any]:
    def waiting(*args: Any) -> Any:
        assert event.wait(20)
        return function(*args)

    return waiting


async def test_a_full_disk_is_told_and_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()
    shadow = Shadow(shop.config, changed("n >= 100", "n >= 10"), out=tmp_path / "c")

    def full(self: Recorder, messages: object) -> None:
        del self, messages
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Recorder, "_write", full)
    with pytest.raises(CaptureError, match="no space left on device"):
        await run(shop, shadow, [order(n) for n in range(100)])
    stats = shadow.stats()
    assert (stats.disagreed, stats.failed) == (90, 90)
    assert "no space left" in stats.problem


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("channel: orders, event", "channel: other, event", r"sources\.orders differs"),
        (
            "orders: {broker: here, channel: orders, event: Order}",
            "orders: {broker: here, channel: orders, event: Order}\n  more: {broker: here, channel: more, event: Order}",
            r"sources\.more is new",
        ),
        ("n: {type: integer}", "n: {type: number}", r"events\.Order differs"),
    ],
)
def test_other_sources_and_event_types_are_refused(old: str, new: str, where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        Shadow(parse_config(SHOP), changed(old, new))


def test_retries_and_dead_letters_may_differ() -> None:
    Shadow(parse_config(SHOP), changed("max: 5ms", "max: 9s"))


def test_a_config_with_errors_is_refused() -> None:
    with pytest.raises(CaptureError, match="the config has errors"):
        Shadow(parse_config(SHOP), changed("n >= 100", "m >= 100"))


# --- behind handlers ---

HANDLED = SHOP.replace("event: Order}\n", "event: Asked, handler: {returns: Order}}\n").replace(
    "events:\n", "events:\n  Asked: {type: object, properties: {ask: {type: integer}}}\n"
)


async def test_a_shadow_sees_what_handlers_returned_and_nothing_of_what_they_ended(
    tmp_path: Path,
) -> None:
    shop, tries = Shop(HANDLED), Counter[int]()
    other = parse_config(HANDLED.replace("n >= 100", "n >= 250"))
    with Shadow(shop.config, other, out=tmp_path / "c") as shadow:
        gateway = Gateway(shop.config, environ=shop.environ, wrap=shadow.wrap)
        gateway.handlers.watch(shadow.see)

        @gateway.handler("orders")
        async def handle(event: dict[str, int]) -> dict[str, int] | None:
            tries[event["ask"]] += 1
            if event["ask"] % 3 == 0 and tries[event["ask"]] == 1:
                raise ValueError("once more")
            return {"n": event["ask"] * 10} if event["ask"] % 2 else None

        asked = [Message(body=b'{"ask":%d}' % n, received=RECEIVED) for n in range(30)]
        shop.publish([*asked, Message(body=b"no JSON", received=RECEIVED)])
        async with gateway:
            await until(settled(gateway, 31))
    assert shadow.stats() == ShadowStats(compared=15, agreed=8, disagreed=7)
    capture = scan_capture(tmp_path / "c")
    assert capture.metadata.stage == "handled"
    moved = diff(shop.config, other, capture).flow().select("old", "new", "messages").rows()
    assert moved == [("big", "small", 7)]
