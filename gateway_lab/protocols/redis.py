"""Redis: streams whose entries hold `body` and one field a header; pub/sub if asked for."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway_lab.messages.headers import CONTROL_PREFIX
from gateway_lab.protocols.protocol import (
    KEY_HEADER,
    TIMESTAMP_HEADER,
    BrokerName,
    Carries,
    Delivery,
    Options,
    Promise,
    Protocol,
    check_characters,
    check_length,
    check_prefixes,
    no_pattern,
)

CARRIES = Carries(
    key=KEY_HEADER,
    timestamp=TIMESTAMP_HEADER,
    binary=True,
    repeated=False,
    tombstone=False,
    channel_bytes=256,
    header_bytes=None,
    body_bytes=512 * 1024 * 1024,
)

BODY_FIELD = "body"


Transport = Annotated[
    Literal["pubsub", "list"],
    Field(description="What stands in for a stream where `at_most_once` is declared."),
]


def _declare(delivery: str, transport: str) -> None:
    """Refuse a list that nobody has declared to lose messages."""
    if transport == "list" and delivery != "at_most_once":
        msg = "a list confirms nothing to its reader: say `delivery: at_most_once` as well"
        raise ValueError(msg)


class SourceOptions(Options):
    """Options of a source.

    Attributes:
        group: The consumer group; left out: the name of the config and the source.
        delivery: `at_most_once` reads a pub/sub channel instead of a stream.
        transport: With `at_most_once`: `list` reads a list instead.
    """

    group: BrokerName | None = None
    delivery: Delivery = "at_least_once"
    transport: Transport = "pubsub"

    @model_validator(mode="after")
    def _lists_are_declared(self) -> SourceOptions:
        _declare(self.delivery, self.transport)
        return self


class TargetOptions(Options):
    """Options of a target.

    Attributes:
        delivery: `at_most_once` publishes on a pub/sub channel instead of a stream.
        transport: With `at_most_once`: `list` appends to a list instead.
    """

    delivery: Delivery = "at_least_once"
    transport: Transport = "pubsub"

    @model_validator(mode="after")
    def _lists_are_declared(self) -> TargetOptions:
        _declare(self.delivery, self.transport)
        return self


_REFUSED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029*?]")


def check_channel(name: str) -> str | None:
    """Check a stream: 256 bytes without blanks and wildcards, not one of the server's own."""
    return (
        check_length(name, CARRIES.channel_bytes)
        or check_characters(name, _REFUSED)
        or check_prefixes(name, ("__",))
    )


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_header(name: str) -> str | None:
    """Check a header's name: a field of the entry, so it is not `body`."""
    if name == BODY_FIELD:
        return f"`{BODY_FIELD}` is the field of the body"
    return check_length(name, 255) or check_characters(name, _CONTROL)


def is_control(name: str) -> bool:
    """Say whether a header belongs to the gateway."""
    return name.startswith(CONTROL_PREFIX)


PROMISE = Promise(
    place="stream and entry id",
    settled="`XACK`",
    confirmed="the reply to `XADD`, in a transaction with the rest of its batch",
    repeats="stored again",
    fleeting=("Redis pub/sub", "Redis lists"),
)

REDIS = Protocol(
    name="redis",
    source_options=SourceOptions,
    target_options=TargetOptions,
    carries=CARRIES,
    promise=PROMISE,
    check_channel=check_channel,
    check_pattern=None,
    matches=no_pattern,
    check_header=check_header,
    is_control=is_control,
)
