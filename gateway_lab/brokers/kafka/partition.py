"""What a member of a group reads from: its topics, its partitions, and what is to be committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from confluent_kafka import TopicPartition

from gateway_lab.brokers.kafka.watermark import Watermark


class Subscription(Protocol):
    """What a source reads from."""

    @property
    def is_fixed(self) -> bool:
        """Whether the topics stay the same."""

    def gone(self) -> list[str]:
        """Name the topics that are not there, of those given by name; none if nobody knows."""

    def topics(self) -> list[str] | None:
        """Return the topics there are now, from any thread; None if the broker is away."""


@dataclass(slots=True, eq=False)
class Partition:
    """A partition that this member has.

    Attributes:
        committed: The offset and the note that the broker has; None before the first time.
        promised: Up to which offset the broker's note speaks, and `said` the last that was sent.
        place: Topic and number as its messages have them.
    """

    topic: str
    number: int
    mark: Watermark
    committed: tuple[int, str] | None
    promised: int = 0
    said: int = 0
    place: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.topic, str(self.number)

    def uncommitted(self, ahead: int = 0) -> list[TopicPartition]:
        """Return what the broker does not have yet; `ahead` as in `Watermark.note_ahead`."""
        position, note = self.mark.position, self.mark.note_ahead(ahead)
        self.said = self.mark.end + ahead
        is_done = (position, note) == self.committed
        return [] if is_done else [TopicPartition(self.topic, self.number, position, note)]
