"""What a test of delivery publishes: messages that can be told from their number alone.

Nothing has to be remembered of a million messages: body, key, headers and time of each come from
the seed and its number, so whatever arrives can be compared byte by byte.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

Headers = tuple[tuple[str, bytes], ...]

PLAIN, BOTH, PARKED, BROKEN = "plain", "both", "parked", "broken"
OUT, SECOND, LETTERS = "out", "second", "letters"

WAYS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        PLAIN: {OUT: ""},
        BOTH: {OUT: "", SECOND: ""},
        PARKED: {LETTERS: "rule"},
        BROKEN: {LETTERS: "invalid"},
    }
)
"""Kind of message to where it goes, and the class of its letter there."""

MIXED: Final = (PLAIN, BOTH, PLAIN, PARKED, PLAIN, BOTH, BROKEN)
"""Kinds in turn; seven of them, so that each key has all."""

_WRITTEN = re.compile(
    rb'\{"id":"(\d{10})","kind":"[a-z]+","data":"[0-9a-f]+","crc":"([0-9a-f]{8})"'
)


@dataclass(frozen=True, slots=True)
class Record:
    """One message as it is published, and as it arrives.

    Attributes:
        timestamp_ms: Unix time; None if it has none.
    """

    body: bytes
    key: bytes | None
    headers: Headers
    timestamp_ms: int | None


@dataclass(frozen=True, slots=True)
class Script:
    """The messages of one test; `seq` of a key is `number // keys`, so it grows with the number.

    Attributes:
        mix: The kinds that take turns.
        began_ms: The time of message 0; each is a millisecond later. Now: brokers delete what is
            old.
    """

    seed: int
    count: int
    keys: int = 16
    mix: tuple[str, ...] = (PLAIN,)
    began_ms: int = field(default_factory=lambda: int(datetime.now(UTC).timestamp() * 1000))

    def kind(self, number: int) -> str:
        """Return what the rules do with a message."""
        return self.mix[number % len(self.mix)]

    def key(self, number: int) -> bytes:
        """Return whose order it keeps."""
        return b"key-%d" % (number % self.keys)

    def body(self, number: int) -> bytes:
        """Write a body: its number, bytes of the seed, and a sum over both."""
        kind = self.kind(number)
        seeded = blake2b(b"%d/%d" % (self.seed, number), digest_size=24).hexdigest()
        written = f'{{"id":"{number:010}","kind":"{kind}","data":"{seeded}"'.encode()
        end = b"" if kind == BROKEN else b"}"
        return written + b',"crc":"%08x"' % zlib.crc32(written) + end

    def record(self, number: int) -> Record:
        """Return a message as it is published."""
        headers = (("ledger-number", b"%d" % number), ("ledger-seed", b"%d" % self.seed))
        return Record(self.body(number), self.key(number), headers, self.began_ms + number)

    def records(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, Record]]:
        """Give messages in turn, with their numbers."""
        for number in range(start, self.count if end is None else end):
            yield number, self.record(number)


def number_of(body: bytes) -> int | None:
    """Read the number of a body; None if nobody here wrote it."""
    found = _WRITTEN.match(body)
    return int(found[1]) if found else None


def is_whole(body: bytes) -> bool:
    """Say whether a body's sum is right."""
    found = _WRITTEN.match(body)
    if found is None:
        return False
    return zlib.crc32(body[: found.start(2) - len(',"crc":"')]) == int(found[2], 16)
