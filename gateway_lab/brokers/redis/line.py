"""One connection to Redis: packed commands out, replies in their order; made again when lost.

It stands on redis-py's `Connection`, below its `Redis` and `Pipeline`: those pack a command in
thrice the time, and tell of an aborted transaction only the first reason.
"""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from contextlib import suppress
from typing import Any, Final, TypeAlias

from redis import exceptions as errors
from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway_lab.brokers.addresses import read_address
from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.tls import tls_refusal

REPLY_LIMIT_S: Final = 10.0
"""How long a reply may take before the connection counts as lost."""

Reply: TypeAlias = Any
"""None, an integer, bytes, a list of replies, or a `redis.exceptions.ResponseError`."""


class LostError(Exception):
    """The connection is lost or cannot be made; `failure` says what that means."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.reason)


def pack(*words: bytes) -> bytes:
    """Write one command as Redis wants it."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


def make_pool(alias: str, url: str) -> ConnectionPool:
    """Make what makes connections to an address; it never tries again by itself.

    Raises:
        BrokerError: Of class `configuration`: the address cannot be used.
    """
    address = read_address(alias, url, "redis")
    if not re.fullmatch(r"[0-9]{0,4}", address.place):
        reason = "the database in the address is not a number"
        raise BrokerError(Failure(FailureClass.CONFIGURATION, reason), where=f"broker {alias}")
    (host, port), *_ = address.hosts
    secure: dict[str, Any] = {"connection_class": _TlsConnection, "tls": address.tls}
    return ConnectionPool(
        host=host,
        port=port,
        username=address.user,
        password=address.password,
        db=int(address.place or 0),
        protocol=2,
        decode_responses=False,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,  # with one, redis-py may swallow that its caller is cancelled
        socket_connect_timeout=REPLY_LIMIT_S,
        socket_keepalive=True,
        **(secure if address.tls else {}),
    )


class _TlsConnection(SSLConnection):
    """A connection that trusts what the address says, and nobody else."""

    def __init__(self, *, tls: ssl.SSLContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ssl_context.context = tls


class Line:
    """One connection; several may call at once, and their commands go out in order of the calls."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: AbstractConnection | None = None
        self._writing, self._reading = asyncio.Lock(), asyncio.Lock()

    async def call(self, *words: bytes, limit_s: float = REPLY_LIMIT_S) -> Reply:
        """Send one command and return its reply.

        Raises:
            ResponseError: The reply is an error.
            LostError: There is no reply.
        """
        (reply,) = await self.exchange(pack(*words), 1, limit_s=limit_s)
        if isinstance(reply, errors.ResponseError):
            raise reply
        return reply

    async def exchange(
        self, request: bytes, count: int, *, limit_s: float = REPLY_LIMIT_S
    ) -> list[Reply]:
        """Send packed commands and return a reply for each; errors among them are values.

        Args:
            request: The commands, one behind the other.
            count: How many they are.
            limit_s: How long the replies may take once all before them are there.

        Raises:
            LostError: There is no connection, or it was lost before the last reply.
        """
        connection: AbstractConnection | None = None
        try:
            async with self._writing:
                connection = await self._connected()
                async with asyncio.timeout(limit_s):
                    await connection.send_packed_command(request, check_health=False)
            async with self._reading:
                if connection is not self._connection:
                    raise LostError(_LOST)
                async with asyncio.timeout(limit_s):
                    return [await _reply(connection) for _ in range(count)]
        except (errors.RedisError, OSError) as error:  # a TimeoutError is an OSError
            await self._lose(connection)
            raise LostError(failure_of(error)) from error
        except asyncio.CancelledError:  # replies that nobody reads would answer the next call
            await self._lose(connection)
            raise

    async def close(self) -> None:
        """Hang up; a later call connects anew."""
        await self._lose(self._connection)

    async def _connected(self) -> AbstractConnection:
        if self._connection is None:
            connection = self._pool.make_connection()
            try:
                async with asyncio.timeout(REPLY_LIMIT_S):
                    await connection.connect()
            except BaseException as error:
                await _hang_up(connection)
                if isinstance(error, errors.RedisError | OSError):
                    raise LostError(failure_of(error, is_ambiguous=False)) from error
                raise
            self._connection = connection
        return self._connection

    async def _lose(self, connection: AbstractConnection | None) -> None:
        if connection is None:
            return
        if connection is self._connection:
            self._connection = None
        await _hang_up(connection)


async def _reply(connection: AbstractConnection) -> Reply:
    try:
        return await connection.read_response(disable_decoding=True, timeout=math.inf)
    except errors.ResponseError as error:
        return error


async def _hang_up(connection: AbstractConnection) -> None:
    with suppress(errors.RedisError, OSError):
        await connection.disconnect(nowait=True)


# --- what an error means; texts of the server may hold parts of a message, so only codes pass ---

_LOST = Failure(FailureClass.RETRYABLE, "the connection to the broker was lost", is_ambiguous=True)

_REFUSED = (
    errors.AuthenticationError,
    errors.AuthenticationWrongNumberOfArgsError,
    errors.AuthorizationError,
    errors.NoPermissionError,
)
_CLUSTER = (errors.AskError, errors.ClusterCrossSlotError)
_GONE = Failure(FailureClass.CONFIGURATION, "the stream or its consumer group is gone")
_CODES = {
    "WRONGTYPE": Failure(FailureClass.UNROUTABLE, "the key of that name holds something else"),
    "MISCONF": Failure(FailureClass.RETRYABLE, "the broker cannot write to its disk"),
    "NOREPLICAS": Failure(FailureClass.RETRYABLE, "the broker misses replicas"),
    "BUSY": Failure(FailureClass.RETRYABLE, "the broker is busy with a script"),
    "OOM": Failure(FailureClass.RETRYABLE, "the broker is out of memory"),
    "READONLY": Failure(FailureClass.RETRYABLE, "the broker is a read-only replica"),
    "CLUSTERDOWN": Failure(FailureClass.RETRYABLE, "the cluster is down"),
    "MASTERDOWN": Failure(FailureClass.RETRYABLE, "the broker's primary is down"),
    "TRYAGAIN": Failure(FailureClass.RETRYABLE, "the cluster moves slots"),
    "NOGROUP": _GONE,
    "UNBLOCKED": _GONE,
}


def failure_of(error: Exception, *, is_ambiguous: bool = True) -> Failure:
    """Say what an error of the client means.

    Args:
        error: Of redis-py or the operating system.
        is_ambiguous: Whether commands may have been carried out if the connection was lost.
    """
    if words := tls_refusal(error):
        return Failure(FailureClass.CONFIGURATION, words)
    if isinstance(error, _REFUSED):
        return Failure(FailureClass.CONFIGURATION, "the broker refuses the credentials or rights")
    if isinstance(error, _CLUSTER):
        return Failure(FailureClass.CONFIGURATION, "a Redis cluster is not supported")
    if isinstance(error, errors.ResponseError):
        code = code_of(error)
        if code == "EXECABORT":  # that of what was refused stands behind it
            code = str(error).partition(" because of: ")[2].partition(" ")[0] or code
        return _CODES.get(code) or Failure(FailureClass.PERMANENT, f"the broker says {code}")
    if isinstance(error, errors.BusyLoadingError):
        return Failure(FailureClass.RETRYABLE, "the broker is still loading its data")
    reason = _LOST.reason if is_ambiguous else "the broker is away"
    return Failure(FailureClass.RETRYABLE, reason, is_ambiguous)


def code_of(error: errors.ResponseError) -> str:
    """Return the first word of an error reply, such as `WRONGTYPE`."""
    return getattr(error, "status_code", None) or str(error).partition(" ")[0]
