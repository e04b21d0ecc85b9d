"""A bare client of Redis streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

from redis import Redis

from tests.live.carried import chunks, read_record, write_headers
from tests.live.script import Record

PAGE: Final = 1_000
BODY: Final = "body"


class BareRedis:
    """See `bare.Bare`."""

    def __init__(self, url: str, *, field: str = BODY) -> None:
        """Take an address, and the field that holds a body."""
        self._url, self._field = url, field

    def _connect(self) -> closing[Any]:
        return closing(Redis.from_url(self._url))

    def create(self, channels: Sequence[str]) -> None:
        with self._connect() as client:
            for each in channels:
                client.xgroup_create(each, "made", mkstream=True)
                client.xgroup_destroy(each, "made")

    def publish(self, channel: str, records: Iterable[tuple[int, Record]]) -> list[int]:
        confirmed: list[int] = []
        with self._connect() as client:
            for some in chunks(records, PAGE):
                pipeline = client.pipeline(transaction=False)
                for _, record in some:
                    pipeline.xadd(channel, {self._field: record.body, **write_headers(record)})
                answers = pipeline.execute(raise_on_error=False)
                confirmed += [
                    number
                    for (number, _), answer in zip(some, answers, strict=True)
                    if isinstance(answer, bytes)
                ]
        return confirmed

    def drain(self, channel: str) -> Iterator[Record]:
        with self._connect() as client:
            start = b"-"
            while page := client.xrange(channel, start, count=PAGE):
                for _, fields in page:
                    named = {name.decode(): value for name, value in fields.items()}
                    yield read_record(named.pop(self._field, b""), named)
                start = b"(" + page[-1][0]

    def is_held(self, channel: str) -> bool:
        del channel
        return False

    def lag(self, channel: str, group: str) -> int:
        """Count what is pending, and up to a page of what nobody has read.

        Redis' own number for the latter is not to be had, or wrong, once it has been restarted.
        """
        with self._connect() as client:
            for each in client.xinfo_groups(channel):
                if each["name"].decode() == group:
                    behind = b"(" + each["last-delivered-id"]
                    unread = client.xrange(channel, behind, count=PAGE)
                    return int(each["pending"]) + len(unread)
            return int(client.xlen(channel))
