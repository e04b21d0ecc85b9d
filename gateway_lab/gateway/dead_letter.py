"""Dead letters: the message as it came, and headers that say what happened to it.

What the letter's broker cannot carry in its place, such as a binary header on NATS, is kept in a
header of ours: `letter.py` makes the very same message of a letter again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing
from gateway_lab.config.plan import DeadLetterPlan, SourcePlan
from gateway_lab.gateway.ways import Way
from gateway_lab.messages.headers import (
    CONTROL_PREFIX,
    HOPS_HEADER,
    ID_HEADER,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    Headers,
)
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import is_plain
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.render import compile_dead_letter
from gateway_lab.routing.routed import ROUTE_REASON, UNDECIDED_REASON, UNMATCHED_REASON
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.template import template_references

PREFIX: Final = "x-gw-dlq-"
MAX_REASON: Final = 1_000
"""Characters of a reason in a header."""

MAX_KEPT: Final = 16 * 1024
"""Bytes of the header that keeps what has no other place: brokers bound a message's headers."""

_AHEAD: Final = timedelta(minutes=50)
"""A letter's time may be so far ahead; Kafka takes an hour, if nobody has set less or more."""

_RULES: Final = (ROUTE_REASON, UNMATCHED_REASON, UNDECIDED_REASON)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a letter is written.

    Attributes:
        of_class: A class of failure, `rule` (a rule asked for it) or `invalid`.
        attempts: Tries that failed; 0 if it was never sent.
        at_most: How many there may have been with those of earlier processes.
        first: When the first try failed, and `last` the last; now if it was never sent.
    """

    reason: str
    of_class: str
    attempts: int = 0
    at_most: int = 0
    first: datetime | None = None
    last: datetime | None = None


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a message the broker of its letter cannot carry, as JSON in a header.

    Attributes:
        headers: Each with its place among the headers of the message.
        is_tombstone: Whether the body is none, and not empty.
    """

    key: bytes | None = None
    headers: tuple[tuple[int, str, bytes], ...] = ()
    is_tombstone: bool = False


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
        plan, carries = self._require(cause), self._protocol.carries
        passed, kept, dropped = self._part(message)
        text, too_large = _encode(kept)
        key = message.key
        if kept.key is not None or "key" in dropped:
            key = None
        told = {
            **self._told(message, way, cause),
            "kept": text,
            "left-out": ", ".join([*dropped, *too_large])[:MAX_REASON],
        }
        headers = (
            *passed,
            (ID_HEADER, id_.encode()),
            *((PREFIX + name, _plain(value)) for name, value in told.items() if value),
        )
        return plan.broker, Outgoing(
            channel=self._channel(self._look_up(message)),
            key=key,
            headers=headers,
            body=message.body if carries.tombstone else message.body or b"",
            timestamp=_not_far_ahead(message.timestamp),
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

    def _part(self, message: Message) -> tuple[Headers, Kept, list[str]]:
        """Part what the letter's broker carries, what must be kept, and names of what is too much.

        Whoever writes messages chooses their headers: they must not be able to stop a source.
        """
        carries, own = self._protocol.carries, _own(message.headers)
        last = {name: index for index, (name, _) in enumerate(own)}
        passed, kept, dropped = [], [], []
        room = MAX_HEADERS_BYTES
        for index, (name, value) in enumerate(own):
            room -= len(name) + len(value)
            if index >= MAX_HEADERS or len(value) > MAX_HEADER_BYTES or room < 0:
                dropped.append(name)
            elif self._can_carry(name, value) and (carries.repeated or last[name] == index):
                passed.append((name, value))
            else:
                kept.append((index, name, value))
        key = self._kept_key(message.key, dropped)
        is_tombstone = message.body is None and not carries.tombstone
        return tuple(passed), Kept(key, tuple(kept), is_tombstone), dropped

    def _kept_key(self, key: bytes | None, dropped: list[str]) -> bytes | None:
        """Return a key that the broker cannot carry; one that is too large for a header is lost."""
        carries = self._protocol.carries
        if key is None or carries.key == "native":
            return None
        if len(key) > MAX_HEADER_BYTES:
            dropped.insert(0, "key")
            return None
        return None if carries.binary or is_plain(key) else key

    def _can_carry(self, name: str, value: bytes) -> bool:
        protocol = self._protocol
        if not (protocol.carries.binary or is_plain(value)):
            return False
        if name.lower() == HOPS_HEADER:
            return True
        return not protocol.is_control(name.lower()) and not protocol.check_header(name)

    def _told(self, message: Message, way: Way, cause: Cause) -> dict[str, str | None]:
        now, time = datetime.now(UTC), message.timestamp
        place = (message.broker, message.channel, message.partition, message.position)
        return {
            "reason": cause.reason[:MAX_REASON],
            "class": cause.of_class,
            "source": self._source,
            "router": way.router,
            "route": way.route,
            "target": way.target,
            "position": "/".join(part or "-" for part in place),
            "timestamp": None if time is None else _spell(time),
            "received": _spell(message.received),
            "id": message.id if len(message.id or "") <= MAX_REASON else None,
            "attempts": str(cause.attempts),
            "attempts-at-most": str(cause.at_most) if cause.at_most > cause.attempts else None,
            "first": _spell(cause.first or now),
            "last": _spell(cause.last or now),
            "config": self._digest,
        }


def _own(headers: Headers) -> Headers:
    """Leave out headers that are another gateway's own; those that end loops stay."""
    return tuple(
        each
        for each in headers
        if not (name := each[0].lower()).startswith(CONTROL_PREFIX)
        or name in {ID_HEADER, HOPS_HEADER}
    )


def _not_far_ahead(time: datetime | None) -> datetime | None:
    """Leave out a time that Kafka would refuse, so far ahead is it: a header has it all the same."""
    return None if time and time > datetime.now(UTC) + _AHEAD else time


def _spell(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _plain(value: str) -> bytes:
    """Make a text that every broker's headers carry."""
    return _CONTROL.sub(" ", value).strip().encode(errors="backslashreplace")


def _encode(kept: Kept) -> tuple[str, list[str]]:
    """Return what goes into the letter, and the names of what is too large for that."""
    if len(text := msgspec.json.encode(kept)) <= MAX_KEPT:
        return "" if kept == Kept() else text.decode(), []
    names = [*(["key"] if kept.key else []), *(name for _, name, _ in kept.headers)]
    return _encode(Kept(is_tombstone=kept.is_tombstone))[0], names
