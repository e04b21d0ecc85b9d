"""Which messages are traced: our rule and the SDK's sampler are one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    AlwaysRecordSampler,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, NoOpTracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway_lab.gateway.telemetry.sampling import (
    AskEach,
    Rule,
    deciding,
    read_context,
    rule_of,
    with_context,
)
from gateway_lab.messages.message import Message
from tests.gateway.shop import RECEIVED
from tests.gateway.spans import PARENT, SAMPLED, TRACE, UNSAMPLED

SAMPLERS = [
    ALWAYS_ON,
    ALWAYS_OFF,
    TraceIdRatioBased(0.3),
    ParentBased(ALWAYS_ON),
    ParentBased(ALWAYS_OFF),
    ParentBasedTraceIdRatio(0.3),
    ParentBasedTraceIdRatio(1e-9),
]
HALF = (1 << 127) // 3


def rule(sampler: Sampler) -> Rule:
    found = rule_of(TracerProvider(sampler, shutdown_on_exit=False).get_tracer("t"))
    assert isinstance(found, Rule)
    return found


def message(*headers: tuple[str, bytes]) -> Message:
    return Message(body=b"{}", headers=headers, received=RECEIVED)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda each: each.get_description()[:60])
@given(trace_id=st.integers(1, (1 << 128) - 1), flag=st.sampled_from([None, b"00", b"01", b"03"]))
def test_the_rule_decides_as_the_sdks_sampler(
    sampler: Sampler, trace_id: int, flag: bytes | None
) -> None:
    context, found = Context(), rule(sampler)
    if flag is None:
        ours = trace_id & (1 << 64) - 1 < found.bound
    else:
        headers = (("traceparent", b"00-%032x-%s-%s" % (trace_id, PARENT.encode(), flag)),)
        parent = read_context(headers)
        assert parent is not None
        context = set_span_in_context(NonRecordingSpan(parent), context)
        ours = bool(list(found.wanted([message(*headers)])))
    theirs = sampler.should_sample(context, trace_id, "process orders")
    assert theirs.decision.is_sampled() == ours


@pytest.mark.parametrize("sampler", SAMPLERS[2:6:3], ids=lambda each: each.get_description()[:60])
def test_the_trace_of_a_message_is_one_that_the_sdk_would_sample(sampler: Sampler) -> None:
    for _, parent in rule(sampler).wanted([message()] * 1_000):
        assert isinstance(parent, int)
        assert sampler.should_sample(Context(), parent, "process").decision.is_sampled()


def test_as_many_messages_are_traced_as_asked_for() -> None:
    wanted = list(rule(ParentBasedTraceIdRatio(0.1)).wanted([message()] * 20_000))
    assert 1_600 < len(wanted) < 2_400
    ids = [parent for _, parent in wanted]
    assert len(set(ids)) == len(ids)


def test_a_sampler_of_another_kind_is_asked_each_time() -> None:
    tracer = TracerProvider(AlwaysRecordSampler(ALWAYS_OFF), shutdown_on_exit=False).get_tracer("t")
    found = rule_of(tracer)
    assert isinstance(found, AskEach)
    parents = [parent for _, parent in found.wanted([message(SAMPLED), message()])]
    assert read_context((SAMPLED,)) == parents[0]
    assert isinstance(parents[1], int)
    assert isinstance(found.root(), int)


def test_a_tracer_that_is_not_the_sdks_decides_by_itself() -> None:
    tracer = NoOpTracer()
    assert deciding(tracer) is None
    assert isinstance(rule_of(tracer), AskEach)


def test_only_our_own_tracer_is_changed() -> None:
    tracer = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("t")
    found = deciding(tracer)
    assert found is not None
    own, ids = found
    ids.trace_id, ids.span_id = 7, 8
    context = own.start_span("a", Context()).get_span_context()
    assert (context.trace_id, context.span_id) == (7, 8)
    assert own.start_span("b", Context()).get_span_context().span_id != 8
    assert not tracer.start_span("a", Context()).is_recording()


ODD = [
    b"",
    b"nonsense",
    f"00-{'0' * 32}-{PARENT}-01".encode(),
    f"00-{TRACE}-{'0' * 16}-01".encode(),
    f"ff-{TRACE}-{PARENT}-01".encode(),
    f"00-{TRACE}-{PARENT}-01-more".encode(),
    f"00-{TRACE.upper()}-{PARENT}-01".encode(),
    f"00-{TRACE}-{PARENT}-0\xe9".encode("latin-1"),
]


@pytest.mark.parametrize("value", ODD)
def test_a_trace_that_makes_no_sense_is_none(value: bytes) -> None:
    assert read_context((("traceparent", value),)) is None
    assert not list(Rule(0, follows=True).wanted([message(("traceparent", value))]))
    wanted = list(Rule(1 << 64, follows=True).wanted([message(("traceparent", value))]))
    assert len(wanted) == 1


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
def test_the_header_is_found_in_any_case(name: str) -> None:
    headers = ((name, SAMPLED[1]), ("TraceState", b"a=1,b=2"))
    [(_, parent)] = Rule(0, follows=True).wanted([message(*headers)])
    assert parent == read_context(headers)
    assert not list(Rule(1 << 64, follows=True).wanted([message((name, UNSAMPLED[1]))]))


def test_another_version_of_the_standard_is_read_as_far_as_it_is_known() -> None:
    later = f"cc-{TRACE}-{PARENT}-01-what-will-be".encode()
    found = read_context((("traceparent", later),))
    assert found is not None
    assert f"{found.trace_id:032x}" == TRACE


def test_what_is_written_is_what_the_sdk_reads() -> None:
    context = read_context((SAMPLED, ("tracestate", b"shop=1,other=2")))
    assert context is not None
    headers = with_context(
        (("x", b"1"), ("Traceparent", b"old"), ("tracestate", b"old=1")), context
    )
    carrier = {name: value.decode() for name, value in headers}
    assert carrier["x"] == "1"
    read = TraceContextTextMapPropagator().extract(carrier, Context())
    span = set_span_in_context(NonRecordingSpan(context), Context())
    written: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(written, span)
    assert carrier == {"x": "1", **written}
    assert read


@given(state=st.one_of(st.binary(max_size=600), st.from_regex(r"[a-z@=, !]{0,80}").map(str.encode)))
def test_a_state_that_makes_no_sense_is_left_out_without_a_word(state: bytes) -> None:
    with no_logs():
        context = read_context((SAMPLED, ("tracestate", state)))
    assert context is not None
    assert len(context.trace_state.to_header()) <= len(state)


@pytest.mark.parametrize("state", [b"a=1", b"a=1,b=2", b"rojo=00f067aa0ba902b7,t@v=x y"])
def test_a_state_that_makes_sense_passes_byte_for_byte(state: bytes) -> None:
    context = read_context((SAMPLED, ("tracestate", state)))
    assert context is not None
    assert context.trace_state.to_header().encode() == state


@contextmanager
def no_logs() -> Iterator[None]:
    class Refusing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise AssertionError(record.getMessage())

    handler, others = Refusing(), logging.getLogger("opentelemetry")
    others.addHandler(handler)
    try:
        yield
    finally:
        others.removeHandler(handler)
