"""One trace from Kafka through a handler to NATS, Redis and Kafka, on real servers."""

from __future__ import annotations

import polars as pl
import pytest

from gateway_lab.examples import observability
from gateway_lab.testing.servers import KafkaServer, NatsServer, RedisServer
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]
TRACE = observability.PARENT.split("-")[1]
SOURCE = "process observable-events"


async def test_a_trace_goes_through_the_handler_to_every_target_on_every_broker(
    kafka_server: KafkaServer, nats_server: NatsServer, redis_server: RedisServer
) -> None:
    async with on(
        observability.gateway.config, observability.LOOKS, kafka_server, nats_server, redis_server
    ) as stage:
        frames = await observability.run(stage)

    spans = frames["spans"]
    [other] = set(spans["trace"]) - {TRACE}
    expected = {
        (SOURCE, "elsewhere"),
        ("handle process", SOURCE),
        ("event_processing", "handle process"),
        ("send on-call", SOURCE),
        ("send archive", SOURCE),
    }
    assert set(spans.filter(trace=TRACE).select("span", "parent").rows()) == expected
    assert (SOURCE, None) in spans.filter(trace=other).select("span", "parent").rows()
    own = spans.filter(span="event_processing", trace=TRACE)["attributes"].item()
    assert own == "event.type=checkout, event.size=72, processing.result=error"

    arrived = frames["arrived"].with_columns(
        trace=pl.col("headers").str.extract("traceparent: 00-([0-9a-f]{32})-")
    )
    assert set(arrived.select("broker", "channel", "trace").rows()) == {
        ("edge", "on-call", TRACE),
        ("cache", "archive", TRACE),
        ("stream", "slow-events", other),
        ("cache", "archive", other),
    }
    assert arrived.filter(trace=TRACE)["headers"].str.contains("x-request-id: r-1").all()
    totals = dict(frames["metrics"].select("metric", "total").rows())
    assert totals["messaging.process.duration"] == 2
    assert totals["gateway_lab.messages_settled"] == 2
    assert totals["gateway_lab.deliveries"] == 4
