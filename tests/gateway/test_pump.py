"""What a source does when brokers fail: nothing is lost, nothing is settled too early."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from gateway_lab.brokers.contract import Failure, Outgoing
from gateway_lab.gateway.counters import SourceStats, State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.window import MAX_MESSAGES
from gateway_lab.messages.message import Message
from tests.gateway.shop import (
    AMBIGUOUS,
    CONFIGURATION,
    PERMANENT,
    RECEIVED,
    RETRYABLE,
    SHOP,
    UNROUTABLE,
    Faults,
    Shop,
    balances,
    faulty,
    header,
    n_of,
    number_of,
    order,
    settled,
    until,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with faulty(monkeypatch) as faults:
        yield faults


def of(gateway: Gateway) -> SourceStats:
    return gateway.stats().sources[0]


def fails_first(times: int, failure: Failure, faults: Faults, alias: str) -> None:
    """Let each message to a broker fail so often before it succeeds."""
    tries: Counter[str] = Counter()

    def judge(outgoing: Outgoing) -> Failure | None:
        tries[outgoing.id] += 1
        return failure if tries[outgoing.id] <= times else None

    faults.judge[alias] = judge


async def test_a_retryable_failure_is_tried_until_it_succeeds(faults: Faults) -> None:
    shop = Shop()
    fails_first(3, RETRYABLE, faults, "there")
    shop.publish([order(n) for n in range(20)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 20))
    assert sorted(shop.numbers("there", "small")) == list(range(20))
    assert shop.letters() == []
    assert of(gateway).retried == 60
    assert await shop.left() == []


async def test_a_try_without_an_answer_is_repeated_under_the_same_id(faults: Faults) -> None:
    shop = Shop()
    fails_first(1, AMBIGUOUS, faults, "there")
    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 1))
    assert set(faults.tries().values()) == {2}
    first, second = shop.fetch("there", "small")
    assert header(first, "x-gw-id") == header(second, "x-gw-id")
    assert of(gateway).ambiguous == 1


@pytest.mark.parametrize(("protocol", "kind"), [("memory", None), ("rabbitmq", b"random")])
async def test_a_delivery_says_when_its_id_does_not_last(protocol: str, kind: bytes | None) -> None:
    shop = Shop(SHOP.replace("{here: memory,", f"{{here: {protocol},"))
    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 1))
    [got] = shop.fetch("there", "small")
    assert dict(got.headers).get("x-gw-id-kind") == kind


async def test_nothing_is_settled_while_one_delivery_of_a_message_waits(faults: Faults) -> None:
    shop = Shop()
    faults.judge["there"] = lambda _: RETRYABLE
    shop.publish([order(1, tenant="a"), order(2, kind="waste")])
    async with shop.gateway() as gateway:
        await until(lambda: of(gateway).retried > 3)
        assert shop.numbers("here", "tenant.a") == [1]
        assert of(gateway).settled == 1
        await gateway.stop(now=True)
    assert [number_of(each) for each in await shop.left()] == [1]


@pytest.mark.parametrize("failure", [PERMANENT, UNROUTABLE], ids=["permanent", "unroutable"])
async def test_what_can_never_be_sent_becomes_a_dead_letter(
    faults: Faults, failure: Failure
) -> None:
    shop = Shop()
    faults.judge["there"] = lambda outgoing: failure if n_of(outgoing) == 3 else None
    shop.publish([order(n, key="k") for n in range(6)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 6))
    assert shop.numbers("there", "small") == [0, 1, 2, 4, 5]
    [letter] = shop.letters()
    assert (letter.body, letter.key) == (order(3).body, b"k")
    assert header(letter, "x-gw-dlq-class") == failure.failure_class
    assert header(letter, "x-gw-dlq-reason") == failure.reason
    assert header(letter, "x-gw-dlq-target") == "small"
    assert header(letter, "x-gw-dlq-attempts") == "1"
    way = next(way for way in gateway.stats().ways if way.target == "small")
    assert (way.delivered, way.dead_lettered) == (5, 1)
    assert balances(gateway)


async def test_a_letter_that_waits_keeps_its_message_from_being_settled(faults: Faults) -> None:
    shop = Shop()
    faults.judge["letters"] = lambda _: RETRYABLE
    shop.publish([order(1, kind="parked")])
    async with shop.gateway() as gateway:
        await until(lambda: of(gateway).retried > 2)
        assert of(gateway).settled == 0
        await gateway.stop(now=True)
    assert len(await shop.left()) == 1


@pytest.mark.parametrize("failure", [PERMANENT, UNROUTABLE], ids=["permanent", "unroutable"])
async def test_a_letter_that_cannot_be_written_stops_the_source(
    faults: Faults, failure: Failure
) -> None:
    shop = Shop()
    faults.judge["letters"] = lambda _: failure
    shop.publish([order(1, kind="parked")])
    async with shop.gateway() as gateway:
        await gateway.wait()
    assert of(gateway).state is State.RED
    assert "the dead letter cannot be written to dead.orders" in of(gateway).reason
    assert len(await shop.left()) == 1


async def test_a_configuration_failure_stops_the_source_and_settles_nothing(
    faults: Faults,
) -> None:
    shop = Shop()
    faults.judge["there"] = lambda _: CONFIGURATION
    shop.publish([order(n) for n in range(10)])
    async with shop.gateway() as gateway:
        await gateway.wait()
    assert of(gateway).state is State.RED
    assert len(await shop.left()) == 10
    assert shop.letters() == []


async def test_without_a_dead_letter_the_source_stops_rather_than_lose(faults: Faults) -> None:
    shop = Shop()
    shop.config = shop.config.model_copy(update={"dead_letter": None}).edit_route(
        "size", "parked", to=["drop"]
    )
    faults.judge["there"] = lambda _: PERMANENT
    shop.publish([order(1)])
    async with shop.gateway() as gateway:
        await gateway.wait()
    assert "the config has no channel for it" in of(gateway).reason
    assert len(await shop.left()) == 1


async def test_a_waiting_retry_holds_up_only_its_key(faults: Faults) -> None:
    shop = Shop()
    is_ill = True

    def judge(outgoing: Outgoing) -> Failure | None:
        return RETRYABLE if is_ill and outgoing.key == b"ill" else None

    faults.judge["there"] = judge
    messages = [order(n, key="ill" if n % 4 == 0 else f"well-{n}") for n in range(200)]
    shop.publish(messages[:100])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 75))
        shop.publish(messages[100:])
        await until(settled(gateway, 150))
        assert b"ill" not in {each.key for each in shop.fetch("there", "small")}
        is_ill = False
        await until(settled(gateway, 200))
    arrived = shop.fetch("there", "small") + shop.fetch("there", "big")
    ill = [each for each in arrived if each.key == b"ill"]
    assert [number_of(each) for each in ill] == list(range(0, 200, 4))


async def test_first_occurrences_keep_the_order_of_their_key(faults: Faults) -> None:
    """Whole sends fail, as they do when a connection breaks."""
    shop = Shop()
    faults.judge["there"] = lambda _: (None, RETRYABLE, AMBIGUOUS)[faults.sends % 3]
    async with shop.gateway() as gateway:
        for start in range(0, 100, 10):
            shop.publish([order(n, key=f"k{n % 7}") for n in range(start, start + 10)])
            await until(lambda sends=faults.sends: faults.sends > sends)  # type: ignore[misc]
        await until(settled(gateway, 100))
    firsts: defaultdict[bytes | None, list[int]] = defaultdict(list)
    for each in shop.fetch("there", "small"):
        if number_of(each) not in firsts[each.key]:
            firsts[each.key].append(number_of(each))
    assert dict(firsts) == {b"k%d" % k: list(range(k, 100, 7)) for k in range(7)}


async def test_reading_pauses_when_the_window_is_full(faults: Faults) -> None:
    shop = Shop()
    faults.stalled.add("there")
    shop.publish([order(n) for n in range(MAX_MESSAGES + 500)])
    async with shop.gateway() as gateway:
        await until(lambda: of(gateway).read >= MAX_MESSAGES)
        assert of(gateway).in_flight == MAX_MESSAGES
        faults.stalled.clear()
        await until(settled(gateway, MAX_MESSAGES + 500))
    assert balances(gateway)


async def test_large_messages_fill_the_window_by_their_size(faults: Faults) -> None:
    shop = Shop()
    faults.stalled.add("there")
    large = "x" * 1_000_000
    shop.publish([order(n, large=large) for n in range(120)])
    async with shop.gateway() as gateway:
        await until(lambda: of(gateway).read >= 60)
        assert of(gateway).read < 120
        faults.stalled.clear()
        await until(settled(gateway, 120))


async def test_a_death_between_confirm_and_settle_makes_duplicates_and_loses_nothing(
    faults: Faults,
) -> None:
    shop = Shop()
    faults.deaf = True
    shop.publish([order(n) for n in range(30)])
    async with shop.gateway() as gateway:
        await until(lambda: len(shop.fetch("there", "small")) == 30)
        [task] = gateway._running.values()
        task.cancel()  # nothing that follows a kill is done: no drain, no settling
        await gateway.wait()
    assert len(await shop.left()) == 30
    faults.deaf = False
    async with shop.gateway() as gateway:
        await until(settled(gateway, 30))
    twice = [header(each, "x-gw-id") for each in shop.fetch("there", "small")]
    assert sorted(Counter(shop.numbers("there", "small")).items()) == [(n, 2) for n in range(30)]
    assert set(Counter(twice).values()) == {2}
    assert of(gateway).redelivered == 30


async def test_a_broker_that_is_away_for_a_while_gets_everything(faults: Faults) -> None:
    del faults
    shop = Shop()
    async with shop.gateway() as gateway:
        shop.publish([order(n, key=str(n % 5)) for n in range(50)])
        await until(settled(gateway, 50))
        shop.server("there").stop()
        shop.publish([order(n, key=str(n % 5)) for n in range(50, 99)])
        await until(lambda: of(gateway).retried > 60)
        shop.server("there").start()
        await until(settled(gateway, 99))
    assert sorted(shop.numbers("there", "small")) == list(range(99))


async def test_past_max_channels_deliveries_become_dead_letters() -> None:
    shop = Shop()
    shop.server("here").create([f"tenant.t{n}" for n in range(5)])
    shop.publish([order(n, key="k", tenant=f"t{n % 5}") for n in range(10)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 10))
    assert len(shop.letters()) == 4
    reason = header(shop.letters()[0], "x-gw-dlq-reason")
    assert reason == "too-many-channels: tenant has written to 3"


async def test_an_invalid_message_becomes_one_letter_whatever_the_routers() -> None:
    shop = Shop()
    shop.publish([Message(body=b'{"n": "one"}', headers=(("h", b"\xff"),), received=RECEIVED)])
    async with shop.gateway() as gateway:
        await until(settled(gateway, 1))
    [letter] = shop.letters()
    assert letter.body == b'{"n": "one"}'
    assert letter.headers[0] == ("h", b"\xff")
    assert header(letter, "x-gw-dlq-class") == "invalid"
    assert header(letter, "x-gw-dlq-reason") == "n: expected integer, got string"
    assert header(letter, "x-gw-dlq-config") == shop.config.digest
    assert header(letter, "x-gw-dlq-attempts") == "0"
    assert header(letter, "x-gw-dlq-router") is None
