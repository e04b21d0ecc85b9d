"""Ids of messages and deliveries: the same at every try and after every restart."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from gateway_lab.messages.headers import ID_HEADER
from gateway_lab.messages.message import Message

PLACE_SIZE: Final = 12
"""Bytes of the hash that stands for source, channel and partition."""

RANDOM_ID: Final = ("x-gw-id-kind", b"random")
"""Says of `x-gw-id` that the message has another one when it comes again."""

_OWN_SIZE: Final = 16

_MAX_REMEMBERED: Final = 10_000
NO_POSITIONS: Final = frozenset({"rabbitmq"})
"""Protocols whose positions are those of one connection: they name another message after it."""


class MessageIds:
    """Names the messages of one source by where they stand.

    The name of the source is in the id: two sources that read one channel are two deliveries, and
    a broker that deduplicates must not take the second for the first.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._places: dict[tuple[str, str, str | None], str] = {}

    def __call__(self, message: Message) -> str:
        """Return a hash and what lasts: its publisher's id, or the position; else what is random."""
        own = message.position
        if message.id is not None:
            own = blake2b(_encode([message.id]), digest_size=_OWN_SIZE).hexdigest()
        elif own is None or message.protocol in NO_POSITIONS:
            return secrets.token_hex(_OWN_SIZE)
        key = (message.broker, message.channel, message.partition)
        return (self._places.get(key) or self._begin(key, message)) + own

    def _begin(self, key: tuple[str, str, str | None], message: Message) -> str:
        """Hash what messages of one partition have in common, once."""
        if len(self._places) >= _MAX_REMEMBERED:
            self._places.clear()
        parts = (self._source, message.broker, message.protocol, message.channel, message.partition)
        place = blake2b(_encode(parts), digest_size=PLACE_SIZE).hexdigest()
        begun = self._places[key] = f"{place}-"
        return begun


def id_headers(id_: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that name a message; all ids that last have their place before a hyphen."""
    named = (ID_HEADER, id_.encode())
    return (named,) if "-" in id_ else (named, RANDOM_ID)


def way_suffix(*names: str | None) -> str:
    """Return what makes the id of a delivery from that of its message: the way, hashed once.

    Hashing per delivery would say no more: hash and suffix are of fixed length.
    """
    return "-" + blake2b(_encode(names), digest_size=8).hexdigest()


def _encode(parts: Iterable[str | None]) -> bytes:
    """Write texts so that no two lists are the same bytes."""
    return b"".join(
        b"\xff" if part is None else len(part.encode()).to_bytes(4, "big") + part.encode()
        for part in parts
    )
