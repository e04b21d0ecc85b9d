"""Dead letters enter again where they failed: all of them, once, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest

from gateway_lab.brokers.contract import Failure
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import GatewayLabError, RuleError
from gateway_lab.gateway.letter import read_letter
from gateway_lab.messages.message import Message
from gateway_lab.recording.redrive import HANDS_OUT, Redriven, Redriver, Wish
from tests.gateway.shop import (
    PERMANENT,
    RECEIVED,
    RETRYABLE,
    SHOP,
    Faults,
    Shop,
    faulty,
    header,
    number_of,
    order,
    settled,
    until,
)

pytestmark = pytest.mark.anyio
WAIT_S = 0.05


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Let the connections of a redrive fail as the test says."""
    with faulty(monkeypatch) as faults:
        gateway: Any = import_module("gateway_lab.gateway.gateway")
        monkeypatch.setattr("gateway_lab.recording.redrive.connect", gateway.connect)
        yield faults


async def redrive(shop: Shop, config: GatewayConfig | None = None, **wish: Any) -> Redriven:
    wish = {"wait_s": WAIT_S, **wish}
    return await Redriver(config or shop.config, Wish(**wish), shop.environ).run()


async def pump(shop: Shop, messages: list[Message]) -> None:
    """Let the gateway run until it is done with these."""
    shop.publish(messages)
    async with shop.gateway() as gateway:
        await until(settled(gateway, len(messages)))


async def broken(numbers: list[int], text: str = SHOP, **fields: object) -> Shop:
    """Return a shop whose orders could not be delivered to `small`: each has a letter."""
    shop = Shop(text)
    with pytest.MonkeyPatch.context() as patch, faulty(patch) as faults:
        faults.judge["there"] = lambda _: PERMANENT
        await pump(shop, [order(n, key=str(n), **fields) for n in numbers])
    return shop


def ids(messages: list[Message]) -> list[str | None]:
    return [header(each, "x-gw-id") for each in messages]


async def test_a_letter_goes_only_to_the_target_that_failed() -> None:
    shop = await broken([1, 2, 3], tenant="a")
    assert sorted(shop.numbers("here", "tenant.a")) == [1, 2, 3]
    done = await redrive(shop)
    assert (done.piles.letters, done.delivered, done.failed) == (3, 3, 0)
    assert sorted(shop.numbers("there", "small")) == [1, 2, 3]
    assert sorted(shop.numbers("here", "tenant.a")) == [1, 2, 3]


async def test_what_is_sent_again_keeps_its_id_and_says_so() -> None:
    shop = await broken([1, 2])
    letters = shop.letters()
    await redrive(shop)
    small = shop.fetch("there", "small")
    assert sorted(map(str, ids(small))) == sorted(map(str, ids(letters)))
    assert [header(each, "x-gw-replay") for each in small] == ["1", "1"]
    assert [header(each, "x-gw-route") for each in small] == ["size", "size"]


async def test_a_second_run_finds_nothing() -> None:
    shop = await broken([1, 2, 3])
    await redrive(shop)
    done = await redrive(shop)
    assert (done.piles.letters, done.delivered) == (0, 0)
    assert len(shop.fetch("there", "small")) == 3


async def test_the_target_is_rendered_by_the_current_config() -> None:
    shop = await broken([1], tenant="a")
    now = parse_config(SHOP.replace('headers: {tenant: "{tenant}"}', 'headers: {of: "t-{tenant}"}'))
    await redrive(shop, now)
    [small] = shop.fetch("there", "small")
    assert header(small, "of") == "t-a"


async def test_rules_that_changed_do_not_matter_unless_it_is_planned_again() -> None:
    now = parse_config(SHOP.replace("n >= 100", "n >= 1"))
    shop = await broken([1])
    await redrive(shop, now)
    assert shop.numbers("there", "small") == [1]
    shop = await broken([1])
    await redrive(shop, now, replans=True)
    assert shop.numbers("there", "small") == []
    assert shop.numbers("there", "big") == [1]


async def test_an_invalid_message_goes_to_all_routers() -> None:
    shop = Shop(SHOP)
    bad = Message(body=b'{"n": "1", "tenant": "a"}', received=RECEIVED)
    await pump(shop, [bad])
    [letter] = shop.letters()
    assert header(letter, "x-gw-dlq-class") == "invalid"
    now = parse_config(
        SHOP.replace("n: {type: integer}", "n: {type: string}").replace("n >= 100", "n = '1'")
    )
    await redrive(shop, now)
    assert [each.body for each in shop.fetch("there", "big")] == [bad.body]
    assert [each.body for each in shop.fetch("here", "tenant.a")] == [bad.body]


async def test_a_letter_that_a_rule_asked_for_is_decided_by_that_router_alone() -> None:
    shop = Shop()
    await pump(shop, [order(1, kind="parked", tenant="a")])
    now = parse_config(SHOP.replace("to: [dead_letter]", "to: [small]"))
    done = await redrive(shop, now)
    assert done.delivered == 1
    assert shop.numbers("there", "small") == [1]
    assert shop.numbers("here", "tenant.a") == [1]


async def test_what_fails_again_is_a_new_letter_that_counts_on_and_waits_for_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = await broken([1])
    [old] = map(read_letter, shop.letters())
    with failing(monkeypatch) as faults:
        faults.judge["there"] = lambda _: PERMANENT
        done = await redrive(shop)
    assert (done.piles.letters, done.delivered, done.failed) == (1, 0, 1)
    new = [each for each in map(read_letter, shop.letters()) if each and each.replays]
    assert old is not None
    assert [(each.attempts, each.replays, each.first, each.id) for each in new] == [
        (2, 1, old.first, old.id)
    ]
    assert (await redrive(shop)).delivered == 1
    [small] = shop.fetch("there", "small")
    assert header(small, "x-gw-replay") == "2"
    assert (await redrive(shop)).piles.letters == 0


async def test_a_broker_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await broken([1, 2])
    tries: Counter[str] = Counter()

    def judge(outgoing: Any) -> Failure | None:
        tries[outgoing.id] += 1
        return RETRYABLE if tries[outgoing.id] < 4 else None

    with failing(monkeypatch) as faults:
        faults.judge["there"] = judge
        done = await redrive(shop)
    assert (done.delivered, done.failed) == (2, 0)
    assert set(tries.values()) == {4}


async def test_a_broker_that_is_not_there_yet_is_named() -> None:
    shop = await broken([1])
    shop.server("there").stop()
    redriver = Redriver(shop.config, Wish(wait_s=WAIT_S), shop.environ)
    running = asyncio.create_task(redriver.run())
    await until(lambda: redriver.waiting_for == "there")
    shop.server("there").start()
    assert (await running).delivered == 1
    assert redriver.waiting_for == ""


async def test_a_run_that_dies_before_it_settles_sends_again_under_the_same_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = await broken([1, 2, 3])
    with failing(monkeypatch) as faults:
        faults.deaf = True
        dying = asyncio.create_task(redrive(shop))
        await until(lambda: len(shop.fetch("there", "small")) == 3)
        dying.cancel()
        await asyncio.wait([dying])
    assert (await redrive(shop)).delivered == 3
    assert set(Counter(ids(shop.fetch("there", "small"))).values()) == {2}


async def test_a_filter_leaves_letters_where_they_are() -> None:
    shop = await broken([1, 2])
    await pump(shop, [order(3, kind="parked")])
    done = await redrive(shop, where="class = 'permanent' and attempts >= 1")
    assert done.delivered == 2
    assert dict(done.piles.staying) == {"--where leaves it": 1}
    assert (await redrive(shop, where="class = 'permanent'")).piles.letters == 0
    assert (await redrive(shop, where="target = 'dead_letter'", is_dry=True)).piles.letters == 1


@pytest.mark.parametrize(
    "where",
    [
        "source = 'orders' and router = 'size' and route is null and target = 'small'",
        "reason = 'the message is too large' and replays = 0",
        "first > timestamp '2020-01-01T00:00:00Z' and last >= first",
        "message.key = '1'",
    ],
)
async def test_a_filter_may_name_all_that_a_letter_says(where: str) -> None:
    shop = await broken([1])
    assert (await redrive(shop, where=where)).delivered == 1


async def test_a_filter_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(RuleError, match="clas"):
        await redrive(Shop(), where="clas = 'permanent'")


async def test_looking_takes_nothing() -> None:
    shop = await broken([1, 2])
    for _ in range(2):
        done = await redrive(shop, is_dry=True)
        [(kind, pile)] = done.piles.wanted.items()
        assert (kind.router, kind.target, kind.reason, pile.letters) == (
            *("size", "small", "the message is too large"),
            2,
        )
    assert shop.numbers("there", "small") == []
    assert (await redrive(shop)).delivered == 2


async def test_a_message_goes_back_to_its_source_when_that_is_meant() -> None:
    shop = await broken([1], tenant="a")
    await redrive(shop, to_source=True)
    assert shop.numbers("here", "orders") == [1, 1]
    again = shop.fetch("here", "orders")
    assert [each.key for each in again] == [b"1", b"1"]
    async with shop.gateway() as gateway:
        await until(settled(gateway, 1))
    assert shop.numbers("there", "small") == [1]
    assert shop.numbers("here", "tenant.a") == [1, 1]


async def test_what_fails_again_at_its_source_waits_for_the_next_run() -> None:
    shop = Shop()
    bad = Message(body=b"{", key=b"k", received=RECEIVED)
    async with shop.gateway() as gateway:
        shop.publish([bad])
        await until(shop.letters)
        for run in (1, 2):
            done = await redrive(shop, to_source=True, wait_s=0.5)
            assert (done.piles.letters, done.delivered) == (1, 1)
            await until(settled(gateway, 1 + run))
            assert len(shop.letters()) == 1 + run


async def test_what_is_no_letter_stays() -> None:
    shop = await broken([1])
    shop.server("letters").publish("dead.orders", [order(7)])
    done = await redrive(shop)
    assert done.delivered == 1
    assert dict(done.piles.staying) == {"it is not a dead letter": 1}


async def test_a_letter_of_a_target_that_is_gone_stays_and_says_why() -> None:
    shop = await broken([1])
    now = parse_config(SHOP.replace("unmatched: [small]", "unmatched: [big]"))
    done = await redrive(shop, now)
    assert done.delivered == 0
    [why] = done.piles.staying
    assert why == "no route of the config leads to its target: --replan"
    assert (await redrive(shop, now, replans=True)).delivered == 1


LOGS = SHOP.replace("letters: memory", "letters: kafka")


async def test_a_filter_is_refused_where_letters_cannot_be_left_in_place() -> None:
    for protocol in ("kafka", "rabbitmq"):
        shop = Shop(SHOP.replace("letters: memory", f"letters: {protocol}"))
        with pytest.raises(GatewayLabError, match=f"{protocol} cannot give some letters of dead"):
            await redrive(shop, where="class = 'permanent'")


async def test_letters_that_stay_can_be_moved_aside_and_redriven_from_there() -> None:
    shop = await broken([1, 2], LOGS)
    await pump(shop, [order(3, kind="parked")])
    with pytest.raises(GatewayLabError, match=r"there is no channel dead\.orders\.kept"):
        await redrive(shop, where="class = 'permanent'", moves_aside=True)
    shop.server("letters").create(["dead.orders.kept"])
    done = await redrive(shop, where="class = 'permanent'", moves_aside=True)
    assert (done.delivered, done.moved) == (2, 1)
    assert (await redrive(shop)).piles.letters == 0
    [kept] = shop.fetch("letters", "dead.orders.kept")
    [old] = [each for each in shop.letters() if number_of(each) == 3]
    assert read_letter(kept) is not None
    assert dict(old.headers).items() <= dict(kept.headers).items()
    now = parse_config(LOGS.replace("to: [dead_letter]", "to: [big]"))
    done = await redrive(shop, now, channel="letters:dead.orders.kept")
    assert done.delivered == 1
    assert shop.numbers("there", "big") == [3]


async def test_on_a_log_nothing_behind_a_letter_that_stays_is_touched() -> None:
    shop = await broken([1], LOGS)
    key = shop.letters()[0].key
    shop.server("letters").publish("dead.orders", [Message(body=b"?", key=key, received=RECEIVED)])
    with pytest.MonkeyPatch.context() as patch, faulty(patch) as faults:
        faults.judge["there"] = lambda _: PERMANENT
        await pump(shop, [order(2, key="1")])
    done = await redrive(shop)
    assert shop.numbers("there", "small") == [1]
    assert dict(done.piles.staying) == {
        "it is not a dead letter": 1,
        "it stands behind a letter that stays": 1,
    }
    assert (await redrive(shop)).delivered == 0


async def test_on_a_log_letters_of_the_run_itself_are_not_told_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(LOGS)
    with pytest.MonkeyPatch.context() as patch, faulty(patch) as faults:
        faults.judge["there"] = lambda _: PERMANENT
        await pump(shop, [order(n, key="1") for n in (1, 2, 3)])
    with failing(monkeypatch) as faults:
        faults.judge["there"] = lambda _: PERMANENT
        done = await redrive(shop)
    assert (done.failed, dict(done.piles.staying)) == (3, {})


async def test_it_says_so_when_a_broker_may_hold_more_than_it_hands_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(HANDS_OUT, "rabbitmq", 2)
    shop = await broken([1, 2], SHOP.replace("letters: memory", "letters: rabbitmq"))
    assert (await redrive(shop, is_dry=True)).piles.may_be_more
    assert not (await redrive(shop)).piles.may_be_more


async def test_a_channel_that_cannot_be_read_as_one_is_refused() -> None:
    with pytest.raises(GatewayLabError, match="'nowhere:dead' names no channel of letters"):
        await redrive(Shop(), channel="nowhere:dead")


async def test_a_channel_whose_name_depends_on_messages_must_be_named() -> None:
    text = SHOP.replace("dead.{message.source}", "dead.{message.channel}")
    with pytest.raises(GatewayLabError, match="does not depend on messages"):
        await redrive(Shop(text))
    shop = await broken([1], text)
    assert (await redrive(shop, channel="letters:dead.orders")).delivered == 1


async def test_a_run_that_is_stopped_finishes_what_it_has_read() -> None:
    shop = await broken([1, 2, 3])
    redriver = Redriver(shop.config, Wish(wait_s=60.0), shop.environ)
    running = asyncio.create_task(redriver.run())
    await until(lambda: redriver.progress.delivered)
    redriver.stop()
    assert (await running).unfinished == 0
    assert (await redrive(shop)).piles.letters == 3 - redriver.progress.delivered


async def test_no_task_is_left_behind() -> None:
    before = asyncio.all_tasks()
    await redrive(await broken([1]))
    assert asyncio.all_tasks() == before
