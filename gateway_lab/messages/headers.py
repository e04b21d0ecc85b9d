"""Message headers: an ordered list of names and bytes, looked up without regard to case."""

from __future__ import annotations

from typing import Final, TypeAlias

Headers: TypeAlias = tuple[tuple[str, bytes], ...]

CONTROL_PREFIX = "x-gw-"
"""Headers that begin so belong to the gateway: they never pass from a source to a target."""

ID_HEADER: Final = f"{CONTROL_PREFIX}id"
"""The gateway's name of a message."""

HOPS_HEADER: Final = f"{CONTROL_PREFIX}hops"
"""How many gateways a message has passed; left out at the first, where `x-gw-id` says as much."""

MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 8 * 1024
MAX_HEADERS_BYTES: Final = 32 * 1024
"""The most that pass of one message: headers, bytes of one value, bytes of all names and values."""

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_ROUTING: Final = frozenset({"cc", "bcc", "x-death", "x-delay", "reply-to", "reply_to"})
_CONTROL_PREFIXES: Final = (
    *(CONTROL_PREFIX, "nats-", "__connect.", "camel", "org.apache.camel"),
    *("x-first-death-", "x-last-death-", "kafka_reply"),
)


def is_control(name: str) -> bool:
    """Say whether a header tells a broker, a bridge or a client library what to do.

    Such headers come from whoever wrote the message, who may not tell them anything, also where
    they are harmless on the target's own broker: the next one down the line may obey.

    Args:
        name: In lower case.
    """
    return name in _ROUTING or name in _HOP_BY_HOP or name.startswith(_CONTROL_PREFIXES)


def header_text(headers: Headers, name: str) -> str | None:
    """Return the last value of a header as text; None when absent or not UTF-8.

    Args:
        headers: The headers of a message.
        name: The name in lower case; ASCII case of the stored names does not matter.
    """
    for stored, value in reversed(headers):
        if stored.lower() == name:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
    return None
