"""One trace from a message to all its targets, on memory brokers."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from time import time_ns
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    AlwaysRecordSampler,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.semconv._incubating.attributes import messaging_attributes as conventions
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

import gateway_lab as gl
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.handlers.middlewares import RequestId, Timing
from gateway_lab.gateway.log_lines import line_of, logging_to
from gateway_lab.gateway.telemetry import spans as telemetry_spans
from gateway_lab.gateway.telemetry.watch import UNWATCHED
from gateway_lab.messages.message import Message
from gateway_lab.recording.tap import Tap
from tests.gateway.meters import Meters, metric, metrics, query, sqlite_url
from tests.gateway.shop import (
    PERMANENT,
    RETRYABLE,
    SHOP,
    Faults,
    Shop,
    balances,
    faulty,
    header,
    order,
    settled,
    until,
)
from tests.gateway.spans import (
    PARENT,
    SAMPLED,
    TRACE,
    UNSAMPLED,
    Seen,
    id_of,
    parent_of,
    told,
    trace_of,
)

pytestmark = pytest.mark.anyio

HANDLED = SHOP.replace("event: Order}", "event: Order, handler: {returns: Order}}")
PRIVATE = SHOP.replace("tenant: {type: string}", "tenant: {type: string, x-private: true}")


class Refusing(Sampler):
    """Samples nothing, and does not say so before."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return "Refusing"


class Order(BaseModel):
    n: int
    kind: str = "none"
    tenant: str = "a"


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with faulty(monkeypatch) as faults:
        yield faults


def part_of(message: Message, *headers: tuple[str, bytes]) -> Message:
    return msgspec.structs.replace(message, headers=headers)


async def run(
    shop: Shop, seen: Seen, messages: list[Message], gateway: Gateway | None = None
) -> Gateway:
    gateway = gateway or shop.gateway()
    gateway.telemetry = seen.telemetry
    shop.publish(messages)
    async with gateway:
        await until(settled(gateway, len(messages)))
    assert balances(gateway)
    return gateway


def handled(shop: Shop, handle: Any, **options: Any) -> Gateway:
    gateway = Gateway(shop.config, environ=shop.environ, **options)
    gateway.handler("orders")(handle)
    return gateway


# --- the tree ---


async def test_one_trace_leads_from_the_source_message_to_each_target(seen: Seen) -> None:
    shop = Shop()
    await run(shop, seen, [part_of(order(200, tenant="a"), SAMPLED, ("tracestate", b"shop=1"))])
    process = seen.one("process orders")
    assert (trace_of(process), parent_of(process)) == (TRACE, PARENT)
    big, tenant = seen.one("send big"), seen.one("send tenant.{tenant}")
    assert {trace_of(big), trace_of(tenant)} == {TRACE}
    assert {parent_of(big), parent_of(tenant)} == {id_of(process)}
    assert [each.kind for each in (process, big)] == [SpanKind.CONSUMER, SpanKind.PRODUCER]
    for (alias, channel), span in {("there", "big"): big, ("here", "tenant.a"): tenant}.items():
        [arrived] = shop.fetch(alias, channel)
        assert header(arrived, "traceparent") == f"00-{TRACE}-{id_of(span)}-01"
        assert header(arrived, "tracestate") == "shop=1"


async def test_a_message_without_a_trace_begins_one(seen: Seen) -> None:
    shop = Shop()
    await run(shop, seen, [order(200), order(201)])
    begun = seen.named("process orders")
    assert [parent_of(each) for each in begun] == ["", ""]
    assert len({trace_of(each) for each in begun}) == 2
    arrived = {header(each, "traceparent") for each in shop.fetch("there", "big")}
    assert arrived == {f"00-{trace_of(e)}-{id_of(e)}-03" for e in seen.named("send big")}


async def test_spans_have_the_names_of_the_conventions_and_of_the_config(seen: Seen) -> None:
    await run(Shop(), seen, [order(200)])
    process = told(seen.one("process orders"))
    assert process.pop("messaging.message.id")
    assert process.pop("messaging.destination.partition.id")
    assert process == {
        "messaging.system": "memory",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "orders",
        "gateway_lab.source": "orders",
    }
    assert told(seen.one("send big")) == {
        "messaging.system": "memory",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "big",
        "gateway_lab.route": "size/big",
        "gateway_lab.target": "big",
    }


def test_every_name_that_is_not_ours_is_one_of_the_conventions() -> None:
    known = {value for value in vars(conventions).values() if isinstance(value, str)}
    used = {value for name, value in vars(telemetry_spans).items() if name.isupper()}
    theirs = {each for each in used if isinstance(each, str) and each.startswith("messaging.")}
    assert len(theirs) > 5
    assert theirs <= known


async def test_a_message_that_is_sent_nowhere_says_what_was_decided(seen: Seen) -> None:
    await run(Shop(), seen, [order(1, kind="waste")])
    assert told(seen.one("process orders"))["gateway_lab.routes"] == ("size/waste",)


async def test_nothing_of_a_message_is_told(seen: Seen) -> None:
    message = part_of(order(200, key="secret-key", tenant="secret"), ("x-secret", b"secret"))
    await run(Shop(PRIVATE), seen, [message, order(1, key="secret-key", tenant=["secret"])])
    assert len(seen.named("send dead.{message.source}")) == 2  # one has no channel, one is invalid
    assert not re.search("secret", "".join(each.to_json() for each in seen.spans))


# --- what is confirmed, tried again, refused ---


async def test_a_send_ends_when_it_is_confirmed(seen: Seen, faults: Faults) -> None:
    shop, gateway = Shop(), None
    faults.stalled = {"there"}
    gateway = shop.gateway()
    gateway.telemetry = seen.telemetry
    shop.publish([order(200, tenant="a")])
    async with gateway:
        await until(lambda: seen.named("send tenant.{tenant}"))
        assert not seen.named("send big")
        faults.stalled.clear()
        await until(settled(gateway, 1))
    assert seen.named("send big")
    assert seen.named("process orders")


async def test_tries_that_failed_are_events_of_the_one_send(seen: Seen, faults: Faults) -> None:
    answers = iter([RETRYABLE, RETRYABLE])
    faults.judge["there"] = lambda _: next(answers, None)
    await run(Shop(), seen, [order(200)])
    send = seen.one("send big")
    assert [(each.name, dict(each.attributes or {})) for each in send.events] == [
        ("gateway_lab.try_failed", {"error.type": "retryable"})
    ] * 2
    assert told(send)["gateway_lab.tries"] == 3
    assert send.status.status_code is StatusCode.UNSET


async def test_what_is_refused_ends_in_error_and_its_letter_is_sent(
    seen: Seen, faults: Faults
) -> None:
    faults.judge["there"] = lambda _: PERMANENT
    shop = Shop()
    await run(shop, seen, [part_of(order(200), SAMPLED)])
    process, send, letter = map(
        seen.one, ("process orders", "send big", "send dead.{message.source}")
    )
    assert told(send)["error.type"] == told(process)["error.type"] == "permanent"
    assert send.status.status_code is process.status.status_code is StatusCode.ERROR
    assert told(letter)["gateway_lab.dead_letter.class"] == "permanent"
    assert (trace_of(letter), parent_of(letter)) == (TRACE, id_of(process))
    [arrived] = shop.letters()
    assert header(arrived, "traceparent") == f"00-{TRACE}-{id_of(letter)}-01"


async def test_an_invalid_message_is_an_error_and_a_letter_on_purpose_is_none(seen: Seen) -> None:
    invalid = msgspec.structs.replace(order(1), body=b'{"n": "x"}')
    await run(Shop(), seen, [invalid, order(1, kind="parked")])
    kinds = [told(each).get("error.type") for each in seen.named("process orders")]
    assert sorted(map(str, kinds)) == ["None", "invalid"]
    letters = seen.named("send dead.{message.source}")
    assert {told(each)["gateway_lab.dead_letter.class"] for each in letters} == {"invalid", "rule"}


async def test_what_a_stop_leaves_is_given_back(seen: Seen, faults: Faults) -> None:
    shop = Shop()
    faults.stalled = {"there"}
    gateway = shop.gateway()
    gateway.telemetry = seen.telemetry
    shop.publish([order(200)])
    async with gateway:
        await until(lambda: gateway.stats().sources[0].in_flight)
        await gateway.stop(now=True)
    for name in ("process orders", "send big"):
        assert told(seen.one(name))["error.type"] == "given_back"


# --- sampling ---


async def test_what_is_not_sampled_passes_as_it_came(seen: Seen) -> None:
    shop = Shop()
    await run(shop, seen, [part_of(order(200), UNSAMPLED)])
    assert not seen.spans
    [arrived] = shop.fetch("there", "big")
    assert header(arrived, "traceparent") == UNSAMPLED[1].decode()


async def test_a_gateway_can_follow_traces_and_begin_none() -> None:
    seen, shop = Seen(ParentBased(ALWAYS_OFF)), Shop()
    await run(shop, seen, [part_of(order(200), SAMPLED), order(201)])
    assert [trace_of(each) for each in seen.named("process orders")] == [TRACE]
    assert (
        sorted(map(str, (header(e, "traceparent") for e in shop.fetch("there", "big"))))[1]
        == "None"
    )


async def test_a_sampler_of_another_kind_decides_by_itself() -> None:
    """Its spans are made at once, and the tree is the same."""
    seen, shop = Seen(AlwaysRecordSampler(ALWAYS_ON)), Shop()
    await run(shop, seen, [part_of(order(200, tenant="a"), SAMPLED), order(201)])
    assert len(seen.named("process orders")) == 2
    of_trace = [each for each in seen.spans if trace_of(each) == TRACE]
    [process] = [each for each in of_trace if each.name == "process orders"]
    sends = [each for each in of_trace if each is not process]
    assert {parent_of(each) for each in sends} == {id_of(process)}
    assert parent_of(process) == PARENT
    [arrived] = shop.fetch("here", "tenant.a")
    assert header(arrived, "traceparent") in {f"00-{TRACE}-{id_of(each)}-01" for each in sends}


async def test_what_another_sampler_does_not_want_passes_as_it_came() -> None:
    seen, shop = Seen(Refusing()), Shop()
    await run(shop, seen, [order(200)])
    assert not seen.spans
    [arrived] = shop.fetch("there", "big")
    assert header(arrived, "traceparent") is None


async def test_spans_have_the_times_at_which_it_happened(seen: Seen, faults: Faults) -> None:
    answers = iter([RETRYABLE])
    faults.judge["there"] = lambda _: next(answers, None)
    begun = time_ns()
    await run(Shop(), seen, [order(200)])
    process, send = seen.one("process orders"), seen.one("send big")
    [event] = send.events
    times = [process.start_time, send.start_time, event.timestamp, send.end_time, process.end_time]
    assert times == sorted(times, key=lambda time: time or 0)
    assert begun < (times[0] or 0)
    assert (times[-1] or 0) < time_ns()


# --- handlers ---


async def test_a_users_span_is_a_child_of_its_handler(seen: Seen) -> None:
    tracer = seen.tracers.get_tracer("shop")

    async def handle(event: Order) -> Order:
        with tracer.start_as_current_span("event_processing") as span:
            span.set_attribute("event.type", event.kind)
            span.set_attribute("event.size", event.n)
            span.set_attribute("processing.result", "success")
            return event

    shop = Shop(HANDLED)
    await run(shop, seen, [part_of(order(200), SAMPLED)], handled(shop, handle))
    process, handler = seen.one("process orders"), seen.one("handle handle")
    own = seen.one("event_processing")
    assert parent_of(own) == id_of(handler)
    assert parent_of(handler) == parent_of(seen.one("send big")) == id_of(process)
    assert {trace_of(each) for each in seen.spans} == {TRACE}
    assert told(own)["processing.result"] == "success"
    assert told(handler)["code.function.name"] == "handle"


async def test_a_plain_function_in_its_thread_has_the_span_too(seen: Seen) -> None:
    tracer = seen.tracers.get_tracer("shop")

    def handle(event: Order) -> Order:
        with tracer.start_as_current_span("own"):
            return event

    shop = Shop(HANDLED)
    await run(shop, seen, [order(200)], handled(shop, handle))
    assert parent_of(seen.one("own")) == id_of(seen.one("handle handle"))


async def test_each_try_of_a_handler_has_a_span_that_names_its_error_alone(seen: Seen) -> None:
    async def handle(event: Order) -> Order:
        raise LookupError(f"no tenant {event.tenant}")

    shop = Shop(HANDLED.replace("initial: 1ms", "attempts: 2, initial: 1ms"))
    await run(shop, seen, [order(200, tenant="secret")], handled(shop, handle))
    tries = seen.named("handle handle")
    assert [told(each)["gateway_lab.try"] for each in tries] == [1, 2]
    assert {told(each)["error.type"] for each in tries} == {"LookupError"}
    assert told(seen.one("process orders"))["error.type"] == "handler"
    assert "secret" not in "".join(each.to_json() for each in seen.spans)


async def test_a_users_span_is_no_more_sampled_than_its_message(seen: Seen) -> None:
    tracer = seen.tracers.get_tracer("shop")
    traces: list[str] = []

    async def handle(event: Order) -> Order:
        with tracer.start_as_current_span("own") as span:
            traces.append(f"{span.get_span_context().trace_id:032x}")
        return event

    shop = Shop(HANDLED)
    await run(shop, seen, [part_of(order(200), UNSAMPLED)], handled(shop, handle))
    assert not seen.spans
    assert traces == [TRACE]


async def test_without_a_trace_a_span_of_a_handler_is_as_little_sampled() -> None:
    seen = Seen(ParentBased(ALWAYS_OFF))
    shop = Shop(HANDLED)
    found: list[Any] = []

    async def handle(event: Order) -> Order:
        found.append(trace.get_current_span().get_span_context())
        return event

    await run(shop, seen, [order(200)], handled(shop, handle))
    [context] = found
    assert context.is_valid
    assert not context.trace_flags.sampled


async def test_gateway_send_is_a_send_like_others(seen: Seen) -> None:
    shop = Shop(HANDLED)
    gateways: list[Gateway] = []

    async def handle(event: Order) -> Order:
        await gateways[0].send("small", event)
        return event

    gateways.append(handled(shop, handle))
    await run(shop, seen, [order(200)], gateways[0])
    assert told(seen.one("send small"))["gateway_lab.route"] == "send"


async def test_a_gateway_under_test_is_traced_as_it_is_told(seen: Seen) -> None:
    async def handle(event: Order) -> Order:
        return event

    gateway = handled(Shop(HANDLED), handle)
    gateway.telemetry = seen.telemetry
    async with gl.GatewayTest(gateway) as test:
        await test.publish("orders", {"n": 200})
    assert seen.named("handle handle")


# --- batches ---


async def test_a_batch_is_linked_to_its_messages_and_its_aggregates_are_sent_in_its_trace(
    seen: Seen, tmp_path: Path
) -> None:
    meters = Meters(sqlite_url(tmp_path))
    messages = [part_of(metrics(1)[0], SAMPLED), part_of(metric(3), UNSAMPLED), metric(4)]
    gateway = meters.gateway(create_channels=True)
    gateway.telemetry = seen.telemetry
    meters.publish(messages)
    async with gateway:
        await until(lambda: gateway.stats().sources[0].read == 3)
    [batch] = seen.named("process load")
    of_messages = {id_of(each) for each in seen.named("process orders")}
    assert len(of_messages) == 2
    assert {f"{each.context.span_id:016x}" for each in batch.links} == of_messages
    assert told(batch)["messaging.batch.message_count"] == 3
    assert told(batch)["gateway_lab.batch"] == "load"
    sent = seen.named("send big")
    assert sent
    assert {parent_of(each) for each in sent} == {id_of(batch)}
    arrived = {header(each, "traceparent") for each in meters.fetch("there", "big")}
    assert arrived == {f"00-{trace_of(batch)}-{id_of(each)}-03" for each in sent}


async def test_a_row_that_is_refused_is_a_letter_in_the_trace_of_its_message(
    seen: Seen, tmp_path: Path
) -> None:
    meters = Meters(sqlite_url(tmp_path))
    first = metrics(1)
    gateway = meters.gateway(create_channels=True)
    meters.publish(first)
    async with gateway:
        await until(lambda: gateway.stats().sources[0].read == 1)
    refuse = "CREATE TRIGGER no BEFORE INSERT ON metrics WHEN NEW.value = 7 BEGIN SELECT RAISE(ABORT, 'no'); END"
    query(meters.url, refuse)
    again = meters.gateway(create_channels=True)
    again.telemetry = seen.telemetry
    meters.publish([part_of(metric(7), SAMPLED), metric(8)])
    async with again:
        await until(lambda: again.stats().sources[0].read == 2)
    letter = seen.one("send dead.{message.source}")
    [process] = [each for each in seen.named("process orders") if trace_of(each) == TRACE]
    assert parent_of(letter) == id_of(process)


# --- beside the live way ---


async def test_nothing_is_open_when_all_is_done(seen: Seen) -> None:
    gateway = await run(Shop(), seen, [order(n, tenant="a") for n in range(200)])
    [traces, _] = gateway._watches["orders"]._watches  # type: ignore[attr-defined]
    assert not traces._book.traces
    assert not traces._book._sending
    assert len(seen.named("process orders")) == 200


async def test_a_tap_records_messages_as_they_came(seen: Seen, tmp_path: Path) -> None:
    shop = Shop()
    with Tap(shop.config, tmp_path / "tapped.ndjson") as tap:
        gateway = Gateway(shop.config, environ=shop.environ, wrap=tap.wrap)
        await run(shop, seen, [part_of(order(200), SAMPLED)], gateway)
    assert seen.named("send big")
    [recorded] = gl.scan_capture(tmp_path / "tapped.ndjson").frame.collect().to_dicts()
    assert recorded["headers"] == [{"name": SAMPLED[0], "value": SAMPLED[1]}]


async def test_a_reload_goes_on_with_the_trace(seen: Seen) -> None:
    shop = Shop()
    gateway = shop.gateway()
    gateway.telemetry = seen.telemetry
    async with gateway:
        await until(lambda: str(gateway.stats().sources[0].state) == "running")
        new = SHOP.replace("n >= 100", "n >= 10")
        await gateway.reload(gl.parse_config(new))
        shop.publish([order(20)])
        await until(settled(gateway, 1))
    assert told(seen.one("send big"))["gateway_lab.route"] == "size/big"


# --- off ---


async def test_without_providers_nothing_stands_around_a_pump() -> None:
    shop = Shop()
    async with shop.gateway() as gateway:
        await until(lambda: str(gateway.stats().sources[0].state) == "running")
        assert gateway._watches["orders"] is UNWATCHED
        sinks, means = gateway._parts("orders", gateway._version)
        assert {type(each).__name__ for each in sinks.values()} == {"MemorySink"}
        assert type(means.router).__name__ == "SourceRouter"
        assert [type(each).__name__ for each in gateway._sources["orders"]] == ["MemorySource"]


async def test_the_providers_of_the_process_are_taken(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = SimpleNamespace(get_tracer_provider=lambda: seen.tracers)
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.trace", api)
    shop = Shop()
    gateway = shop.gateway()
    shop.publish([order(200)])
    async with gateway:
        await until(settled(gateway, 1))
    assert seen.named("send big")


# --- logs ---


async def test_a_log_line_of_a_handler_names_trace_span_and_request(seen: Seen) -> None:
    lines: list[dict[str, str]] = []

    async def handle(event: Order) -> Order:
        logging.getLogger("gateway_lab.handlers.shop").info("seen")
        return event

    shop = Shop(HANDLED)
    message = part_of(order(200), SAMPLED, ("x-request-id", b"r-1"))
    with logging_to(lambda record: lines.append(line_of(record))):
        gateway = handled(shop, handle, middlewares=[RequestId, Timing])
        await run(shop, seen, [message], gateway)
    span = id_of(seen.one("handle handle"))
    for text in ("seen", "a message took"):
        [line] = [each for each in lines if each["message"].startswith(text)]
        found = line["trace_id"], line["span_id"], line["request_id"]
        assert found == (TRACE, span, "r-1")
    [other] = [each for each in lines if each["message"] == "source orders is running"]
    assert not {"trace_id", "span_id", "request_id"} & other.keys()


async def test_a_log_line_of_a_try_that_failed_names_its_span(seen: Seen) -> None:
    lines: list[dict[str, str]] = []

    async def handle(event: Order) -> Order:
        raise LookupError(event.n)

    shop = Shop(HANDLED.replace("initial: 1ms", "attempts: 2, initial: 1ms"))
    with logging_to(lambda record: lines.append(line_of(record))):
        await run(shop, seen, [part_of(order(200), SAMPLED)], handled(shop, handle))
    failed = [each for each in lines if "failed, try" in each["message"]]
    spans = [id_of(each) for each in seen.named("handle handle")]
    assert [(each["trace_id"], each["span_id"]) for each in failed] == [(TRACE, s) for s in spans]
