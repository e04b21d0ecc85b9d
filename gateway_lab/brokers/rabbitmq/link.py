"""One connection to RabbitMQ that is made again when it is lost, and what its errors mean."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar
from urllib.parse import unquote

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, ChannelFrame
from yarl import URL

from gateway_lab.brokers.addresses import read_address
from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.rabbitmq.contents import Arriving, Taker
from gateway_lab.brokers.tls import tls_refusal

ANSWER_LIMIT_S = 10.0
"""How long the server may take to answer anything."""

_CLOSE_LIMIT_S = 5.0
_HEARTBEAT_S = "15"  # aiormq gives a silent server up after three times as long
_DENIALS_BELIEVED = 3  # a server that starts or stops says no, too

_T = TypeVar("_T")


class LostError(Exception):
    """The connection or channel went away: what was not answered may have been done."""


class Link:
    """A connection that is there when it is asked for.

    Args:
        alias: The broker's name in the config: all that errors and logs say of the address.
        url: `amqp://` or `amqps://`, with user, password and virtual host.
        role: What the server's own tools show as the name of the connection.
    """

    def __init__(self, alias: str, url: str, role: str) -> None:
        self.alias = alias
        address = read_address(alias, url, "rabbitmq")
        (host, port), *_ = address.hosts
        self._tls = address.tls
        self._url = URL.build(
            scheme="amqps" if address.tls else "amqp",
            user=address.user or "guest",
            password=address.password or "guest",
            host=host,
            port=port,
            path=f"/{unquote(address.place)}",
            query={"heartbeat": _HEARTBEAT_S, "name": f"gateway-lab {role}"},
        )
        self._connection: _Connection | None = None
        self._lock = asyncio.Lock()
        self._is_closed = False

    async def connection(self) -> aiormq.Connection:
        """Return the open connection; make one, for as long as the broker is away.

        Raises:
            BrokerError: Of class `configuration`.
        """
        async with self._lock:
            if self._connection is None or not self._connection.is_opened:
                self._connection = await self._connect_patiently()
            return self._connection

    async def _connect_patiently(self) -> _Connection:
        denials = 0
        for pause in pauses():
            if self._is_closed:
                break
            try:
                return await self._connect()
            except LostError as lost:
                denials += isinstance(lost.__cause__, aiormq.InvalidFrameError)
                if denials >= _DENIALS_BELIEVED or _is_hopeless(lost.__cause__):
                    raise self.refused(lost.__cause__) from None
                await asyncio.sleep(pause)
        raise BrokerError(Failure(FailureClass.RETRYABLE, "it is closed"), where=self.alias)

    async def _connect(self) -> _Connection:
        connection = _Connection(self.alias, self._url, self._tls)
        await ask(connection.connect())
        if self._is_closed:
            await close_quietly(connection)
            raise LostError
        return connection

    async def channel(self) -> AbstractChannel:
        """Open a channel without aiormq's own confirms, connecting first if need be.

        Raises:
            LostError: The connection went away meanwhile.
            BrokerError: Of class `configuration`.
        """
        connection = await self.connection()
        return await ask(connection.channel(publisher_confirms=False))

    @asynccontextmanager
    async def brief_channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a channel for one question: the server closes it where the answer is no."""
        channel = await self.channel()
        try:
            yield channel
        finally:
            await close_quietly(channel)

    async def patiently(self, question: Callable[[], Awaitable[_T]]) -> _T:
        """Ask again, with back-off, as long as the connection gets lost.

        Raises:
            BrokerError: Of class `configuration`.
            AMQPChannelError: The server said no.
        """
        for pause in pauses():
            with suppress(LostError):
                return await question()
            await asyncio.sleep(pause)
        raise AssertionError

    def refused(self, error: BaseException | None, what: str = "") -> BrokerError:
        """Say a refusal in our words: the server's and the client's name hosts and users."""
        failure = Failure(FailureClass.CONFIGURATION, refusal(error) + (what and f": {what}"))
        return BrokerError(failure, where=self.alias)

    async def close(self) -> None:
        """Close the connection; never raises, never hangs."""
        self._is_closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_quietly(connection)


async def close_quietly(resource: AbstractConnection | AbstractChannel) -> None:
    """Close a connection or channel in whatever state it is."""
    with suppress(Exception), _unheard():
        async with asyncio.timeout(_CLOSE_LIMIT_S):
            await resource.close(aiormq.ConnectionClosed(200, "closed"))


_IS_OURS: ContextVar[bool] = ContextVar("gateway_lab.rabbitmq", default=False)


def _of_others(_: logging.LogRecord) -> bool:
    """Say whether a line of aiormq is about a connection that is not ours."""
    return not _IS_OURS.get()


for _part in ("connection", "channel"):
    logging.getLogger(f"aiormq.{_part}").addFilter(_of_others)


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep what aiormq logs to itself, and what the tasks log that it makes meanwhile.

    It logs each try to connect, and texts of the server, which name hosts and users; what they
    mean is said by our errors.
    """
    token = _IS_OURS.set(True)
    try:
        yield
    finally:
        _IS_OURS.reset(token)


async def ask(answer: Awaitable[_T]) -> _T:
    """Await what the server has to answer.

    Raises:
        LostError: It did not, or the connection or channel went away.
        AMQPChannelError: It said no, and closed the channel.
    """
    try:
        with _unheard():
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await answer
    except _REFUSALS:
        raise
    except asyncio.CancelledError as error:  # aiormq's way to say that it gave a connection up
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LostError from error
    except Exception as error:
        raise LostError from error


async def write(channel: AbstractChannel, payload: bytes) -> None:
    """Hand frames to the writer of the channel's connection."""
    await channel.connection.write_queue.put(ChannelFrame(payload, should_close=False))


async def write_through(
    channel: AbstractChannel, payload: bytes, closing: asyncio.Future[Any]
) -> None:
    """Hand frames over and wait until they are on their way, or the channel is gone."""
    written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    frame = ChannelFrame(payload, should_close=False, drain_future=written)
    await channel.connection.write_queue.put(frame)
    await asyncio.wait((written, closing), return_when=asyncio.FIRST_COMPLETED)


def forget(channel: AbstractChannel, taker: Taker) -> None:
    """Take nothing more from a channel; its number may have another by now."""
    takers = arriving(channel).takers
    if takers.get(channel.number) is taker:
        del takers[channel.number]


def release_writers(channel: AbstractChannel) -> None:
    """Let go who waits to write on a connection that nobody writes for any more."""
    queue = channel.connection.write_queue
    while not channel.connection.is_opened and not queue.empty():
        queue.get_nowait()


class _Connection(aiormq.Connection):
    """A connection that logs and shows itself by its alias, not by its address."""

    def __init__(self, alias: str, url: URL, tls: ssl.SSLContext | None) -> None:
        self.transport = _Transport(tls)
        super().__init__(url, transport_factory=self.transport)
        self._alias = alias

    def __str__(self) -> str:
        return self._alias


class _Transport(aiormq.TransportFactory):
    """Opens the socket; what goes wrong is told without the address."""

    arriving: Arriving

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls

    async def create(
        self, url: URL, **_kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        self.arriving = Arriving(reader)
        try:
            transport, _ = await loop.create_connection(
                lambda: self.arriving, url.host or "", url.port or 0, ssl=self._tls
            )
        except OSError as error:
            raise aiormq.AMQPConnectionError(type(error).__name__) from error
        return reader, asyncio.StreamWriter(transport, self.arriving, reader, loop)


def arriving(channel: AbstractChannel) -> Arriving:
    """Return the receiving end of a channel's connection."""
    connection = channel.connection
    if not isinstance(connection, _Connection):
        raise TypeError("a channel that no link opened")
    return connection.transport.arriving


_WORDS: dict[type[BaseException], str] = {
    aiormq.AuthenticationError: "the broker does not offer this way to log in",
    aiormq.ProbableAuthenticationError: "the broker refuses the user name or password",
    aiormq.InvalidFrameError: "the broker refuses the virtual host",
    aiormq.ChannelAccessRefused: "the broker denies permission",
    aiormq.ChannelNotFoundEntity: "there is no such queue or exchange",
    aiormq.ChannelLockedResource: "another connection has the queue for itself",
    aiormq.ChannelPreconditionFailed: "the broker has it with other properties",
}
_REFUSALS = (
    aiormq.ChannelAccessRefused,
    aiormq.ChannelNotFoundEntity,
    aiormq.ChannelLockedResource,
    aiormq.ChannelPreconditionFailed,
)


def refusal(error: BaseException | None) -> str:
    """Say in our words what the server refused."""
    if words := tls_refusal(error):
        return words
    for each in (error, error.__cause__ if error else None):
        for kind, words in _WORDS.items():
            if isinstance(each, kind):
                return words
    return "the broker refuses it"


def _is_hopeless(error: BaseException | None) -> bool:
    """Say whether to connect again would end the same."""
    if isinstance(error, aiormq.AuthenticationError | aiormq.ProbableAuthenticationError):
        return True
    return tls_refusal(error) is not None
