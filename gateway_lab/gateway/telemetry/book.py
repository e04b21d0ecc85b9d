"""The spans that are open in one source: of messages that were sampled, and of what is sent of them.

A message is known by its identity while it is under way, so that messages stay what they are and
those that are not sampled cost one look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import getrandbits
from typing import Final, TypeAlias

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from gateway_lab.brokers.contract import Failure, Outgoing
from gateway_lab.gateway.telemetry.late import Given, Late, LateSpan
from gateway_lab.gateway.telemetry.sampling import deciding, rule_of, with_context
from gateway_lab.gateway.telemetry.spans import (
    CLASS,
    ERROR,
    TRIES,
    TRY_FAILED,
    Attributes,
    fail,
)
from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message

MAX_EVENTS: Final = 10
"""Failed tries of a delivery that its span names; a broker may be away for days."""

GIVEN_BACK: Final = "given_back"
"""The error of a message that was not settled when its source ended: it comes again."""

_ROOT: Final = Context()
_FLAGS: Final = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)

Named: TypeAlias = tuple[str, Attributes]
"""Name and attributes of a span."""


class Tracing:
    """Begins spans, of what a rule chooses.

    Attributes:
        late: Where spans are noted, to be made when they are over; None: they are made at once.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.rule, self.tracer, self.late = rule_of(tracer), tracer, None
        if own := deciding(tracer):
            self.tracer, self.late = own[0], Late(*own)

    def begin(
        self, parent: SpanContext | int, named: Named, links: Sequence[Link] = ()
    ) -> Span | None:
        """Begin the span of what is consumed; None: the SDK does not want it.

        Args:
            parent: The span that it follows, or the id of a trace that begins here.
            named: Its name and attributes.
            links: To what it is made of.
        """
        context = _ROOT
        if not isinstance(parent, int):
            context = set_span_in_context(NonRecordingSpan(parent), _ROOT)
        if self.late is None:
            name, attributes = named
            span = self.tracer.start_span(name, context, SpanKind.CONSUMER, attributes, links)
            return span if span.is_recording() else None
        if isinstance(parent, int):
            parent = SpanContext(parent, 1, is_remote=False, trace_flags=_FLAGS)
        given = named[0], context, SpanKind.CONSUMER, named[1]
        return self._note(parent, self.late, given, links)

    def follow(self, parent: Span, context: Context, named: Named) -> Span:
        """Begin the span of what is sent; `context` holds the parent."""
        name, attributes = named
        if self.late is None:
            return self.tracer.start_span(name, context, SpanKind.PRODUCER, attributes)
        given = name, context, SpanKind.PRODUCER, attributes
        return self._note(parent.get_span_context(), self.late, given)

    def _note(
        self,
        parent: SpanContext,
        late: Late,
        given: Given,
        links: Sequence[Link] = (),
    ) -> Span:
        flags = TraceFlags(parent.trace_flags | TraceFlags.SAMPLED)
        own = SpanContext(
            parent.trace_id,
            getrandbits(64) or 1,
            is_remote=False,
            trace_flags=flags,
            trace_state=parent.trace_state,
        )
        return LateSpan(own, late, given, links)


@dataclass(slots=True, eq=False)
class Trace:
    """One message that is sampled; messages of a batch share a span.

    Attributes:
        id: The gateway's name of the message.
        is_part: Whether its span is another message's, that ends it.
        tries: How often its handler was started.
        sends: The keys of its open sends.
    """

    span: Span
    message: Message
    id: str = ""
    is_part: bool = False
    tries: int = 0
    sends: list[str] = field(default_factory=list)
    context: Context = field(init=False)

    def __post_init__(self) -> None:
        self.context = set_span_in_context(self.span, _ROOT)


@dataclass(slots=True, eq=False)
class _Sending:
    span: Span
    failed: int = 0


class Book:
    """What is open.

    Attributes:
        traces: By the identity of their messages.
    """

    def __init__(self, tracing: Tracing) -> None:
        self.tracing = tracing
        self.traces: dict[int, Trace] = {}
        self._sending: dict[str, _Sending] = {}

    def add(self, trace: Trace) -> None:
        """Take a message in, until it is ended."""
        self.traces[id(trace.message)] = trace

    def of(self, messages: Sequence[Message]) -> Iterator[Trace]:
        """Give the traces of messages that have any."""
        for message in messages if self.traces else ():
            if trace := self.traces.get(id(message)):
                yield trace

    def forget(self, trace: Trace) -> None:
        """Leave a message out; sends of it that are open end, too."""
        self.traces.pop(id(trace.message), None)
        for key in trace.sends:
            self._end_send(key, GIVEN_BACK)

    def end(self, trace: Trace, problem: str = "") -> None:
        """End the span of a message."""
        self.forget(trace)
        if problem:
            fail(trace.span, problem)
        trace.span.end()

    def end_shared(self, trace: Trace) -> None:
        """End the span that several messages share, with the first of them."""
        self.forget(trace)
        if not trace.is_part and trace.span.is_recording():
            trace.span.end()

    def close(self) -> None:
        """End all: the messages come again."""
        for trace in list(self.traces.values()):
            if trace.span.is_recording():
                self.end(trace, GIVEN_BACK)
        if late := self.tracing.late:
            late.make()

    # --- what is sent ---

    def send(self, trace: Trace, key: str, named: Named, headers: Headers) -> Headers:
        """Begin a send, and return headers that name it; `key` is the id of what is sent."""
        span = self.tracing.follow(trace.span, trace.context, named)
        self._end_send(key, GIVEN_BACK)
        self._sending[key] = _Sending(span)
        trace.sends.append(key)
        return with_context(headers, span.get_span_context())

    def send_letter(
        self, trace: Trace, letter: Outgoing, named: Named, failed: str, kind: str
    ) -> Outgoing:
        """Begin the send of a dead letter.

        Args:
            trace: Of its message.
            letter: What is sent.
            named: The name and attributes of its span.
            failed: The key of the send in whose place it is.
            kind: The class of what went wrong.
        """
        self._end_send(failed, kind)
        name, attributes = named
        headers = self.send(
            trace, letter.id, (name, {**attributes, CLASS: kind}), tuple(letter.headers)
        )
        return msgspec.structs.replace(letter, headers=headers)

    def answered(self, batch: Sequence[Outgoing], answers: Sequence[Failure | None]) -> None:
        """Take what a broker said of what was sent."""
        if not self._sending:
            return
        for outgoing, failure in zip(batch, answers, strict=True):
            sending = self._sending.get(outgoing.id)
            if sending is None:
                continue
            if failure is None:
                self._end_send(outgoing.id)
            else:
                _note(sending, failure)

    def _end_send(self, key: str, problem: str = "") -> None:
        sending = self._sending.pop(key, None)
        if sending is None:
            return
        if problem:
            fail(sending.span, problem)
        if sending.failed:
            sending.span.set_attribute(TRIES, sending.failed + (not problem))
        sending.span.end()


def _note(sending: _Sending, failure: Failure) -> None:
    """Note a try that failed; what becomes of it is decided elsewhere."""
    sending.failed += 1
    if sending.failed <= MAX_EVENTS:
        sending.span.add_event(TRY_FAILED, {ERROR: str(failure.failure_class)})
