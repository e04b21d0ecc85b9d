"""Which messages are traced, decided before anything is made of it.

Asking an SDK costs some microseconds a message, as much as deciding where the message goes. The
samplers that the standard names are one comparison, so that comparison is made here; the SDK's own
sampler then agrees. Any other sampler is asked for each message.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import getrandbits, randrange
from typing import Final, TypeAlias

from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, TraceIdRatioBased
from opentelemetry.trace import SpanContext, TraceFlags, Tracer, TraceState

from gateway_lab.gateway.telemetry.late import ChosenIds
from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message

PARENT_HEADER: Final = "traceparent"
STATE_HEADER: Final = "tracestate"

_NAMES: Final = frozenset({PARENT_HEADER, STATE_HEADER})
_LOW: Final = (1 << 64) - 1
_ROOT: Final = r"(?:Always(On|Off)Sampler|TraceIdRatioBased\{([0-9.e+-]+)\})"
_FLAG: Final = (
    rf"ParentBased\{{root:{_ROOT},remoteParentSampled:AlwaysOnSampler,"
    r"remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,"
    r"localParentNotSampled:AlwaysOffSampler\}"
)
_PARENT: Final = re.compile(
    rb"(?:00(?=.{53}\Z)|(?!00|ff)[0-9a-f]{2})-"
    rb"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?\Z"
)
"""Version 00 ends there; of later ones that much is known."""

_MEMBER: Final = (
    rb"[a-z][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?="
    rb"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_STATE: Final = re.compile(rb"%b(?:,%b){0,31}" % (_MEMBER, _MEMBER))
"""What of vendors passes on; the SDK would log what it cannot read, and others write it."""

MAX_STATE: Final = 512
"""Bytes of it, as for headers that pass."""

Wanted: TypeAlias = Iterator[tuple[int, "SpanContext | int"]]
"""Places of messages that are traced, with their parents, or the ids of the traces they begin."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A sampler in one comparison.

    Attributes:
        bound: A trace is sampled if the lower half of its id is less.
        follows: Whether a message with a trace is sampled as that says, not by its id.
    """

    bound: int
    follows: bool

    def wanted(self, messages: Sequence[Message]) -> Wanted:
        """Choose among messages."""
        bound = self.bound
        for index, message in enumerate(messages):
            parent = None
            for name, value in message.headers:
                if len(name) == 11 and name.lower() == PARENT_HEADER:
                    parent = value
            if parent is None:
                low = getrandbits(64)
                if low < bound:
                    yield index, getrandbits(64) << 64 | low
            elif self._takes(parent):
                yield index, read_context(message.headers) or self.root()

    def _takes(self, parent: bytes) -> bool:
        """Choose a message that has a trace; one that makes no sense is none."""
        found = _PARENT.match(parent)
        if found is None:
            return getrandbits(64) < self.bound
        if self.follows:
            return bool(int(found[3], 16) & 1)
        return int(found[1], 16) & _LOW < self.bound

    def root(self) -> int:
        """Return the id of a trace that is sampled, 0 if none ever is."""
        return getrandbits(64) << 64 | randrange(self.bound) if self.bound else 0  # noqa: S311


class AskEach:
    """Stands for a sampler that only the SDK knows: it decides when the span begins."""

    bound = _LOW + 1

    def wanted(self, messages: Sequence[Message]) -> Wanted:
        """Choose them all."""
        for index, message in enumerate(messages):
            yield index, read_context(message.headers) or getrandbits(128)

    def root(self) -> int:
        """Return any id."""
        return getrandbits(128)


def rule_of(tracer: Tracer) -> Rule | AskEach:
    """Read the rule from how a sampler describes itself."""
    sampler = getattr(tracer, "sampler", None)
    description = sampler.get_description() if sampler else ""
    for pattern, follows in ((_ROOT, False), (_FLAG, True)):
        if found := re.fullmatch(pattern, description):
            rate = float(found[2]) if found[2] else float(found[1] == "On")
            return Rule(TraceIdRatioBased.get_bound_for_rate(rate), follows)
    return AskEach()


def deciding(tracer: Tracer) -> tuple[Tracer, ChosenIds] | None:
    """Return a tracer of our own that begins what was chosen here, with chosen ids.

    None: it is not the SDK's, or its sampler has to be asked.
    """
    if not isinstance(tracer, SdkTracer) or not isinstance(rule_of(tracer), Rule):
        return None
    own = copy.copy(tracer)
    own.sampler = ALWAYS_ON
    ids = own.id_generator = ChosenIds(tracer.id_generator)
    return own, ids


# --- W3C Trace Context, https://www.w3.org/TR/trace-context/ ---


def read_context(headers: Headers) -> SpanContext | None:
    """Read the trace that a message belongs to; None: it has none, or one that makes no sense."""
    found, state = None, b""
    for name, value in headers:
        lower = name.lower()
        if lower == PARENT_HEADER:
            found = _PARENT.match(value)
        elif lower == STATE_HEADER:
            state = value
    if found is None:
        return None
    return SpanContext(
        int(found[1], 16),
        int(found[2], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(found[3], 16)),
        trace_state=_read_state(state),
    )


def _read_state(state: bytes) -> TraceState | None:
    if not state or len(state) > MAX_STATE or not _STATE.fullmatch(state):
        return None
    return TraceState.from_header([state.decode("ascii")])


def with_context(headers: Headers, context: SpanContext) -> Headers:
    """Return headers that name a span in place of the trace that they named before."""
    kept = [each for each in headers if each[0].lower() not in _NAMES]
    parent = b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)
    kept.append((PARENT_HEADER, parent))
    if context.trace_state:
        kept.append((STATE_HEADER, context.trace_state.to_header().encode()))
    return tuple(kept)
