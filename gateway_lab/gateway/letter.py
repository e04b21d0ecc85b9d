"""Dead letters read back: what happened, and the message as it was before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from gateway_lab.gateway.dead_letter import PREFIX, Kept
from gateway_lab.messages.headers import (
    CONTROL_PREFIX,
    HOPS_HEADER,
    ID_HEADER,
    Headers,
    header_text,
)
from gateway_lab.messages.message import Message

REPLAYS: Final = "replays"
RUN: Final = "run"
"""How often a letter's message was sent again, and by which run last."""

_decode = msgspec.json.Decoder(Kept).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a dead letter says; docs/dead-letters.md tells what each header means.

    Attributes:
        raw: The letter as it was read.
        id: The gateway's id of the message, the same for all of its deliveries and letters.
        router: None for the letter of a whole message, which no router could decide.
        target: A target of the config; `dead_letter` where a rule asked for a letter.
        replays: How often it was sent again before this letter was written.
        run: The run that wrote it; None if no redrive did.
    """

    raw: Message
    id: str
    source: str
    reason: str
    of_class: str
    router: str | None
    route: str | None
    target: str
    position: str
    attempts: int
    first: datetime
    last: datetime
    replays: int
    run: str | None


class Reopened(Message, frozen=True, kw_only=True, gc=False):
    """A message as it was when it failed, with its letter."""

    letter: Letter


def read_letter(raw: Message) -> Letter | None:
    """Return what a letter says; None of a message that is no letter of a gateway."""
    told = {name: _harmless(header_text(raw.headers, PREFIX + name)) for name in _NAMES}
    id_ = header_text(raw.headers, ID_HEADER)
    try:
        return Letter(
            raw=raw,
            id=_require(id_),
            source=_require(told["source"]),
            reason=told["reason"] or "",
            of_class=_require(told["class"]),
            router=told["router"],
            route=told["route"],
            target=_require(told["target"]),
            position=_require(told["position"]),
            attempts=int(told["attempts"] or 0),
            first=_moment(_require(told["first"])),
            last=_moment(_require(told["last"])),
            replays=int(told[REPLAYS] or 0),
            run=told[RUN],
        )
    except ValueError:
        return None


_NAMES: Final = (
    *("source", "reason", "class", "router", "route", "target", "position"),
    *("attempts", "first", "last", REPLAYS, RUN),
)


def reopen(letter: Letter, protocols: Mapping[str, str]) -> Reopened | None:
    """Make the message again; None if what was kept of it cannot be read.

    Args:
        letter: Its letter.
        protocols: Alias of a broker to its protocol.
    """
    raw = letter.raw
    told = {name: header_text(raw.headers, PREFIX + name) for name in ("kept", "timestamp", "id")}
    try:
        kept = _decode(told["kept"] or "{}")
        time = told["timestamp"] and _moment(told["timestamp"])
        received = _require(header_text(raw.headers, f"{PREFIX}received"))
        broker, channel, partition, position = _place(letter.position)
        return Reopened(
            body=None if kept.is_tombstone else raw.body,
            key=raw.key if kept.key is None else kept.key,
            headers=_headers(raw.headers, kept),
            timestamp=time or None,
            received=_moment(received),
            broker=broker,
            protocol=protocols.get(broker, ""),
            channel=channel,
            partition=partition,
            position=position,
            id=told["id"],
            letter=letter,
        )
    except (ValueError, msgspec.MsgspecError):
        return None


def _headers(written: Headers, kept: Kept) -> Headers:
    """Put what was kept back into its place."""
    headers = [
        each
        for each in written
        if (name := each[0].lower()) == HOPS_HEADER or not name.startswith(CONTROL_PREFIX)
    ]
    for index, name, value in kept.headers:
        headers.insert(index, (name, value))
    return tuple(headers)


def _place(position: str) -> tuple[str, str, str | None, str | None]:
    """Read `broker/channel/partition/position`; a channel may hold slashes itself."""
    broker, _, rest = position.partition("/")
    channel, partition, at = rest.rsplit("/", 2)
    return broker, channel, _unless_dash(partition), _unless_dash(at)


def _unless_dash(part: str) -> str | None:
    return None if part == "-" else part


def _harmless(text: str | None) -> str | None:
    """Blank what could move a cursor: anybody who may write to the channel may write letters."""
    if text is None or text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " for each in text)


def _moment(text: str) -> datetime:
    """Read a time; one of no zone cannot be compared with others, and no letter has it."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError
    return time


def _require(text: str | None) -> str:
    if not text:
        raise ValueError
    return text
