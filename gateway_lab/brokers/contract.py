"""What a connector promises: the contract of every broker, live.

A connector is one file beside this one. It knows its client library and nothing of routes: it
reads messages, settles them, and sends messages with confirmation. `testing/connector_suite.py`
holds each connector to every sentence here.

Work is done in batches, so that awaits, counters and logs are paid per batch. Nothing here waits
to fill a batch: a batch is what has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from gateway_lab.config.plan import AddressPlan
from gateway_lab.errors import GatewayLabError
from gateway_lab.messages.message import Message


class FailureClass(StrEnum):
    """What a failure means for the message and the source; it decides what is done."""

    RETRYABLE = "retryable"
    """The broker is away, throttles, timed out or has no leader: try again, for ever."""

    PERMANENT = "permanent"
    """This message can never be sent there (too large, illegal channel, bad headers): dead letter."""

    UNROUTABLE = "unroutable"
    """There is no such channel: dead letter."""

    CONFIGURATION = "configuration"
    """Authentication, permission, a missing dead-letter channel: the source stops, red."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one message was not confirmed.

    Attributes:
        reason: One short sentence without secrets, addresses of hosts or parts of the message.
        is_ambiguous: True where the broker may have stored the message all the same (a timeout).
    """

    failure_class: FailureClass
    reason: str
    is_ambiguous: bool = False


class BrokerError(GatewayLabError):
    """A broker cannot be used at all; `failure` says of what class that is."""

    def __init__(self, failure: Failure, *, where: str = "", hint: str = "") -> None:
        self.failure = failure
        super().__init__(failure.reason, where=where, hint=hint)


@dataclass(frozen=True, slots=True)
class Place:
    """A channel, and how a config uses it.

    Attributes:
        channel: Its name, as the config has it.
        is_read: Whether a source reads it; else a target or dead letters are written to it.
        options: Of that source or target, in its protocol's `source_options` or
            `target_options`; None stands for the defaults.
    """

    channel: str
    is_read: bool = False
    options: object = None


Handle: TypeAlias = object
"""Names a message that was read, for `settle` and `give_back`; only its connector looks inside."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that have arrived, in the order of each partition.

    Attributes:
        messages: At least one.
        handles: One for each message.
        attempts: How often each was delivered before, as far as the broker knows; 0 at first.
    """

    messages: Sequence[Message]
    handles: Sequence[Handle]
    attempts: Sequence[int]


class Outgoing(msgspec.Struct, gc=False):
    """One message to send; a struct, since there is one a delivery and a dataclass costs 0.8 µs.

    Attributes:
        headers: In their order; a list where there are many messages, which Kafka's client needs.
        id: The same for the same delivery at every try, and for no other: brokers that can
            deduplicate use it.
        timestamp: Of the source message, UTC; carried where the protocol can.
        options: Of the target, in its protocol's `target_options`; None stands for the defaults.
    """

    channel: str
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    body: bytes | None
    timestamp: datetime | None
    id: str
    options: object = None


class Starts(Protocol):
    """What a source keeps with its broker of handlers that were started; it outlasts a crash.

    With it `Batch.attempts` counts unclean ends: a message that was under way, or may have been,
    when the process died. Every call is for messages that were read and are not settled.
    """

    def guard(self) -> None:
        """Begin to keep it: what is read from now on counts as under way, should we die."""

    async def begin(self, handles: Sequence[Handle]) -> None:
        """Count one end more of these, should we die; returns once the broker has it."""

    def failed(self, handle: Handle, tries: int) -> None:
        """Keep that a handler has failed so many times, by itself: it has ended no process."""

    def failures(self, handle: Handle) -> int:
        """Say how many tries had failed before this process read the message."""


class Source(Protocol):
    """Reads from some addresses of one broker as one member of a group."""

    @property
    def starts(self) -> Starts | None:
        """Keeps what handlers were started; None where the broker has no place for it."""

    @property
    def lost(self) -> int:
        """How many messages cannot be read any more that were to be, as far as the broker tells.

        They were deleted or trimmed before they were settled, or dropped where that is declared.
        """

    async def read(self, limit: int) -> Batch:
        """Wait for at least one message and return what has arrived, at most `limit`.

        What is read stays this source's until it is settled, given back or the source is closed;
        leases are renewed meanwhile. Messages that were read and never settled come again after a
        crash. A connection that was lost is made again here, with back-off, without an error.

        Raises:
            BrokerError: Only of class `configuration`.
        """

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Tell the broker that these are done; in any order, any number at once.

        Returns once the broker has it, or will have it by the next commit at latest (Kafka: one
        second, or `close`). A handle of a lost connection or partition is ignored: its message
        comes again.
        """

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Make unsettled messages come again soon, here or at another member."""

    async def close(self) -> None:
        """Commit what is settled, give back the rest, leave the group; never raises, never hangs."""


class Sink(Protocol):
    """Sends to any channel of one broker.

    Attributes:
        sends_at_once: How many sends may be under way at once: more than one where they keep the
            order in which they were begun, per channel and key, whatever fails.
    """

    sends_at_once: int

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send messages and wait for every answer: one for each, None is confirmed.

        Confirmed means that the broker stores it as durably as it stores anything (Kafka: all
        in-sync replicas; RabbitMQ: publisher confirm and not returned; NATS: stream
        acknowledgement; Redis: the reply). Never raises for a message; a lost connection is a
        retryable failure of each message without an answer. First occurrences keep the order of
        the batch per channel and key. Nothing is created on the broker.
        """

    async def close(self) -> None:
        """Send nothing more; never raises, never hangs."""


class Browser(Protocol):
    """Looks through channels and changes nothing: it joins no group, settles and makes nothing."""

    @property
    def has_caught_up(self) -> bool:
        """Whether everything was read that was there when it was opened."""

    async def read(self, limit: int) -> list[Message]:
        """Wait for messages, and return what comes next, in the order of each partition.

        None are returned at the one moment when it turns out that nothing more was there at the
        opening; after that it waits for what arrives. A connection that was lost is made again.

        Args:
            limit: How many at most, at least 1.

        Raises:
            BrokerError: Only of class `configuration`.
        """

    async def close(self) -> None:
        """Leave no trace; never raises, never hangs."""


class Broker(Protocol):
    """One connection alias: an address and what is opened on it."""

    alias: str
    protocol: str

    async def open(self) -> None:
        """Connect, waiting as long as the broker is away.

        Raises:
            BrokerError: Of class `configuration`: wrong credentials, no permission, not TLS.
        """

    async def source(self, name: str, addresses: Sequence[AddressPlan], options: object) -> Source:
        """Open a source; `name` is the source's in the config, and names group and durable.

        Raises:
            BrokerError: Of class `configuration`, such as a channel that is not there.
        """

    async def browser(
        self, addresses: Sequence[AddressPlan], options: object, *, from_start: bool = True
    ) -> Browser:
        """Open a browser; the caller closes it.

        Args:
            addresses: What to look through; a pattern stands for the channels there are now.
            options: Of the source, in its protocol's `source_options`.
            from_start: Whether to begin at the first message there is, else at the next to come.

        Raises:
            BrokerError: Of class `configuration`: a channel is not there, or nobody can look at
                its messages without taking them.
        """

    def sink(self) -> Sink:
        """Return the one sink of this connection."""

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """Return those that are not there; looking creates nothing.

        A place is there if what its options name is (queue, exchange, stream) and has the channel.
        What a protocol cannot be asked, such as the bindings of an exchange, counts as being there.
        """

    async def create(self, places: Sequence[Place]) -> None:
        """Create what is missing of places, durable; only ever called when the user asked for it.

        Raises:
            BrokerError: Of class `configuration`.
        """

    async def risks(self, places: Sequence[Place]) -> list[str]:
        """Say what in the broker's settings may lose messages there, in a sentence each.

        What this connection may not know is left out: it never raises for that.
        """

    async def close(self) -> None:
        """Close sources, sink and connection; never raises, never hangs, leaves no task behind."""
