"""Names: of groups, and the judging of those that messages choose.

Each is judged before it is sent, once: what is illegal can end a connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway_lab.brokers.contract import Outgoing
from gateway_lab.protocols.protocol import Check, Protocol

REMEMBERED: Final = 10_000
"""Good names remembered of each kind; past that all are forgotten: messages choose them."""


def group_name(gateway: str, source: str) -> str:
    """Return the name of a group that no option names: two gateways do not share messages."""
    return ".".join(filter(None, (gateway, source)))


class Names:
    """The rules of one protocol, with a memory."""

    def __init__(self, protocol: Protocol) -> None:
        self._check_channel, self._check_header = protocol.check_channel, protocol.check_header
        self._channels: set[str] = set()
        self._headers: set[str] = set()

    def refuse(self, outgoing: Outgoing) -> str | None:
        """Say which name of a message is illegal and why; None if all are good."""
        channel = outgoing.channel
        if channel not in self._channels and (
            reason := _judge([channel], self._check_channel, self._channels)
        ):
            return f"illegal channel: {reason}"
        names = [name for name, _ in outgoing.headers]
        if not self._headers.issuperset(names) and (
            reason := _judge(names, self._check_header, self._headers)
        ):
            return f"illegal name of a header: {reason}"
        return None


def _judge(names: Iterable[str], check: Check, good: set[str]) -> str | None:
    for name in names:
        if reason := check(name):
            return reason
        if len(good) >= REMEMBERED:
            good.clear()
        good.add(name)
    return None
