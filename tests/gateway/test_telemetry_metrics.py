"""The books as OpenTelemetry's metrics."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.metrics import messaging_metrics as conventions
from prometheus_client.parser import text_string_to_metric_families

from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.health.metrics import METRICS, expose
from gateway_lab.gateway.telemetry import metrics as telemetry_metrics
from tests.gateway.meters import Meters, metrics, sqlite_url
from tests.gateway.shop import PERMANENT, SHOP, Shop, faulty, order, settled, until
from tests.gateway.spans import Seen

pytestmark = pytest.mark.anyio


async def run(shop: Shop, seen: Seen, count: int) -> Gateway:
    gateway = shop.gateway()
    gateway.telemetry = seen.telemetry
    shop.publish([order(200 + n) for n in range(count)])
    async with gateway:
        await until(settled(gateway, count))
    return gateway


async def test_every_metric_of_prometheus_is_there_with_the_same_numbers() -> None:
    seen, shop = Seen(), Shop()
    gateway = await run(shop, seen, 3)
    scraped = {
        (sample.name, frozenset(filter(itemgetter(1), sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(expose(gateway.stats(), "shop").decode())
        for sample in family.samples
    }
    for each in METRICS:
        for attributes, point in seen.points(f"gateway_lab.{each.name}"):
            assert attributes.pop("gateway") == "shop"
            assert scraped[each.full_name, frozenset(attributes.items())] == point.value
    assert {f"gateway_lab.{each.name}" for each in METRICS} <= seen.metric_names()


async def test_messages_are_counted_by_the_names_of_the_conventions() -> None:
    seen, shop = Seen(), Shop()
    gateway = await run(shop, seen, 3)
    [(consumed, read)] = seen.points("messaging.client.consumed.messages")
    assert read.value == 3
    assert consumed["messaging.system"] == "memory"
    sent = {
        attributes["gateway_lab.target"]: point.value
        for attributes, point in seen.points("messaging.client.sent.messages")
    }
    assert sent == {"big": 3, "dead_letter": 0}
    assert gateway.config.name == "shop"


def test_the_names_are_those_of_the_conventions() -> None:
    known = {value for value in vars(conventions).values() if isinstance(value, str)}
    assert {
        telemetry_metrics.CONSUMED,
        telemetry_metrics.SENT,
        telemetry_metrics.OPERATION_DURATION,
        telemetry_metrics.PROCESS_DURATION,
    } <= known


async def test_a_send_is_timed_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, shop = Seen(), Shop()
    with faulty(monkeypatch) as faults:
        refused = iter([PERMANENT])
        faults.judge["there"] = lambda _: next(refused, None)
        await run(shop, seen, 40)
        points = seen.points("messaging.client.operation.duration")
        assert sum(point.count for _, point in points) == faults.sends
    kinds = {a.get("error.type") for a, _ in points if a["gateway_lab.broker"] == "there"}
    assert "permanent" in kinds


async def test_a_handler_and_a_batch_are_timed(tmp_path: Path) -> None:
    seen = Seen()
    shop = Shop(SHOP.replace("event: Order}", "event: Order, handler: {returns: Order}}"))
    gateway = shop.gateway()

    @gateway.handler("orders")
    async def handle(event: dict[str, int]) -> dict[str, int]:
        if event["n"] == 201:
            raise LookupError("no")
        return event

    gateway.telemetry = seen.telemetry
    shop.publish([order(200), order(201)])
    async with gateway:
        await until(settled(gateway, 2))
    counts = {
        attributes.get("error.type"): point.count
        for attributes, point in seen.points("messaging.process.duration")
    }
    assert counts == {None: 1, "LookupError": 3}
    meters = Meters(sqlite_url(tmp_path))
    storing = meters.gateway(create_channels=True)
    storing.telemetry = seen.telemetry
    meters.publish(metrics(10))
    async with storing:
        await until(settled(storing, 10))
    [(attributes, point)] = seen.points("gateway_lab.batch.duration")
    assert attributes == {"gateway_lab.batch": "load", "gateway_lab.source": "orders"}
    assert point.count == 1


async def test_a_collection_from_another_thread_is_told_by_the_event_loop() -> None:
    seen, shop = Seen(), Shop()
    gateway = shop.gateway()
    gateway.telemetry = seen.telemetry
    shop.publish([order(200)])
    async with gateway:
        await until(settled(gateway, 1))
        found = await asyncio.to_thread(seen.points, "gateway_lab.messages_read")
    assert [point.value for _, point in found] == [1]


async def test_an_event_loop_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_metrics, "COLLECT_S", 0.01)
    seen, shop = Seen(), Shop()
    gateway = shop.gateway()
    gateway.telemetry = seen.telemetry
    async with gateway:
        await until(lambda: str(gateway.stats().sources[0].state) == "running")
        with ThreadPoolExecutor(1) as pool:
            hung = pool.submit(seen.points, "gateway_lab.messages_read")
            assert hung.result(60) == []  # the loop is here, and waits


async def test_several_gateways_are_told_apart_and_one_that_is_gone_is_left_out() -> None:
    seen = Seen()
    first = await run(Shop(), seen, 1)
    await run(Shop(SHOP.replace("name: shop", "name: other")), seen, 2)
    gc.collect()
    found = {a["gateway"]: p.value for a, p in seen.points("gateway_lab.messages_read")}
    assert found.pop("shop") == 1
    assert set(found) <= {"other"}
    assert first.config.name == "shop"
