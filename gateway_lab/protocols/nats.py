"""NATS: subjects of dotted tokens, in a JetStream stream unless at-most-once is asked for."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import StringConstraints, model_validator

from gateway_lab.messages.headers import CONTROL_PREFIX
from gateway_lab.protocols.protocol import (
    KEY_HEADER,
    TIMESTAMP_HEADER,
    Carries,
    Delivery,
    Options,
    Order,
    Promise,
    Protocol,
    check_characters,
    check_length,
    check_prefixes,
    check_tokens,
)

CARRIES = Carries(
    key=KEY_HEADER,
    timestamp=TIMESTAMP_HEADER,
    binary=False,
    repeated=False,
    tombstone=False,
    channel_bytes=255,  # a line of the protocol has 4096 bytes; past that the server hangs up
    header_bytes=64 * 1024,
    body_bytes=1_048_576,  # with subject and headers
)

StreamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
"""A stream or durable consumer: a dot in it would be a token separator."""


class SourceOptions(Options):
    """Options of a source.

    Attributes:
        stream: The JetStream stream; left out: the one that holds the subject.
        durable: The durable consumer; left out: the name of the config and the source.
        delivery: `at_most_once` reads the subject as core NATS, without a stream.
    """

    stream: StreamName | None = None
    durable: StreamName | None = None
    delivery: Delivery = "at_least_once"

    @model_validator(mode="after")
    def _core_has_no_stream(self) -> SourceOptions:
        if self.delivery == "at_most_once" and (self.stream or self.durable):
            msg = "core NATS (at_most_once) has neither stream nor durable"
            raise ValueError(msg)
        return self


class TargetOptions(Options):
    """Options of a target.

    Attributes:
        stream: The stream that must take the message; left out: whichever has the subject.
        delivery: `at_most_once` publishes on core NATS, without a confirmation.
        order: `strict` costs speed: one unconfirmed message a key.
    """

    stream: StreamName | None = None
    delivery: Delivery = "at_least_once"
    order: Order = "pipelined"


_REFUSED = re.compile(r"[^!-~]|[*>]")
_REFUSED_IN_PATTERN = re.compile(r"[^!-~]")
_RESERVED = ("$", "_INBOX")


def check_channel(name: str) -> str | None:
    """Check a subject: 255 printable ASCII characters, whole tokens, no wildcard, not NATS' own."""
    return (
        check_length(name, CARRIES.channel_bytes)
        or check_characters(name, _REFUSED)
        or check_tokens(name)
        or check_prefixes(name, _RESERVED)
    )


def check_pattern(pattern: str) -> str | None:
    """Check a pattern of subjects: `*` is one whole token, `>` the rest at the end."""
    problem = (
        check_length(pattern, CARRIES.channel_bytes)
        or check_characters(pattern, _REFUSED_IN_PATTERN)
        or check_tokens(pattern)
        or check_prefixes(pattern, _RESERVED)
    )
    tokens = pattern.split(".")
    if problem:
        return problem
    if any(len(token) > 1 and re.search("[*>]", token) for token in tokens):
        return "a wildcard is a whole token: `orders.*`"
    if ">" in tokens[:-1]:
        return "`>` stands only at the end"
    if not re.search("[*>]", pattern):
        return "it has no wildcard: say `channel` instead of `pattern`"
    return "it takes in every subject, the server's own too" if tokens[0] == ">" else None


def matches(pattern: str, channel: str) -> bool:
    """Say whether a pattern takes a subject in; subjects of the server's own never match."""
    wanted, tokens = pattern.split("."), channel.split(".")
    if channel.startswith(_RESERVED):
        return False
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(
        each in {"*", token} for each, token in zip(wanted, tokens, strict=True)
    )


_NOT_IN_HEADER = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")  # a token of HTTP: nats-py insists


def check_header(name: str) -> str | None:
    """Check a header's name: letters, digits and the other characters of an HTTP token."""
    return check_length(name, 255) or check_characters(name, _NOT_IN_HEADER)


def is_control(name: str) -> bool:
    """Say whether a header belongs to the gateway or the server.

    With `Nats-Rollup`, `Nats-TTL` or `Nats-Expected-Stream` a stranger could purge a stream, let
    messages expire or make every publish fail.
    """
    return name.startswith((CONTROL_PREFIX, "nats-"))


PROMISE = Promise(
    place="stream and sequence",
    settled="acknowledged, and the server has answered that it knows (double ack)",
    confirmed="the stream's acknowledgement, of the stream that is expected if one is named",
    repeats="dropped by `Nats-Msg-Id` within the stream's `duplicate_window` (2 minutes)",
    fleeting=("core NATS",),
)

NATS = Protocol(
    name="nats",
    source_options=SourceOptions,
    target_options=TargetOptions,
    carries=CARRIES,
    promise=PROMISE,
    check_channel=check_channel,
    check_pattern=check_pattern,
    matches=matches,
    check_header=check_header,
    is_control=is_control,
)
