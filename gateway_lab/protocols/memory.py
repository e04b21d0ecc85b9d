"""Memory: channels inside one process, for tests and examples; it carries everything."""

from __future__ import annotations

import re

from gateway_lab.messages.headers import CONTROL_PREFIX
from gateway_lab.protocols.protocol import (
    Carries,
    Options,
    Promise,
    Protocol,
    check_characters,
    check_length,
    check_prefixes,
    no_pattern,
)

CARRIES = Carries(
    key="native",
    timestamp="native",
    binary=True,
    repeated=True,
    tombstone=True,
    channel_bytes=255,
    header_bytes=None,
    body_bytes=1_048_576,
)


class SourceOptions(Options):
    """Options of a source: there are none."""


class TargetOptions(Options):
    """Options of a target: there are none."""


_REFUSED = re.compile(r"[^!-~]|[*#>]")


def check_channel(name: str) -> str | None:
    """Check a channel: 255 printable ASCII characters without wildcards."""
    return (
        check_length(name, CARRIES.channel_bytes)
        or check_characters(name, _REFUSED)
        or check_prefixes(name, ("__",))
    )


def check_header(name: str) -> str | None:
    """Check a header's name: any text of up to 255 bytes."""
    return check_length(name, 255)


def is_control(name: str) -> bool:
    """Say whether a header belongs to the gateway."""
    return name.startswith(CONTROL_PREFIX)


PROMISE = Promise(
    place="channel, partition and position",
    settled="forgotten",
    confirmed="it is stored, until the process ends",
    repeats="stored again",
)

MEMORY = Protocol(
    name="memory",
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
