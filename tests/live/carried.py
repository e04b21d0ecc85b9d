"""Key and time as headers, for brokers that have no place of their own for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from tests.live.script import Record

KEY, TIME = "x-gw-key", "x-gw-timestamp"

T = TypeVar("T")


def write_headers(record: Record) -> dict[str, bytes]:
    """Return all headers of a record, key and time among them."""
    headers = dict(record.headers)
    if record.key is not None:
        headers[KEY] = record.key
    if record.timestamp_ms is not None:
        time = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        headers[TIME] = time.isoformat(timespec="microseconds").encode()
    return headers


def read_record(body: bytes, headers: Mapping[str, bytes]) -> Record:
    """Read a record whose key and time are among its headers."""
    own = {name: value for name, value in headers.items() if name not in {KEY, TIME}}
    time = headers.get(TIME)
    at = round(datetime.fromisoformat(time.decode()).timestamp() * 1000) if time else None
    return Record(body, headers.get(KEY), tuple(own.items()), at)


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut into lists of at most `size`."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
