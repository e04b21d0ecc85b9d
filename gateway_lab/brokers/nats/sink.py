"""Publishing to NATS: a batch goes out in one piece, and each answer of a stream is waited for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from gateway_lab.brokers.carried import write_time
from gateway_lab.brokers.contract import Failure, FailureClass, Outgoing
from gateway_lab.brokers.names import Names
from gateway_lab.brokers.nats.link import (
    ANSWER_LIMIT_S,
    AWAY,
    LOST,
    NO_ANSWER,
    Answer,
    Link,
    Session,
    is_no_responders,
)
from gateway_lab.brokers.nats.message import EXPECTED_STREAM, MESSAGE_ID, message_id
from gateway_lab.protocols.nats import CARRIES, NATS, TargetOptions
from gateway_lab.protocols.protocol import KEY_HEADER, NOT_PLAIN, TIMESTAMP_HEADER

PART: Final = 1_000
PARTS: Final = 4
"""A stream refuses what comes when 10,000 messages wait: so four thousands are on their way."""

_HEADER_BYTES = CARRIES.header_bytes or 0
_DEFAULTS = TargetOptions()


class NatsSink:
    """The sink of one connection."""

    sends_at_once = 1

    def __init__(self, link: Link) -> None:
        self._link = link
        self._names = Names(NATS)
        self._publishing = asyncio.Lock()
        self._parts = asyncio.Semaphore(PARTS)
        self._is_closed = False

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send a batch; see the contract."""
        session = self._link.session
        if session is None or self._is_closed:
            return [AWAY] * len(batch)
        flights: list[_Flight] = []
        try:
            async with self._publishing:  # batches that are sent at once keep their order
                for start in range(0, len(batch), PART):
                    await self._parts.acquire()
                    flight = _Flight(session, batch[start : start + PART])
                    flight.landed.add_done_callback(lambda _: self._parts.release())
                    flights.append(flight)
                    await self._publish(flight)
            for flight in flights:
                await flight.landed
        finally:
            for flight in flights:
                flight.lose(LOST)
        return [result for flight in flights for result in flight.results]

    async def close(self) -> None:
        """Send nothing more."""
        self._is_closed = True

    async def _publish(self, flight: _Flight) -> None:
        client = flight.session.client
        fleeting: list[int] = []
        for number, outgoing in enumerate(flight.batch):
            headers = self._headers(outgoing, client.max_payload)
            if isinstance(headers, Failure):
                flight.results[number] = headers
                continue
            options = outgoing.options if isinstance(outgoing.options, TargetOptions) else _DEFAULTS
            reply = ""
            if options.delivery == "at_most_once":
                fleeting.append(number)
            else:
                reply = flight.expect(number)
                if options.stream is not None:
                    headers[EXPECTED_STREAM] = options.stream
            try:
                await client.publish(outgoing.channel, outgoing.body or b"", reply, headers)
            except (errors.BadHeaderError, errors.BadSubjectError, errors.MaxPayloadError):
                flight.settle(number, Failure(FailureClass.PERMANENT, "nats-py refuses it"))
            except errors.Error:
                flight.lose(LOST)
        if fleeting:
            await _flush(client, fleeting, flight)
        flight.close()

    def _headers(self, outgoing: Outgoing, max_payload: int) -> dict[str, str] | Failure:
        """Write headers; what the server would hang up on is a failure."""
        if reason := self._names.refuse(outgoing):
            return Failure(FailureClass.PERMANENT, reason)
        try:
            headers = {name: value.decode() for name, value in outgoing.headers}
            if outgoing.key is not None:
                headers[KEY_HEADER] = outgoing.key.decode()
        except UnicodeDecodeError:
            return _NO_TEXT
        text = "".join(headers.values())
        is_suspect = " " in text or not text.isprintable()  # few are, so few are looked at
        if is_suspect and any(map(_not_plain, headers.values())):
            return _NO_TEXT
        time = ""
        if outgoing.timestamp is not None:
            time = headers[TIMESTAMP_HEADER] = write_time(outgoing.timestamp)
        headers[MESSAGE_ID] = message_id(outgoing.id, time, outgoing.channel)
        return _too_large(headers, len(outgoing.body or b""), max_payload) or headers


_not_plain = re.compile(NOT_PLAIN).search
_NO_TEXT = Failure(FailureClass.PERMANENT, "key or header is not plain text")


def _too_large(headers: Mapping[str, str], body: int, max_payload: int) -> Failure | None:
    """Refuse what is past a limit: the server ends the connection over it."""
    names, values = "".join(headers), "".join(headers.values())
    head = len("NATS/1.0\r\n\r\n") + len(": \r\n") * len(headers) + len(names)
    head += len(values) if values.isascii() else len(values.encode())
    if head > _HEADER_BYTES:
        reason = f"the headers are longer than {_HEADER_BYTES} bytes"
        return Failure(FailureClass.PERMANENT, reason)
    if head + body > max_payload:
        reason = f"headers and body are longer than {max_payload} bytes"
        return Failure(FailureClass.PERMANENT, reason)
    return None


async def _flush(client: Client, numbers: Iterable[int], flight: _Flight) -> None:
    """Wait until the server has read what is not confirmed otherwise."""
    try:
        await client.flush(int(ANSWER_LIMIT_S))
    except (errors.Error, OSError):
        for number in numbers:
            flight.results[number] = LOST


class _Flight:
    """Messages on their way.

    Attributes:
        results: One for each message; final once it has landed.
        landed: Done when each message has its result.
    """

    def __init__(self, session: Session, batch: Sequence[Outgoing]) -> None:
        loop = asyncio.get_running_loop()
        self.session, self.batch = session, batch
        self.results: list[Failure | None] = [None] * len(batch)
        self.landed: asyncio.Future[None] = loop.create_future()
        self._replies: dict[int, str] = {}
        self._is_whole = False
        self._left = 0
        self._timer = loop.call_later(ANSWER_LIMIT_S, self._check)

    def expect(self, number: int) -> str:
        """Wait for the answer to a message; return where it shall go."""
        reply = self.session.expect(self.batch[number].channel, partial(self._take, number))
        self._replies[number] = reply
        return reply

    def settle(self, number: int, result: Failure | None) -> None:
        """Take in a result."""
        self.results[number] = result
        self.session.forget(self._replies.pop(number, ""))
        self._land()

    def close(self) -> None:
        """Expect nothing more."""
        self._is_whole = True
        self._left = len(self._replies)
        self._land()

    def lose(self, failure: Failure) -> None:
        """Give up all answers that are not there."""
        self._is_whole = True
        for number in list(self._replies):
            self.settle(number, failure)
        self._land()

    def _take(self, number: int, answer: Answer) -> None:
        self.results[number] = answer if isinstance(answer, Failure) else _result(answer)
        del self._replies[number]
        if not self._replies:
            self._land()

    def _land(self) -> None:
        if self._is_whole and not self._replies and not self.landed.done():
            self._timer.cancel()
            self.landed.set_result(None)

    def _check(self) -> None:
        """Give up when none has come for a while."""
        if self._left == len(self._replies) > 0:
            self.lose(NO_ANSWER)
        elif not self.landed.done():
            self._left = len(self._replies)
            self._timer = asyncio.get_running_loop().call_later(ANSWER_LIMIT_S, self._check)


# --- what a stream answers ---


class _Error(msgspec.Struct, gc=False):
    code: int = 0
    err_code: int = 0


class _PubAck(msgspec.Struct, gc=False):
    """`duplicate` is not asked for: our ids name one delivery, so it is stored already."""

    stream: str = ""
    error: _Error | None = None


_decode = msgspec.json.Decoder(_PubAck).decode

_NO_STREAM = Failure(FailureClass.UNROUTABLE, "no stream has that subject")
_REASONS = {
    10054: Failure(FailureClass.PERMANENT, "it is larger than the stream allows"),
    10059: _NO_STREAM,
    10060: Failure(FailureClass.UNROUTABLE, "another stream has that subject"),
    10077: Failure(FailureClass.RETRYABLE, "the stream is full, or its disk"),
    10109: Failure(FailureClass.UNROUTABLE, "the stream is sealed"),
}
_MAY_PASS = frozenset({408, 429, 500, 503})


def _result(message: Msg) -> Failure | None:
    if is_no_responders(message):
        return _NO_STREAM
    try:
        ack = _decode(message.data)
    except msgspec.DecodeError:
        ack = _PubAck()
    if ack.stream and not ack.error:
        return None
    if ack.error is None:
        return Failure(FailureClass.UNROUTABLE, "somebody answers who is not a stream")
    if known := _REASONS.get(ack.error.err_code):
        return known
    kind = FailureClass.RETRYABLE if ack.error.code in _MAY_PASS else FailureClass.PERMANENT
    return Failure(kind, f"the stream refuses it (error {ack.error.err_code})")
