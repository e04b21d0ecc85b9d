"""Dead letters: the message as it came, and headers that say what happened to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing
from gateway_lab.config.plan import DeadLetterPlan, SourcePlan
from gateway_lab.gateway.ways import ID_HEADER, Way
from gateway_lab.messages.headers import CONTROL_PREFIX, Headers
from gateway_lab.messages.message import Message
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.render import compile_dead_letter
from gateway_lab.routing.routed import ROUTE_REASON, UNDECIDED_REASON, UNMATCHED_REASON
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.template import template_references

PREFIX: Final = "x-gw-dlq-"
MAX_REASON: Final = 1_000
"""Characters of a reason in a header."""

_RULES: Final = (ROUTE_REASON, UNMATCHED_REASON, UNDECIDED_REASON)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a letter is written.

    Attributes:
        of_class: A class of failure, `rule` (a rule asked for it) or `invalid`.
        attempts: Tries that failed; 0 if it was never sent.
        first: When the first try failed, and `last` the last; now if it was never sent.
    """

    reason: str
    of_class: str
    attempts: int = 0
    first: datetime | None = None
    last: datetime | None = None


def decided_cause(reason: str | None, way: Way) -> Cause:
    """Return the cause of a letter that was decided, not met with on the way."""
    reason = reason or ""
    if way.router is None:
        return Cause(reason=reason, of_class="invalid")
    is_rule = reason.partition(":")[0] in _RULES
    return Cause(reason=reason, of_class="rule" if is_rule else FailureClass.PERMANENT)


class Letters:
    """Writes the dead letters of one source."""

    def __init__(self, source: SourcePlan, config_digest: str) -> None:
        self._source, self._digest = source.name, config_digest
        self._plan = source.dead_letter
        if plan := source.dead_letter:
            inputs = template_references(plan.channel)
            self._look_up = compile_look_up(inputs, source.name)
            self._channel = compile_dead_letter(plan, inputs, name=f"source {source.name}")
            self._protocol = PROTOCOLS[plan.protocol]

    def write(self, message: Message, id_: str, way: Way, cause: Cause) -> tuple[str, Outgoing]:
        """Return the broker and the letter.

        Args:
            message: The source message, whose bytes, key and headers the letter keeps.
            id_: Its id.
            way: The delivery that failed, or the decision.
            cause: What happened.

        Raises:
            BrokerError: Of class `configuration`: the config has no dead letter.
        """
        plan = self._require(cause)
        carries = self._protocol.carries
        passed, left_out = self._passing(message)
        key = message.key
        if key is not None and not carries.binary and not _is_plain(key):
            key, left_out = None, ["key", *left_out]
        told = [(name, value) for name, value in self._told(message, way, cause, left_out) if value]
        headers = (
            *passed,
            (ID_HEADER, id_.encode()),
            *((PREFIX + name, _CONTROL.sub(" ", value).encode()) for name, value in told),
        )
        return plan.broker, Outgoing(
            channel=self._channel(self._look_up(message)),
            key=key,
            headers=headers,
            body=message.body if carries.tombstone else message.body or b"",
            timestamp=message.timestamp,
            id=id_ + way.letter_suffix,
        )

    def _require(self, cause: Cause) -> DeadLetterPlan:
        if self._plan is None:
            reason = f"a dead letter is due, but the config has no channel for it: {cause.reason}"
            raise BrokerError(
                Failure(FailureClass.CONFIGURATION, reason),
                where=f"source {self._source}",
                hint="say `dead_letter:` at the top of the config, or on the source",
            )
        return self._plan

    def _passing(self, message: Message) -> tuple[Headers, list[str]]:
        """Part the headers that the protocol can carry from the names of those it cannot."""
        protocol, passed, left_out = self._protocol, [], []
        for name, value in message.headers:
            lower = name.lower()
            if lower.startswith(CONTROL_PREFIX):
                continue
            is_carried = protocol.carries.binary or _is_plain(value)
            if is_carried and not protocol.is_control(lower) and not protocol.check_header(name):
                passed.append((name, value))
            else:
                left_out.append(name)
        return tuple(passed), left_out

    def _told(
        self, message: Message, way: Way, cause: Cause, left_out: list[str]
    ) -> Iterator[tuple[str, str | None]]:
        now = datetime.now(UTC)
        yield "reason", cause.reason[:MAX_REASON]
        yield "class", cause.of_class
        yield "source", self._source
        yield "router", way.router
        yield "route", way.route
        yield "target", way.target
        place = (message.broker, message.channel, message.partition, message.position)
        yield "position", "/".join(part or "-" for part in place)
        yield "attempts", str(cause.attempts)
        yield "first", (cause.first or now).isoformat(timespec="microseconds")
        yield "last", (cause.last or now).isoformat(timespec="microseconds")
        yield "config", self._digest
        yield "left-out", ", ".join(left_out)[:MAX_REASON]


def _is_plain(value: bytes) -> bool:
    try:
        return not _CONTROL.search(value.decode())
    except UnicodeDecodeError:
        return False
