"""Kafka: topics; keys, repeated binary headers, times and tombstones are its own."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import re2

from gateway_lab.messages.headers import CONTROL_PREFIX
from gateway_lab.protocols.protocol import (
    BrokerName,
    Carries,
    Options,
    Promise,
    Protocol,
    check_characters,
    check_length,
    check_prefixes,
)

CARRIES = Carries(
    key="native",
    timestamp="native",
    binary=True,
    repeated=True,
    tombstone=True,
    channel_bytes=249,
    header_bytes=None,
    body_bytes=1_048_588,
)


class SourceOptions(Options):
    """Options of a source.

    Attributes:
        group: The consumer group; left out: the name of the config and the source.
    """

    group: BrokerName | None = None


class TargetOptions(Options):
    """Options of a target.

    Attributes:
        order: The idempotent producer keeps order at full speed, so there is one way only.
    """

    order: Literal["strict"] = "strict"


_REFUSED = re.compile(r"[^A-Za-z0-9._-]")


def check_channel(name: str) -> str | None:
    """Check a topic: letters, digits, dot, underscore, hyphen; 249 bytes; not one of Kafka's own."""
    if name in {".", ".."}:
        return "it is only dots"
    return (
        check_length(name, CARRIES.channel_bytes)
        or check_characters(name, _REFUSED)
        or check_prefixes(name, ("__",))
    )


_REFUSED_IN_PATTERN = re.compile(r"[^A-Za-z0-9._\[\]^$|()*+?\\-]")
_ESCAPE = re.compile(r"\\[^.]|\\$")


def check_pattern(pattern: str) -> str | None:
    r"""Check a regex of topics: `^…$`, of what all regex engines mean the same by.

    Alternatives need parentheses, since `^a|b$` also takes in `ab` and `xb`; the only escape is
    a dot's.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")):
        return "a pattern of topics is anchored: `^orders\\..*$`"
    problem = (
        check_length(pattern, CARRIES.channel_bytes)
        or check_characters(pattern, _REFUSED_IN_PATTERN)
        or ("the only escape is `\\.`" if _ESCAPE.search(pattern) else None)
    )
    if problem:
        return problem
    if _has_bare_alternative(pattern):
        return "alternatives stand in parentheses: `^(a|b)$`"
    return None if _compile(pattern) else "it is not a regular expression"


def matches(pattern: str, channel: str) -> bool:
    """Say whether a pattern takes a topic in; Kafka's own topics never match."""
    compiled = _compile(pattern)
    return bool(compiled and not channel.startswith("__") and compiled.fullmatch(channel))


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str] | None:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: re.Pattern[str] = re2.compile(pattern, options)
    except re2.error:
        return None
    return compiled


def _has_bare_alternative(pattern: str) -> bool:
    depth = 0
    for character in re.sub(r"\\.|\[[^\]]*\]", "", pattern):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "|" and depth == 0:
            return True
    return False


def check_header(name: str) -> str | None:
    """Check a header's name: any text of up to 255 bytes."""
    return check_length(name, 255)


def is_control(name: str) -> bool:
    """Say whether a header belongs to the gateway or Kafka Connect."""
    return name.startswith((CONTROL_PREFIX, "__connect."))


PROMISE = Promise(
    place="topic, partition and offset",
    settled="the offset below which all is done is committed, once a second and at the end",
    confirmed="all in-sync replicas have it (`acks=all`, idempotent producer)",
    repeats="stored again",
)

KAFKA = Protocol(
    name="kafka",
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
