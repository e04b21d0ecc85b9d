"""Sending to Redis: a batch is a transaction, so that nothing is stored before what is ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from redis import exceptions as errors

from gateway_lab.brokers.carried import write_time
from gateway_lab.brokers.contract import Failure, FailureClass, Outgoing
from gateway_lab.brokers.names import Names
from gateway_lab.brokers.redis.line import Line, LostError, Reply, failure_of, pack
from gateway_lab.protocols.protocol import KEY_HEADER, TIMESTAMP_HEADER
from gateway_lab.protocols.redis import BODY_FIELD, CARRIES, REDIS, TargetOptions

MESSAGES: Final = 1_000
BYTES: Final = 16 * 1024 * 1024
"""Bounds of one transaction: the server holds it in memory and does nothing else meanwhile."""

_BODY = BODY_FIELD.encode()
_KEY = KEY_HEADER.encode()
_TIME = TIMESTAMP_HEADER.encode()
_MULTI, _EXEC = pack(b"MULTI"), pack(b"EXEC")

Results = dict[int, Failure | None]


class RedisSink:
    """The sink of one connection.

    Attributes:
        longest_bytes: The longest body or header; a server hangs up when it gets a longer one.
    """

    sends_at_once = 1

    def __init__(self, line: Line) -> None:
        self.longest_bytes = CARRIES.body_bytes
        self._line = line
        self._names = Names(REDIS)
        self._is_closed = False

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send a batch; see the contract."""
        results: Results = {}
        packed: dict[int, bytes] = {}
        for number, outgoing in enumerate(batch):
            command = self._pack(outgoing)
            if isinstance(command, Failure):
                results[number] = command
            else:
                packed[number] = command
        stop: Failure | None = None
        for part in _parts(packed):
            stop = await self._transact(part, results)
            if stop:
                break
        return [results.get(number, stop) for number in range(len(batch))]

    async def close(self) -> None:
        """Send nothing more."""
        self._is_closed = True

    def _pack(self, outgoing: Outgoing) -> bytes | Failure:
        if reason := self._names.refuse(outgoing):
            return Failure(FailureClass.PERMANENT, reason)
        words = _command(outgoing)
        if max(map(len, words)) > self.longest_bytes:
            reason = f"body or header is longer than {self.longest_bytes} bytes"
            return Failure(FailureClass.PERMANENT, reason)
        return pack(*words)

    async def _transact(self, part: Mapping[int, bytes], results: Results) -> Failure | None:
        """Carry out a transaction; what it returns is for all that has no result then.

        A command that is refused while it is queued aborts all: the others are sent once more,
        without it, unless the reason is one that may pass.
        """
        while part and not self._is_closed:
            request = b"".join([_MULTI, *part.values(), _EXEC])
            try:
                _, *queued, done = await self._line.exchange(request, len(part) + 2)
            except LostError as lost:
                return lost.failure
            if isinstance(done, list):
                results.update(zip(part, map(_result, done), strict=True))
                return None
            refused = _refused(part, queued)
            results.update(refused)
            for failure in refused.values() or [failure_of(done)]:
                if failure.failure_class is FailureClass.RETRYABLE or not refused:
                    return failure
            part = {number: command for number, command in part.items() if number not in refused}
        return Failure(FailureClass.RETRYABLE, "the connection is closed") if part else None


def _command(outgoing: Outgoing) -> list[bytes]:
    """Write a message as the words of a command."""
    options = outgoing.options
    if isinstance(options, TargetOptions) and options.delivery == "at_most_once":
        command = b"RPUSH" if options.transport == "list" else b"PUBLISH"
        return [command, outgoing.channel.encode(), outgoing.body or b""]
    fields = {name.encode(): value for name, value in outgoing.headers}
    if outgoing.key is not None:
        fields[_KEY] = outgoing.key
    if outgoing.timestamp is not None:
        fields[_TIME] = write_time(outgoing.timestamp).encode()
    words = [b"XADD", outgoing.channel.encode(), b"NOMKSTREAM", b"*", _BODY, outgoing.body or b""]
    for field in fields.items():
        words += field
    return words


def _parts(packed: Mapping[int, bytes]) -> Iterator[dict[int, bytes]]:
    """Cut a batch into transactions."""
    part: dict[int, bytes] = {}
    size = 0
    for number, command in packed.items():
        if part and (len(part) == MESSAGES or size + len(command) > BYTES):
            yield part
            part, size = {}, 0
        part[number] = command
        size += len(command)
    if part:
        yield part


_NO_STREAM = Failure(FailureClass.UNROUTABLE, "there is no such stream")


def _result(reply: Reply) -> Failure | None:
    if reply is None:  # what XADD NOMKSTREAM says
        return _NO_STREAM
    return failure_of(reply) if isinstance(reply, errors.ResponseError) else None


def _refused(part: Mapping[int, bytes], queued: Sequence[Reply]) -> dict[int, Failure]:
    return {
        number: failure_of(reply)
        for number, reply in zip(part, queued, strict=True)
        if isinstance(reply, errors.ResponseError)
    }
