"""What the clients of tests make of messages: key and time as the servers hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message

LIMIT_S = 60.0
AT_ONCE = 1_000
"""Messages under way at once."""

KEY, TIME = "x-gw-key", "x-gw-timestamp"

Fetched = dict[str, list[Message]]
"""Channel to what it holds."""


def a_message(
    body: bytes | None, key: bytes | None, headers: Headers, timestamp: datetime | None
) -> Message:
    return Message(
        body=body, key=key, headers=headers, timestamp=timestamp, received=datetime.now(UTC)
    )


def with_edge(message: Message) -> dict[str, bytes]:
    """Return the headers of a message, with key and time among them."""
    headers = dict(message.headers)
    if message.key is not None:
        headers[KEY] = message.key
    if message.timestamp is not None:
        headers[TIME] = message.timestamp.isoformat().encode()
    return headers


def without_edge(body: bytes | None, headers: dict[str, bytes]) -> Message:
    """Make a message of headers that have key and time among them."""
    key, time = headers.pop(KEY, None), headers.pop(TIME, None)
    timestamp = datetime.fromisoformat(time.decode()) if time else None
    return a_message(body, key, tuple(headers.items()), timestamp)


def chunks(messages: Sequence[Message]) -> Iterable[Sequence[Message]]:
    return (messages[at : at + AT_ONCE] for at in range(0, len(messages), AT_ONCE))
