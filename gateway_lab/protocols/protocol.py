"""What there is to know about a protocol without talking to a broker."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway_lab.messages.headers import CONTROL_PREFIX

Check: TypeAlias = Callable[[str], str | None]
"""Takes a name; returns why it is refused, None if it is good."""

BrokerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
"""A group, exchange, queue or stream that `options` name."""

KEY_HEADER = f"{CONTROL_PREFIX}key"
TIMESTAMP_HEADER = f"{CONTROL_PREFIX}timestamp"
"""Where the key and the time travel on a protocol that has no place of its own for them.

They are written and read by the gateway at the broker's edge: a message's headers never hold them.
"""


class Options(BaseModel):
    """Base of the options of a source or target: frozen, and a key not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Delivery = Annotated[
    Literal["at_least_once", "at_most_once"],
    Field(description="`at_most_once` chooses a transport that does not confirm."),
]
Order = Annotated[
    Literal["pipelined", "strict"],
    Field(description="`strict`: one unconfirmed message a key, so that none is overtaken."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carries:
    """What a message may hold on a protocol; docs/protocols.md is made from this.

    Attributes:
        key: `native`, or the header in which the gateway carries it.
        timestamp: Likewise.
        binary: Whether a header's value, and a key in a header, may be any bytes; else it must be
            text that `is_plain` takes.
        repeated: Whether a header's name may repeat; else the last value counts.
        tombstone: Whether a message may be without a body; else the body is empty.
        channel_bytes: The longest name of a channel, in UTF-8.
        header_bytes: The most that all headers of a message may take; None: no bound of their own.
        body_bytes: What a server accepts as it comes out of the box.
    """

    key: str
    timestamp: str
    binary: bool
    repeated: bool
    tombstone: bool
    channel_bytes: int
    header_bytes: int | None
    body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What holds for the delivery of messages; docs/delivery-guarantees.md is made from this.

    Attributes:
        place: What names a message for ever, so that it has the same id when it comes again.
        settled: How the broker is told that a message of a source is done.
        confirmed: What counts as the confirmation of a delivery.
        repeats: What becomes of a delivery that is sent twice.
        fleeting: Transports that `delivery: at_most_once` chooses, which confirm nothing.
    """

    place: str
    settled: str
    confirmed: str
    repeats: str
    fleeting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One protocol.

    Attributes:
        check_channel: The rule for a whole name, literal or rendered.
        check_pattern: The rule for a pattern; None where a source cannot have one.
        matches: Whether a pattern (that passed the rule) takes a channel in.
        check_header: The rule for the name of a header.
        is_control: Whether a header (name in lower case) belongs to the broker or the gateway;
            such a header never passes from a source to a target of this protocol.
    """

    name: str
    source_options: type[Options]
    target_options: type[Options]
    carries: Carries
    promise: Promise
    check_channel: Check
    check_pattern: Check | None
    matches: Callable[[str, str], bool]
    check_header: Check
    is_control: Callable[[str], bool]


# --- the rule for keys and headers where only text is carried ---

NOT_PLAIN: Final = r"[\x00-\x1f\x7f]|^\s|\s$"
"""What plain text does not hold, for Python's `re` and for Polars alike.

NATS drops blanks at the ends of a header's value, and turns line breaks into blanks: rather a
dead letter than another value.
"""

_search_not_plain = re.compile(NOT_PLAIN).search


def is_plain(value: bytes) -> bool:
    """Say whether a value is text without control characters and without blanks at its ends."""
    try:
        return not _search_not_plain(value.decode())
    except UnicodeDecodeError:
        return False


# --- the rule for values, the same for all protocols: docs/decisions/0006 says why ---

MAX_VALUE = 64

_VALUE = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_VALUE}}}\Z")


def check_value(value: str) -> str | None:
    """Say why a value of a message may not stand in the name of a channel; None if it may.

    The reason never shows the value: it may be private, and it is hostile.
    """
    if _VALUE.match(value):
        return None
    if not value:
        return "an empty value"
    if len(value) > MAX_VALUE:
        return f"a value of more than {MAX_VALUE} characters"
    bad = next(character for character in value if not _VALUE.match(character))
    return f"a value with {describe(bad)}"


# --- pieces that the rules of the protocols are made of ---

_WORDS = {
    ".": "a dot",
    " ": "a space",
    "*": "the wildcard `*`",
    "#": "the wildcard `#`",
    ">": "the wildcard `>`",
    "\0": "a NUL character",
    "\n": "a line break",
    "\r": "a line break",
    "\t": "a tab",
}


def describe(character: str) -> str:
    """Name a character that is refused, without showing what could harm a terminal or a log."""
    if character in _WORDS:
        return _WORDS[character]
    if character.isascii() and character.isprintable():
        return f"the character `{character}`"
    return f"the character U+{ord(character):04X}"


def check_length(name: str, limit: int) -> str | None:
    """Refuse a name that is empty or longer than `limit` bytes of UTF-8."""
    if not name:
        return "it is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not Unicode text"
    return f"it is {size} bytes long, at most {limit} are allowed" if size > limit else None


def check_characters(name: str, refused: re.Pattern[str]) -> str | None:
    """Refuse a name that holds one of the characters of a pattern."""
    found = refused.search(name)
    return f"it holds {describe(found[0])}" if found else None


def check_tokens(name: str, separator: str = ".") -> str | None:
    """Refuse a name with an empty token."""
    if "" in name.split(separator):
        return f"it has an empty token (`{separator}` at an end, or two in a row)"
    return None


def check_prefixes(name: str, reserved: tuple[str, ...]) -> str | None:
    """Refuse a name that begins as the broker's own do."""
    for prefix in reserved:
        if name.startswith(prefix):
            return f"names that begin with `{prefix}` belong to the broker"
    return None


def no_pattern(pattern: str, channel: str) -> bool:
    """Match nothing: for protocols on which a source cannot have a pattern."""
    del pattern, channel
    return False
