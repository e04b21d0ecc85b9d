"""A message of NATS as one of ours: key and time come out of their headers."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from nats.aio.msg import Msg

from gateway_lab.brokers.carried import read_time
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import KEY_HEADER, TIMESTAMP_HEADER

MESSAGE_ID: Final = "Nats-Msg-Id"
EXPECTED_STREAM: Final = "Nats-Expected-Stream"


def message_id(delivery: str, time: str, subject: str) -> str:
    """Write an id by which a stream knows a delivery again; it would take two subjects for one.

    Positions of a source that is made anew begin again: the time of the message tells them apart.
    """
    return f"{delivery}:{time}:{subject}"


def read_message(
    message: Msg,
    *,
    alias: str,
    received: datetime,
    stored: datetime | None = None,
    position: str | None = None,
) -> Message:
    """Read a message.

    Args:
        message: As nats-py gives it.
        alias: The broker's.
        received: Now.
        stored: When the stream took it in, UTC: its time, if it carries none.
        position: Its sequence in the stream.
    """
    key, timestamp = None, stored
    headers = message.headers or {}
    if headers:
        carried_key, carried_time = headers.pop(KEY_HEADER, None), headers.pop(TIMESTAMP_HEADER, "")
        key = carried_key.encode() if carried_key is not None else None
        timestamp = (read_time(carried_time) if carried_time else None) or stored
        headers.pop(EXPECTED_STREAM, None)
        if headers.get(MESSAGE_ID, "").endswith(f":{message.subject}"):  # a sink of ours wrote it
            del headers[MESSAGE_ID]
    return Message(
        body=message.data,
        key=key,
        headers=tuple([(name, value.encode()) for name, value in headers.items()]),
        timestamp=timestamp,
        received=received,
        broker=alias,
        protocol="nats",
        channel=message.subject,
        position=position,
    )
