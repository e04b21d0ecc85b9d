"""Spans that are made of when they are over, many at once.

One span in between costs four times as much as one of many: all that makes it has left the caches.
So what happens is noted, with the ids that a span will have, and a hundred times a second at most
the SDK makes spans of notes, in a row. Only where ids and sampling are decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import Any, Final, TypeAlias

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
)

AT_ONCE: Final = 64
"""Notes that spans are made of at once, which takes about a millisecond."""

LATEST_S: Final = 1.0
"""How long a note waits for others."""

Attributes: TypeAlias = Mapping[str, Any]
Given: TypeAlias = tuple[str, Context, SpanKind, Attributes]
"""Name, parent, kind and attributes of a span."""


class ChosenIds(IdGenerator):
    """Gives the SDK the ids that were chosen here.

    Attributes:
        trace_id: Of the next trace.
        span_id: Of the next span; 0: any.
    """

    def __init__(self, ids: IdGenerator) -> None:
        self._ids, self.trace_id, self.span_id = ids, 0, 0

    def generate_span_id(self) -> int:
        """Return the id of a span."""
        chosen, self.span_id = self.span_id, 0
        return chosen or self._ids.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return the id that was chosen."""
        return self.trace_id

    def is_trace_id_random(self) -> bool:
        """Say what W3C asks for: the lower 7 bytes are as random as a sampled trace's can be."""
        return True


class LateSpan(NonRecordingSpan):
    """A note of a span; it can be the parent of others."""

    def __init__(
        self, context: SpanContext, late: Late, given: Given, links: Sequence[Link] = ()
    ) -> None:
        super().__init__(context)
        self._late, self._given, self._links = late, given, links
        self._begun, self._ended = time_ns(), 0
        self._more: dict[str, Any] = {}
        self._events: list[tuple[str, Attributes, int]] = []
        self._is_error = False

    def is_recording(self) -> bool:
        """Say whether it goes on."""
        return not self._ended

    def set_attribute(self, key: str, value: Any) -> None:
        """Note one more attribute."""
        self._more[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Note more attributes."""
        self._more.update(attributes)

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        """Note an event."""
        self._events.append((name, attributes or {}, timestamp or time_ns()))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Note an error; nothing else is ever said."""
        del description
        self._is_error = status is StatusCode.ERROR

    def end(self, end_time: int | None = None) -> None:
        """Note the end."""
        if not self._ended:
            self._ended = end_time or time_ns()
            self._late.put(self)

    def make(self, tracer: Tracer, ids: ChosenIds) -> None:
        """Let the SDK make the span."""
        context = self.get_span_context()
        ids.trace_id, ids.span_id = context.trace_id, context.span_id
        name, parent, kind, attributes = self._given
        told = {**attributes, **self._more} if self._more else attributes
        span: Span = tracer.start_span(name, parent, kind, told, self._links, self._begun)
        for event in self._events:
            span.add_event(*event)
        if self._is_error:
            span.set_status(StatusCode.ERROR)
        span.end(self._ended)


class Late:
    """The notes that no spans were made of yet."""

    def __init__(self, tracer: Tracer, ids: ChosenIds) -> None:
        self._tracer, self._ids = tracer, ids
        self._notes: list[LateSpan] = []
        self._timer: asyncio.TimerHandle | None = None

    def put(self, note: LateSpan) -> None:
        """Take a note of what is over."""
        self._notes.append(note)
        if len(self._notes) >= AT_ONCE:
            self.make()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATEST_S, self.make)

    def make(self) -> None:
        """Make the spans."""
        if self._timer:
            self._timer.cancel()
        notes, self._notes, self._timer = self._notes, [], None
        for each in notes:
            each.make(self._tracer, self._ids)
