"""The books: what can become of a message in a router, and of a delivery.

Per router: matched + unmatched + invalid = messages in.
Per target: delivered + dropped + dead_lettered = deliveries.
Captured messages that no source reads are `no_source`, those whose handler did not run are
`not_replayed`: they are counted beside the books, and never guessed into them.
"""

from __future__ import annotations

from enum import StrEnum


class Result(StrEnum):
    """What became of a message in a router."""

    MATCHED = "matched"
    UNMATCHED = "unmatched"
    INVALID = "invalid"


class Outcome(StrEnum):
    """What became of a delivery: a message, a router and a target."""

    DELIVERED = "delivered"
    DROPPED = "dropped"
    DEAD_LETTERED = "dead_lettered"
