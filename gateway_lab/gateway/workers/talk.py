"""What the parent of several processes and its workers say to each other: one JSON object a line."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from gateway_lab.gateway.counters import Stats

LONGEST_LINE: Final = 32 * 1024 * 1024
"""Bytes: a config of 1 MiB may grow when it is written inside JSON."""


class Text(msgspec.Struct, frozen=True):
    """A config, checked by the parent.

    Attributes:
        document: Its canonical form.
        digest: What the worker must find for it.
    """

    document: str
    digest: str


class Begin(msgspec.Struct, tag=True, frozen=True):
    """The first order.

    Attributes:
        number: Of the worker, from 0.
        member: Names the process among those that share the gateway's groups; may be empty.
        creates: Whether to create channels that are missing.
        record: Where to record to; None: nowhere.
        shows_private: Whether what is recorded has private values as they are.
        app: `module:gateway` whose functions run in it; empty: none do.
    """

    text: Text
    number: int
    member: str = ""
    creates: bool = False
    record: str | None = None
    shows_private: bool = False
    app: str = ""


class Prepare(msgspec.Struct, tag=True, frozen=True):
    """Look whether another config could be taken over, and keep it; `Prepared` is the answer."""

    text: Text


class Change(msgspec.Struct, tag=True, frozen=True):
    """Take over what was prepared."""


class Stop(msgspec.Struct, tag=True, frozen=True):
    """Finish what is in flight and end; `now` does not wait for it."""

    now: bool = False


class Books(msgspec.Struct, tag=True, frozen=True):
    """The books of a worker, now and then."""

    stats: Stats


class Logged(msgspec.Struct, tag=True, frozen=True):
    """A record of a worker's log, made safe: see `log_lines.py`."""

    level: int
    line: dict[str, str]


class Prepared(msgspec.Struct, tag=True, frozen=True):
    """Whether a config could be taken over; `problem` is empty if so."""

    problem: str = ""


class Refused(msgspec.Struct, tag=True, frozen=True):
    """The last word of a worker that cannot begin, as no other could."""

    problem: str


class Over(msgspec.Struct, tag=True, frozen=True):
    """The last word of a worker whose sources have all stopped by themselves."""


Order: TypeAlias = Begin | Prepare | Change | Stop
Answer: TypeAlias = Books | Logged | Prepared | Refused | Over

_ORDERS: Final[msgspec.json.Decoder[Order]] = msgspec.json.Decoder(Order)
_ANSWERS: Final[msgspec.json.Decoder[Answer]] = msgspec.json.Decoder(Answer)


def write(said: Order | Answer) -> bytes:
    """Return the line."""
    return msgspec.json.encode(said) + b"\n"


def is_whole(line: bytes) -> bool:
    """Say whether there is a line; who dies may leave a part of one."""
    return line.endswith(b"\n")


def read_order(line: bytes) -> Order:
    """Read what a parent wrote."""
    return _ORDERS.decode(line)


def read_answer(line: bytes) -> Answer:
    """Read what a worker wrote."""
    return _ANSWERS.decode(line)
