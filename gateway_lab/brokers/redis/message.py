"""An entry of a Redis stream as a message of ours: key and time come out of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

from gateway_lab.brokers.carried import read_time
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import KEY_HEADER, TIMESTAMP_HEADER
from gateway_lab.protocols.redis import BODY_FIELD

Id: TypeAlias = bytes
Fields: TypeAlias = Sequence[bytes]
"""Names and values in turn."""

_BODY = BODY_FIELD.encode()
_KEY = KEY_HEADER.encode()
_TIME = TIMESTAMP_HEADER.encode()


def read_entry(alias: str, channel: str, id_: Id, fields: Fields, received: datetime) -> Message:
    """Read an entry.

    Args:
        alias: The broker's.
        channel: The stream, as the config has it.
        id_: The entry's.
        fields: What it holds.
        received: Now.
    """
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    body, key, time = named.pop(_BODY, None), named.pop(_KEY, None), named.pop(_TIME, None)
    position = id_.decode()
    return Message(
        body=body,
        key=key,
        headers=tuple([(_name(name), value) for name, value in named.items()]),
        timestamp=(read_time(time.decode(errors="replace")) if time else None)
        or _time_of(position),
        received=received,
        broker=alias,
        protocol="redis",
        channel=channel,
        position=position,
    )


def _name(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def _time_of(id_: str) -> datetime | None:
    """Return when the server took an entry in; None for ids that somebody chose."""
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(int(id_.partition("-")[0]) / 1000, UTC)
    return None
