from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.config.model import Retry
from gateway_lab.errors import ConfigError, GatewayLabError
from gateway_lab.gateway import reload
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.reload import changes, restart_findings
from tests.gateway.shop import (
    CONFIGURATION,
    PERMANENT,
    SHOP,
    TWO,
    Shop,
    balances,
    faulty,
    header,
    n_of,
    order,
    settled,
    until,
)
from tests.gateway.test_handlers import HANDLED, HandledShop, Order
from tests.gateway.test_hanging import Deaf

pytestmark = pytest.mark.anyio


def shop_with(old: str, new: str) -> GatewayConfig:
    assert SHOP.count(old) == 1
    return parse_config(SHOP.replace(old, new))


LOWER = shop_with("n >= 100", "n >= 10")


def state(gateway: Gateway) -> State:
    return gateway.stats().sources[0].state


# --- what is taken over ---


async def test_the_next_batch_is_decided_by_the_new_config() -> None:
    shop = Shop()
    async with shop.gateway() as gateway:
        shop.publish([order(50)])
        await until(settled(gateway, 1))
        await gateway.reload(LOWER)
        shop.publish([order(51)])
        await until(settled(gateway, 2))
    assert shop.numbers("there", "small") == [50]
    assert shop.numbers("there", "big") == [51]
    assert gateway.stats().digest == LOWER.digest
    assert gateway.config is LOWER
    assert balances(gateway)


async def test_settings_and_retries_are_taken_over() -> None:
    with_setting = SHOP.replace("events:", "settings: {big: {type: integer, value: 100}}\nevents:")
    shop = Shop(with_setting.replace("n >= 100", "n >= settings.big"))
    new = shop.config.edit_setting("big", value=10).with_parts(retry=Retry(initial="2ms"))
    assert not restart_findings(shop.config, new)


async def test_what_was_read_keeps_its_config_to_its_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    shop.server("letters").create(["later.orders"])
    new = shop_with("dead.{message.source}", "later.{message.source}")
    with faulty(monkeypatch) as faults:
        faults.stalled.add("there")
        faults.judge["there"] = lambda _: PERMANENT
        async with shop.gateway() as gateway:
            shop.publish([order(1)])
            await until(lambda: gateway.stats().sources[0].read == 1)
            await gateway.reload(new)
            shop.publish([order(2)])
            await until(lambda: gateway.stats().sources[0].read == 2)
            faults.stalled.clear()
            await until(settled(gateway, 2))
    [first], [second] = shop.letters(), shop.fetch("letters", "later.orders")
    assert (first.body, header(first, "x-gw-dlq-config")) == (b'{"n":1}', shop.config.digest)
    assert (second.body, header(second, "x-gw-dlq-config")) == (b'{"n":2}', new.digest)


SPARE = SHOP.replace("letters: memory}", "letters: memory, spare: memory}")


async def test_a_target_on_a_broker_that_was_not_in_use_is_connected_to() -> None:
    shop = Shop(SPARE)
    shop.server("spare").create(["big"])
    async with shop.gateway() as gateway:
        await until(lambda: state(gateway) is State.RUNNING)
        await gateway.reload(shop.config.edit_target("big", broker="spare"))
        shop.publish([order(100)])
        await until(settled(gateway, 1))
    assert shop.numbers("spare", "big") == [100]


async def test_missing_channels_of_a_new_config_are_created_when_asked_for() -> None:
    shop = Shop()
    async with shop.gateway(create_channels=True) as gateway:
        await gateway.reload(shop_with("channel: big", "channel: bigger"))
        shop.publish([order(100)])
        await until(settled(gateway, 1))
    assert shop.numbers("there", "bigger") == [100]


async def test_a_source_that_is_red_starts_again_once_its_reason_is_mended() -> None:
    shop = Shop()
    shop.server("there").delete("big")
    shop.publish([order(100)])
    async with shop.gateway() as gateway:
        await until(lambda: state(gateway) is State.RED)
        shop.server("there").create(["big"])
        await gateway.reload(shop.config)
        await until(settled(gateway, 1))
    assert shop.numbers("there", "big") == [100]


async def test_a_source_that_became_red_under_way_starts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    with faulty(monkeypatch) as faults:
        faults.judge["there"] = lambda _: CONFIGURATION
        async with shop.gateway() as gateway:
            shop.publish([order(100)])
            await until(lambda: state(gateway) is State.RED)
            faults.judge.clear()
            await gateway.reload(LOWER)
            await until(settled(gateway, 1))
    assert shop.numbers("there", "big") == [100]


async def test_a_source_stops_waiting_for_a_broker_that_it_no_longer_needs() -> None:
    shop = Shop(SPARE.replace("big: {broker: there", "big: {broker: spare"))
    shop.server("spare").stop()
    shop.publish([order(100)])
    async with shop.gateway() as gateway:
        await until(lambda: gateway.stats().sources[0].reason == "for broker spare")
        await gateway.reload(parse_config(SPARE))
        await until(settled(gateway, 1))
    assert shop.numbers("there", "big") == [100]


async def test_nothing_is_taken_over_during_a_stop() -> None:
    shop = Shop()
    async with shop.gateway() as gateway:
        await until(lambda: state(gateway) is State.RUNNING)
        version = await gateway.prepare(LOWER)
        await gateway.stop()
        gateway.take_over(version)
    assert gateway.config is shop.config
    assert state(gateway) is State.STOPPED


async def test_a_source_that_is_ending_does_not_keep_others_from_a_new_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with faulty(monkeypatch) as faults:
        text = HANDLED.replace("letters: memory}", "letters: memory, other: memory}")
        shop, deaf = HandledShop(text), Deaf()

        @shop.made.handler("orders", "more")
        async def stuck(event: Order) -> Order:
            if event.n == 1:
                await deaf.wait()
            return event

        faults.judge["there"] = lambda each: CONFIGURATION if n_of(each) == 2 else None
        shop.publish([order(1, key="a"), order(2, key="b")])
        new = parse_config(text.replace("small: {broker: there", "small: {broker: other"))
        shop.server("other").create(["small"])
        async with shop.gateway() as gateway:
            await until(lambda: faults.sent)
            sending = gateway._pumps["orders"]._sending
            await until(lambda: all(each.done() for each in sending))
            await gateway.reload(new)
            deaf.release()
            await until(lambda: state(gateway) is State.RED)
            shop.server("there").publish("more", [order(3)])
            await until(lambda: shop.numbers("other", "small") == [3])


# --- what is refused ---


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("name: shop", "name: other", ("name",)),
        ("letters: memory}", "letters: memory, more: memory}", ("brokers",)),
        ("kind: {type: string}", "kind: {type: integer}", ("events",)),
        ("channel: orders", "channel: others", ("sources", "orders")),
        ("event: Order}", "event: Order, on_invalid: drop}", ("sources", "orders")),
        (
            "targets:\n",
            "  others: {broker: here, channel: others}\ntargets:\n",
            ("sources", "others"),
        ),
    ],
)
def test_what_is_opened_at_the_start_needs_a_restart(
    old: str, new: str, path: tuple[str, ...]
) -> None:
    [finding] = restart_findings(parse_config(SHOP), shop_with(old, new))
    assert (finding.code, finding.path) == ("restart-needed", path)
    assert finding.line is not None
    assert "the old config stays" in finding.hint


@pytest.mark.parametrize("reverse", [False, True], ids=["no longer read", "read now"])
def test_a_source_that_begins_or_ends_to_be_read_needs_a_restart(*, reverse: bool) -> None:
    config = parse_config(SHOP)
    idle = config.edit_router("size", enabled=False).edit_router("tenants", enabled=False)
    pair = (idle, config) if reverse else (config, idle)
    [finding] = restart_findings(*pair)
    assert finding.path == ("sources", "orders")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: shop", "name: shop\ndescription: for people"),
        ("event: Order}", "event: Order, description: for people}"),
        ("kind: {type: string}", "kind: {type: string, description: for people}"),
        ("event: Order}", "event: Order, retry: {initial: 1s}}"),
        ("event: Order}", "event: Order, dead_letter: {broker: letters, channel: dead.orders}}"),
        ("initial: 1ms", "initial: 2ms"),
        ("unmatched: [small]", "unmatched: drop"),
    ],
)
def test_what_is_for_people_or_decides_needs_none(old: str, new: str) -> None:
    assert restart_findings(parse_config(SHOP), shop_with(old, new)) == ()


REFUSED = {
    "an error": (lambda: shop_with("to: [big]", "to: [bgi]"), "bgi"),
    "a channel that is missing": (
        lambda: shop_with("channel: big", "channel: bigger"),
        "there is no channel bigger on there",
    ),
    "a restart": (lambda: shop_with("name: shop", "name: other"), "`name` differs"),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED)
async def test_a_config_that_is_refused_changes_nothing(
    make: Callable[[], GatewayConfig], says: str
) -> None:
    shop = Shop()
    async with shop.gateway() as gateway:
        with pytest.raises(GatewayLabError, match=says):
            await gateway.reload(make())
        assert says in gateway.stats().refused
        shop.publish([order(100)])
        await until(settled(gateway, 1))
        assert gateway.stats().digest == shop.config.digest
        await gateway.reload(LOWER)
        assert gateway.stats().refused == ""
    assert shop.numbers("there", "big") == [100]


async def test_a_broker_that_is_away_does_not_hold_up_what_does_not_newly_need_it() -> None:
    shop = Shop(TWO)
    shop.server("other").stop()
    async with shop.gateway() as gateway:
        await until(lambda: gateway.stats().sources[1].reason == "for broker other")
        await gateway.reload(shop.config.edit_route("size", "big", when="n >= 10"))
        shop.publish([order(50)])
        await until(settled(gateway, 1))
        assert gateway.stats().sources[1].reason == "for broker other"
    assert shop.numbers("there", "big") == [50]


async def test_a_broker_that_is_away_refuses_what_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_lab.gateway.gateway.PREPARE_S", 0.01)
    shop = Shop(SPARE)
    shop.server("spare").stop()
    async with shop.gateway() as gateway:
        with pytest.raises(ConfigError, match="a broker is away"):
            await gateway.reload(shop.config.edit_target("big", broker="spare"))


# --- the file ---


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(reload, "LOOK_S", 0.001)
    path = tmp_path / "routes.yaml"
    path.write_text("one")
    return path


def write(path: Path, text: str) -> int:
    return path.write_text(text)


async def told(path: Path, do: Callable[[], object]) -> bool:
    """Say whether a watch tells of what is done, before it tells of a last change."""
    times: list[bool] = []
    is_last = False

    async def watch() -> None:
        async for _ in changes(path, "one"):
            times.append(is_last)
            if is_last:
                return

    watching = asyncio.create_task(watch())
    looks = 0
    real = reload._look

    def look(*given: object) -> object:
        nonlocal looks
        looks += 1
        return real(*given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reload, "_look", look)
        await until(lambda: looks > 1)
        do()
        now = looks
        await until(lambda: looks > now + 2)
        is_last = bool(write(path, "last"))
        await asyncio.wait_for(watching, 20)
    return len(times) > 1


async def test_a_file_that_changed_before_anybody_looked_is_told(file: Path) -> None:
    async with asyncio.timeout(60):
        async for _ in changes(file, "what was read"):
            break


async def test_a_file_with_other_text_is_told(file: Path) -> None:
    assert await told(file, lambda: file.write_text("two"))


async def test_a_file_that_another_one_takes_the_place_of_is_told(file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_text("two")
    assert await told(file, lambda: other.replace(file))


async def test_a_file_that_is_only_touched_is_not_told(file: Path) -> None:
    assert not await told(file, lambda: os.utime(file, (1, 1)))


async def test_a_file_that_is_gone_is_not_told(file: Path) -> None:
    assert not await told(file, file.unlink)
