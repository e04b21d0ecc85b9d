"""Looking through JetStream streams with consumers that vanish, acknowledge nothing, take nothing.

A stream that is a work queue has no such way: whatever reads a message there takes it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final

from nats import errors
from nats.aio.msg import Msg

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.looking import taking
from gateway_lab.brokers.nats.link import ANSWER_LIMIT_S, ApiError, Link, LostError, Session
from gateway_lab.brokers.nats.message import read_message
from gateway_lab.brokers.nats.source import CLOSE_LIMIT_S, REQUEST_S, Consumer
from gateway_lab.brokers.pauses import pauses
from gateway_lab.messages.message import Message

KEPT_S: Final = 300
"""How long the server keeps such a consumer that nobody asks any more."""


class _Look(Consumer):
    """A consumer that leaves no trace, and how far it has come.

    Attributes:
        left: Messages that were there at the opening and have not arrived.
        reached: The sequence of the last that arrived; 0 if none has.
    """

    def __init__(self, stream: str, subjects: Sequence[str], *, from_start: bool) -> None:
        super().__init__(stream, f"gateway-lab-{token_hex(8)}", subjects)
        self.left: int | None = None if from_start else 0
        self.reached = 0
        self._policy = "all" if from_start else "new"

    async def begin(self, session: Session) -> None:
        """Make it anew: at its beginning, or behind what has arrived."""
        info = await session.api(f"STREAM.INFO.{self.stream}")
        if info["config"].get("retention") == "workqueue":
            raise taking(f"work queue {self.stream}")
        self.durable = f"gateway-lab-{token_hex(8)}"
        config: dict[str, object] = {
            "name": self.durable,
            "ack_policy": "none",
            "deliver_policy": self._policy,
            "filter_subjects": self.subjects,
            "inactive_threshold": KEPT_S * 1_000_000_000,
            "mem_storage": True,
        }
        if self.reached:
            config |= {
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": self.reached + 1,
            }
        request = {"stream_name": self.stream, "config": config}
        made = await session.api(f"CONSUMER.CREATE.{self.stream}.{self.durable}", request)
        if self.left is None:
            self.left = made["num_pending"]
        elif self._policy == "new" and not self.reached:  # a new session begins no later
            self.reached = made["delivered"]["stream_seq"]
        self.is_troubled = False
        self.forget_requests()

    async def is_there(self, session: Session) -> bool:
        """Find out whether the server still has it."""
        try:
            await session.api(f"CONSUMER.INFO.{self.stream}.{self.durable}")
        except ApiError:
            return False
        self.is_troubled = False
        return True

    def arrived(self, sequence: int, pending: int) -> None:
        """Count a message."""
        self.reached = sequence
        self.left = max(0, (self.left or 0) - 1) if pending else 0

    def _end_request(self, status: Msg) -> None:
        """Take in that nothing came for a while: what was there at the opening may be deleted."""
        super()._end_request(status)
        if not self.is_troubled:
            self.left = 0

    async def vanish(self, session: Session) -> None:
        """Have the server forget it."""
        await self.drain()
        await session.api(f"CONSUMER.DELETE.{self.stream}.{self.durable}")


class NatsBrowser:
    """Looks through streams; see `contract.Browser`."""

    def __init__(
        self, link: Link, streams: Mapping[str, Sequence[str]], *, from_start: bool
    ) -> None:
        """Name what to look through.

        Args:
            link: To the broker.
            streams: Stream to the subjects of it.
            from_start: Whether to begin at the first message, else at the next that comes.
        """
        self._link = link
        self._looks = {
            stream: _Look(stream, subjects, from_start=from_start)
            for stream, subjects in streams.items()
        }
        self._arrived: deque[Msg] = deque()
        self._session: Session | None = None
        self._wake = asyncio.Event()
        self._is_closed = False

    @property
    def has_caught_up(self) -> bool:
        """Whether everything was read that was there at the opening."""
        return not self._arrived and all(each.left == 0 for each in self._looks.values())

    async def open(self) -> None:
        """Make the consumers.

        Raises:
            BrokerError: Of class `configuration`, such as a stream that is a work queue.
        """
        await self._link.insist(self._attach)

    async def _attach(self, session: Session) -> None:
        """Make the consumers that this session does not have, or that are gone."""
        is_new = session is not self._session
        for look in self._looks.values():
            if is_new or (look.is_troubled and not await look.is_there(session)):
                await look.begin(session)
            await look.attach(session, self._arrive)
        if is_new:
            session.at_end.append(self._wake.set)
        self._session = session

    async def read(self, limit: int) -> list[Message]:
        """Wait for messages; see the contract."""
        was_behind = not self.has_caught_up
        waits = pauses()
        while not self._is_closed:
            self._wake.clear()
            try:
                await self._ask_for(limit)
                if self._arrived or (was_behind and self.has_caught_up):
                    return self._taken(limit)
                async with asyncio.timeout(REQUEST_S + ANSWER_LIMIT_S):
                    await self._wake.wait()
            except TimeoutError:
                for look in self._looks.values():
                    look.forget_requests()
            except (LostError, errors.Error):
                await asyncio.sleep(next(waits))
        closed = Failure(FailureClass.CONFIGURATION, "the browser is closed")
        raise BrokerError(closed, where=self._link.alias)

    async def _ask_for(self, limit: int) -> None:
        await self._link.insist(self._attach)
        for look in self._looks.values():
            await look.request(limit, max(0, len(self._arrived) - limit))

    def _arrive(self, message: Msg) -> None:
        if message.reply:
            stream, sequence, _, pending = _metadata(message)
            self._looks[stream].arrived(sequence, pending)
            self._arrived.append(message)
        self._wake.set()

    def _taken(self, limit: int) -> list[Message]:
        received = datetime.now(UTC)
        taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        return [self._read(each, received) for each in taken]

    def _read(self, message: Msg, received: datetime) -> Message:
        _, sequence, nanoseconds, _ = _metadata(message)
        return read_message(
            message,
            alias=self._link.alias,
            received=received,
            stored=datetime.fromtimestamp(nanoseconds / 1e9, UTC),
            position=str(sequence),
        )

    async def close(self) -> None:
        """Have the server forget the consumers."""
        self._is_closed = True
        self._wake.set()
        if (session := self._link.session) is None or session is not self._session:
            return
        with suppress(errors.Error, LostError, ApiError, TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                for look in self._looks.values():
                    await look.vanish(session)


def _metadata(message: Msg) -> tuple[str, int, int, int]:
    """Read stream, sequence, time in nanoseconds and count of messages behind it.

    $JS.ACK.[domain.account.]stream.consumer.deliveries.sequence.….nanoseconds.pending…
    """
    tokens = message.reply.split(".")
    start = 2 if len(tokens) == 9 else 4
    stream, _, _, sequence, _, nanoseconds, pending = tokens[start : start + 7]
    return stream, int(sequence), int(nanoseconds), int(pending)
