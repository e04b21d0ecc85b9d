"""Spans: one trace from the message that was read, through its handler, to each of its targets.

    process orders ── handle create_user ── (spans of the user's own)
                   ├─ send critical.{tenant_id}
                   └─ send tenant.{tenant_id}

The span of a message ends when the message is settled, that of a delivery when it is confirmed.
What is not sampled passes as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from opentelemetry.trace import (
    Link,
    NoOpTracer,
    Span,
    TracerProvider,
)

from gateway_lab.brokers.contract import Outgoing, Sink, Source
from gateway_lab.config.check_usage import EXACT_POSITIONS
from gateway_lab.config.plan import BatchPlan, Plan, SourcePlan, TargetPlan
from gateway_lab.gateway.batching.writer import Member, Written
from gateway_lab.gateway.dead_letter import Cause
from gateway_lab.gateway.handlers.handled import Call
from gateway_lab.gateway.ids import way_suffix
from gateway_lab.gateway.means import Means
from gateway_lab.gateway.telemetry.book import Book, Named, Trace, Tracing
from gateway_lab.gateway.telemetry.parts import TracedCall, TracedFeed, TracedSink, TracedSource
from gateway_lab.gateway.telemetry.spans import (
    batch_span,
    decision_attributes,
    fail,
    letter_span,
    message_attributes,
    source_span,
    target_span,
    targets_of,
)
from gateway_lab.gateway.telemetry.watch import SCOPE, Watch, Write
from gateway_lab.gateway.ways import Way, WayKey
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import Delivery, Routed

_DELIVERED: Final = Outcome.DELIVERED
_BY_RULE: Final = "rule"


def tracing(provider: TracerProvider) -> Callable[[str, Plan], Watch] | None:
    """Return what makes the watch of a source; None: this provider makes no spans."""
    tracer = provider.get_tracer(SCOPE)
    if isinstance(tracer, NoOpTracer):
        return None
    begin = Tracing(tracer)
    return lambda source, plan: Traces(begin, plan.sources[source])


class Traces(Watch):
    """Watches one source."""

    def __init__(self, begin: Tracing, source: SourcePlan) -> None:
        self._book, self._source = Book(begin), source
        self._named = _Places(source)
        self._names_last = {each.protocol for each in source.addresses} <= EXACT_POSITIONS

    def source(self, source: Source) -> Source:
        """Begin a span with each message that is sampled, and end it when it is settled."""
        return TracedSource(source, self._book, self._begin)

    def sinks(self, sinks: Mapping[str, Sink]) -> Mapping[str, Sink]:
        """End the spans of what is confirmed."""
        return {alias: TracedSink(sink, self._book) for alias, sink in sinks.items()}

    def means(self, means: Means, plan: Plan, batch: BatchPlan | None = None) -> Means:
        """Begin spans with what is sent, and around handlers."""
        targets = batch.targets if batch else targets_of(plan, self._source.name)
        version = _Version(self._book, self._source, means, targets)
        if batch is None:
            self._version = version
        handling = means.handling and means.handling.around(version.around)
        return replace(
            means,
            router=version.router(),
            id_of=means.id_of if self._names_last else version.id_of,
            letters=_TracedLetters(version),
            handling=handling,
        )

    def _begin(self, messages: Sequence[Message]) -> list[tuple[int, Trace]]:
        """Begin the spans of messages that are sampled."""
        begun: list[tuple[int, Trace]] = []
        for index, parent in self._book.tracing.rule.wanted(messages):
            message = messages[index]
            id_ = self._version.new_id(message)
            name, attributes = self._named.of(message)
            named = name, {**attributes, **message_attributes(message, id_)}
            if span := self._book.tracing.begin(parent, named):
                trace = Trace(span, message, id_)
                self._book.add(trace)
                begun.append((index, trace))
        return begun

    # --- batches ---

    def feed(self, feed: Source) -> Source:
        """End the span of a batch when all is settled that it has made."""
        return TracedFeed(feed, self._book)

    async def write(self, batch: BatchPlan, members: Sequence[Member], write: Write) -> Written:
        """Begin a span that is linked to the messages of a batch, as far as they are sampled."""
        traces = list(self._book.of([each.message for each in members]))
        span = self._begin_batch(batch, traces, len(members)) if traces else None
        if span is None:
            return await write(members)
        try:
            written = await write(members)
        except BaseException as error:
            fail(span, type(error).__name__)
            span.end()
            raise
        self._take_over(written, span, traces)
        return written

    def _begin_batch(self, batch: BatchPlan, traces: Sequence[Trace], size: int) -> Span | None:
        links = [Link(each.span.get_span_context()) for each in traces]
        begin = self._book.tracing
        parent = begin.rule.root() or links[0].context
        return begin.begin(parent, batch_span(batch, self._source.addresses[0], size), links)

    def _take_over(self, written: Written, span: Span, traces: Sequence[Trace]) -> None:
        """Trace what a batch made: its own messages, and the letters of rows that are refused."""
        for message in written.messages:
            self._book.add(Trace(span, message))
        if not written.messages:
            span.end()
        of = {_place(each.message): each for each in traces}
        for row in written.refused:
            if trace := of.get(_place(row)):
                self._book.add(Trace(trace.span, row, is_part=True))


class _Places:
    """How the spans of messages are named, by where they were read."""

    def __init__(self, source: SourcePlan) -> None:
        self._known: dict[tuple[str, str | None], Named] = {}
        for address in source.addresses:
            named = source_span(address, source.name)
            self._known.setdefault((address.broker, address.channel), named)

    def of(self, message: Message) -> Named:
        """Return that of a message; its channel is named, or matches a pattern of its broker."""
        known, broker = self._known, message.broker
        found = known.get((broker, message.channel)) or known.get((broker, None))
        return found or next(iter(known.values()))


class _Version:
    """The parts of one pump under one version of the config, traced."""

    def __init__(
        self, book: Book, source: SourcePlan, means: Means, targets: Mapping[str, TargetPlan]
    ) -> None:
        self._book, self._source, self._targets = book, source, targets
        self.new_id, self._letters = means.id_of, means.letters
        self._letter = letter_span(source.dead_letter) if source.dead_letter else None
        self._ways: dict[WayKey, tuple[str, Named]] = {}
        self._traces, self._means = book.traces, means

    def id_of(self, message: Message) -> str:
        """Name a message; one that is traced has its name already, and another would be random."""
        trace = self._traces.get(id(message))
        return trace.id if trace and trace.id else self.new_id(message)

    def router(self) -> _TracedRouter:
        """Return what decides messages and, if they are traced, begins their sends."""
        traces, decide, sends = self._traces, self._means.router.route, self.sends

        def route(message: Message) -> Routed:  # a closure: most messages pay this and no more
            if id(message) not in traces:
                return decide(message)
            return sends(traces[id(message)], decide(message))

        return _TracedRouter(route)

    def sends(self, trace: Trace, routed: Routed) -> Routed:
        """Begin a send with each delivery; without any, the message's span says what was decided."""
        trace.id = trace.id or self.new_id(trace.message)
        deliveries = [self._send(trace, each) for each in routed.deliveries]
        if deliveries == list(routed.deliveries):
            trace.span.set_attributes(decision_attributes(routed, self._source))
            return routed
        return msgspec.structs.replace(routed, deliveries=tuple(deliveries))

    def _send(self, trace: Trace, delivery: Delivery) -> Delivery:
        if delivery.outcome is not _DELIVERED:
            return delivery
        suffix, named = self._way((delivery.router, delivery.route, delivery.target))
        headers = self._book.send(trace, trace.id + suffix, named, delivery.headers)
        return msgspec.structs.replace(delivery, headers=headers)

    def _way(self, key: WayKey) -> tuple[str, Named]:
        """Return what all deliveries of a way have in common; it is made once."""
        if key not in self._ways:
            router, route, target = key
            named = target_span(router, route, self._targets[target])
            self._ways[key] = way_suffix(*key), named
        return self._ways[key]

    def write_letter(
        self, message: Message, id_: str, way: Way, cause: Cause
    ) -> tuple[str, Outgoing]:
        """Write a dead letter; if its message is traced, begin its send."""
        broker, letter = self._letters.write(message, id_, way, cause)
        trace = self._traces.get(id(message))
        if trace is None or self._letter is None:
            return broker, letter
        kind = str(cause.of_class)
        if kind != _BY_RULE and trace.span.is_recording():
            fail(trace.span, kind)
        return broker, self._book.send_letter(trace, letter, self._letter, id_ + way.suffix, kind)

    def around(self, call: Call) -> Call:
        """Return a call of a handler that is traced."""
        return TracedCall(call, self._book, self.sends)


def _place(message: Message) -> tuple[str | None, ...]:
    return (message.broker, message.channel, message.partition, message.position, message.id)


@dataclass(frozen=True, slots=True)
class _TracedRouter:
    route: Callable[[Message], Routed]


@dataclass(frozen=True, slots=True)
class _TracedLetters:
    version: _Version

    def write(self, message: Message, id_: str, way: Way, cause: Cause) -> tuple[str, Outgoing]:
        return self.version.write_letter(message, id_, way, cause)
