"""What waits for its next try, channel by channel; a waiting delivery holds up only its key."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway_lab.config.durations import duration_us
from gateway_lab.config.model import Retry
from gateway_lab.gateway.sending import Sending
from gateway_lab.messages.message import Message


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow, each with full jitter, so that many gateways do not knock at once."""

    initial_s: float
    factor: float
    longest_s: float

    @classmethod
    def of(cls, retry: Retry) -> Backoff:
        """Read what the config says."""
        initial, longest = duration_us(retry.initial), duration_us(retry.max)
        return cls(initial / 1e6, float(retry.factor), longest / 1e6)

    def pause(self, tries: int) -> float:
        """Return the seconds to wait after so many tries failed."""
        try:
            longest = min(self.longest_s, self.initial_s * self.factor ** (tries - 1))
        except OverflowError:  # it has grown for days
            longest = self.longest_s
        return random.uniform(0, longest)  # noqa: S311 - it only spreads load


OrderKey: TypeAlias = tuple[str, str | None, bytes]
"""Source channel, partition and key: what keeps its order on the way to one target channel."""


def order_key(message: Message) -> OrderKey | None:
    """Return whose order a source message keeps; None: without a key it has none."""
    return None if message.key is None else (message.channel, message.partition, message.key)


@dataclass(slots=True)
class _Waiting:
    """The deliveries to one channel that wait, in order, and the keys that they hold up.

    Attributes:
        keys: Key to how many of it wait that nothing has overtaken yet.
        due: When they are tried again, in the seconds of a clock; None while they are.
    """

    sendings: list[Sending] = field(default_factory=list)
    keys: dict[OrderKey | None, int] = field(default_factory=dict)
    tries: int = 0
    due: float | None = None


class Retries:
    """The deliveries of one lane that failed in a way that passes; it has no clock of its own."""

    def __init__(self, backoff: Backoff) -> None:
        self.backoff = backoff
        self._channels: dict[str, _Waiting] = {}

    def __bool__(self) -> bool:
        """Say whether anything waits."""
        return bool(self._channels)

    def pause(self, now: float) -> float | None:
        """Return the seconds until something is due; None if nothing waits."""
        due = [each.due for each in self._channels.values() if each.due is not None]
        return max(0.0, min(due) - now) if due else None

    def take_due(self, now: float) -> list[Sending]:
        """Return what is to be tried again, in order; its keys hold up nothing until it fails."""
        taken: list[Sending] = []
        for waiting in self._channels.values():
            if waiting.due is not None and waiting.due <= now:
                taken += waiting.sendings
                waiting.sendings, waiting.keys, waiting.due = [], {}, None
        return taken

    def holds(self, sending: Sending) -> bool:
        """Keep a delivery behind those of its key that wait, if there are any."""
        waiting = self._channels.get(sending.channel)
        key = order_key(sending.message)
        if waiting is None or key not in waiting.keys:
            return False
        waiting.sendings.append(sending)
        waiting.keys[key] += 1
        return True

    def overtaken_by(self, sending: Sending) -> int:
        """Count those of its key that were ahead of it and wait, each once."""
        waiting, key = self._channels.get(sending.channel), order_key(sending.message)
        if waiting is None or key not in waiting.keys:
            return 0
        number, waiting.keys[key] = waiting.keys[key], 0
        return number

    def failed(self, sending: Sending) -> None:
        """Keep a delivery for the next try."""
        waiting = self._channels.setdefault(sending.channel, _Waiting())
        waiting.sendings.append(sending)
        if key := order_key(sending.message):
            waiting.keys[key] = waiting.keys.get(key, 0) + 1

    def schedule(self, now: float) -> None:
        """Say when what has failed is due again, and forget channels that work again."""
        for channel, waiting in list(self._channels.items()):
            if not waiting.sendings:
                del self._channels[channel]
            elif waiting.due is None:
                waiting.tries += 1
                waiting.due = now + self.backoff.pause(waiting.tries)
