"""The parts of a pump that spans are made around: what is read, handled and sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import getrandbits
from typing import Final, TypeAlias

from opentelemetry import context as contexts
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    set_span_in_context,
)

from gateway_lab.brokers.contract import Batch, Failure, Handle, Outgoing, Sink, Source
from gateway_lab.brokers.wrapped import WrappedSource
from gateway_lab.gateway.batching.feed import Parcel
from gateway_lab.gateway.handlers.handled import Call, Conclude, TryAgain
from gateway_lab.gateway.log_lines import trace_of_here
from gateway_lab.gateway.telemetry.book import GIVEN_BACK, Book, Trace
from gateway_lab.gateway.telemetry.sampling import read_context
from gateway_lab.gateway.telemetry.spans import FUNCTION, TRY, Attributes, fail
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import Routed

Begin: TypeAlias = Callable[[Sequence[Message]], list[tuple[int, Trace]]]
"""Begins the spans of messages that are sampled, and says which they are."""

Sends: TypeAlias = Callable[[Trace, Routed], Routed]
"""Begins the spans of what is sent of a message."""

_NEVER_SAMPLED: Final = (1 << 64) - 1
"""The lower half of the id of a trace that no ratio takes."""


class TracedSource(WrappedSource):
    """Begins a span with each message that is sampled, and ends it when it is settled."""

    def __init__(self, source: Source, book: Book, begin: Begin) -> None:
        super().__init__(source)
        self._book, self._begin = book, begin
        self._open: dict[int, tuple[Handle, Trace]] = {}

    async def read(self, limit: int) -> Batch:
        """Wait for messages."""
        batch = await super().read(limit)
        for index, trace in self._begin(batch.messages):
            handle = batch.handles[index]
            self._open[id(handle)] = handle, trace
        return batch

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Settle messages."""
        await super().settle(handles)
        self._end(handles)

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Give messages back."""
        await super().give_back(handles)
        self._end(handles, GIVEN_BACK)

    def _end(self, handles: Sequence[Handle], problem: str = "") -> None:
        if self._open.keys().isdisjoint(map(id, handles)):
            return
        for handle in handles:
            if found := self._open.pop(id(handle), None):
                self._book.end(found[1], problem)

    async def close(self) -> None:
        """Close it."""
        await super().close()
        self._book.close()


class TracedFeed(WrappedSource):
    """All messages of a parcel have one span, that ends when the last of them is settled."""

    def __init__(self, feed: Source, book: Book) -> None:
        super().__init__(feed)
        self._book = book
        self._parcels: dict[int, tuple[Handle, list[Trace]]] = {}

    async def read(self, limit: int) -> Batch:
        """Wait for messages."""
        batch = await super().read(limit)
        for message, handle in zip(batch.messages, batch.handles, strict=True):
            if trace := self._book.traces.get(id(message)):
                self._parcels.setdefault(id(handle), (handle, []))[1].append(trace)
        return batch

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Settle messages."""
        await super().settle(handles)
        for handle in handles if self._parcels else ():
            if isinstance(handle, Parcel) and not handle.left:
                _, traces = self._parcels.pop(id(handle), (None, []))
                for trace in traces:
                    self._book.end_shared(trace)


class TracedSink:
    """Ends the spans of what is confirmed."""

    def __init__(self, sink: Sink, book: Book) -> None:
        self._sink, self._book = sink, book
        self.sends_at_once = sink.sends_at_once

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send messages."""
        answers = await self._sink.send(batch)
        self._book.answered(batch, answers)
        return answers

    async def close(self) -> None:
        """Close it."""
        await self._sink.close()


class TracedCall:
    """A call of user code: its own spans are children of that of the handler."""

    def __init__(self, call: Call, book: Book, sends: Sends) -> None:
        self._call, self._book, self._sends = call, book, sends
        self.name, self.timeout_s, self.is_sync = call.name, call.timeout_s, call.is_sync

    async def __call__(self, message: Message, id_: str, conclude: Conclude) -> Routed:
        """Call it; see `handled.Call`."""
        trace = self._book.traces.get(id(message))
        if trace is None:
            return await self._unsampled(message, id_, conclude)
        span = self._begin(trace)
        token = contexts.attach(set_span_in_context(span))
        try:
            routed = await self._call(message, id_, conclude)
        except BaseException as error:
            fail(span, type(error.__cause__ or error).__name__)
            if isinstance(error, TryAgain):
                error.told = trace_of_here()
            raise
        finally:
            contexts.detach(token)
            span.end()
        return self._sends(trace, routed)

    def _begin(self, trace: Trace) -> Span:
        trace.tries += 1
        told: Attributes = {FUNCTION: self.name, TRY: trace.tries}
        return self._book.tracing.tracer.start_span(
            f"handle {self.name}", trace.context, attributes=told
        )

    async def _unsampled(self, message: Message, id_: str, conclude: Conclude) -> Routed:
        """Let spans of the user's own be no more sampled than the message is."""
        context = read_context(message.headers) or SpanContext(
            getrandbits(64) << 64 | _NEVER_SAMPLED, getrandbits(64), is_remote=False
        )
        token = contexts.attach(set_span_in_context(NonRecordingSpan(context)))
        try:
            return await self._call(message, id_, conclude)
        finally:
            contexts.detach(token)
