"""Messages made by hand: for the tests of a config, for `explain`, for proof's witnesses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gateway_lab.config.plan import SourcePlan
from gateway_lab.errors import ReplayError
from gateway_lab.events.timestamps import parse_date_time
from gateway_lab.messages.message import Message
from gateway_lab.rules.fill import EPOCH


def encode_event(event: Any) -> bytes:
    """Write an event as the body of a message.

    Raises:
        ReplayError: It holds something that JSON cannot, such as NaN or a set.
    """
    try:
        text = json.dumps(event, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"the event cannot be written as JSON: {error}"
        raise ReplayError(problem, hint="an event is a dict of JSON values") from None


def make_message(
    source: SourcePlan,
    body: bytes | None,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timestamp: str | None = None,
    channel: str | None = None,
) -> Message:
    """Make a message as if it came from the first address of a source.

    Args:
        source: Whose message it is.
        body: None makes a tombstone.
        key: Its key, as text.
        headers: Its headers, as text.
        timestamp: RFC 3339; also when it was received. Left out: received in 1970, there is no
            clock here.
        channel: Left out: the channel (or pattern) of the first address.

    Raises:
        ReplayError: The timestamp is not RFC 3339.
    """
    address = next(
        (each for each in source.addresses if channel is not None and each.channel == channel),
        source.addresses[0],
    )
    time = None if timestamp is None else _read_time(timestamp)
    return Message(
        body=body,
        key=None if key is None else key.encode(),
        headers=tuple((name, value.encode()) for name, value in (headers or {}).items()),
        timestamp=time,
        received=time or EPOCH,
        broker=address.broker,
        protocol=address.protocol,
        channel=channel or address.channel or address.pattern or "",
    )


def _read_time(text: str) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=parse_date_time(text))
    except ValueError:
        problem = f"{text!r} is not a timestamp"
        raise ReplayError(problem, hint="write it like 2026-01-31T12:00:00Z") from None
