"""Ids of messages and deliveries: the same at every try and after every restart."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from gateway_lab.messages.message import Message

DIGEST_SIZE: Final = 16
"""Bytes of an id: 128 bits."""

_MAX_REMEMBERED: Final = 10_000
_NO_POSITIONS: Final = frozenset({"rabbitmq"})
"""Protocols whose positions are those of one connection: they name another message after it."""


class MessageIds:
    """Names the messages of one source by where they stand.

    The name of the source is in the id: two sources that read one channel are two deliveries, and
    a broker that deduplicates must not take the second for the first.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._places: dict[tuple[str, str, str | None], blake2b] = {}

    def __call__(self, message: Message) -> str:
        """Return 32 hex digits; random where a message has no position that lasts."""
        position = message.position
        if position is None or message.protocol in _NO_POSITIONS:
            return secrets.token_hex(DIGEST_SIZE)
        key = (message.broker, message.channel, message.partition)
        place = self._places.get(key) or self._begin(key, message)
        digest = place.copy()
        digest.update(position.encode())
        return digest.hexdigest()

    def _begin(self, key: tuple[str, str, str | None], message: Message) -> blake2b:
        """Hash what messages of one partition have in common, once."""
        if len(self._places) >= _MAX_REMEMBERED:
            self._places.clear()
        parts = (self._source, message.broker, message.protocol, message.channel, message.partition)
        begun = self._places[key] = blake2b(_encode(parts), digest_size=DIGEST_SIZE)
        return begun


def way_suffix(*names: str | None) -> str:
    """Return what makes the id of a delivery from that of its message: the way, hashed once.

    Hashing per delivery would say no more: the two parts are of fixed length.
    """
    return "-" + blake2b(_encode(names), digest_size=8).hexdigest()


def _encode(parts: Iterable[str | None]) -> bytes:
    """Write texts so that no two lists are the same bytes."""
    return b"".join(
        b"\xff" if part is None else len(part.encode()).to_bytes(4, "big") + part.encode()
        for part in parts
    )
