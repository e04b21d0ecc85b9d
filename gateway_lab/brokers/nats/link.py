"""One connection to NATS that is made again when it is lost, and questions with answers on it.

nats-py can connect again by itself, but it then sends what it had kept meanwhile, and some errors
close it for good. So a client here lives as long as its first connection, and the next is new.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gateway_lab.brokers.addresses import Address, read_address
from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.pauses import pauses
from gateway_lab.brokers.tls import NO_TLS, tls_refusal

ANSWER_LIMIT_S: Final = 10.0
"""How long an answer may take before it counts as lost."""

_WATCH_S = 1.0  # callbacks tell of an end at once, but nats-py may fail before it calls them
_PING_S = 10  # a server that is silent is given up after three of these
_ABANDON_LIMIT_S = 2.0
_CANCEL_AGAIN_S = 0.5

T = TypeVar("T")
Answer: TypeAlias = Msg | Failure
Take: TypeAlias = Callable[[Answer], None]

_NOBODY: tuple[str, Take] = "", lambda _: None

log = logging.getLogger(__name__)


class LostError(Exception):
    """There is no answer, or no connection; `failure` says what that means."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.reason)


class ApiError(Exception):
    """JetStream refuses a request; `code` is its own number for the reason."""

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        super().__init__(f"JetStream says: {description}")


LOST = Failure(FailureClass.RETRYABLE, "the connection to the broker was lost", is_ambiguous=True)
AWAY = Failure(FailureClass.RETRYABLE, "the broker is away")
NO_ANSWER = Failure(FailureClass.RETRYABLE, "the broker does not answer", is_ambiguous=True)
_DEAF = Failure(FailureClass.CONFIGURATION, "the broker denies the right to hear its answers")
_DENIED = Failure(FailureClass.CONFIGURATION, "the broker denies the right to publish there")


class Inbox:
    """A subscription whose messages go straight to a function."""

    def __init__(self, client: Client, subject: str, take: Callable[[Msg], None]) -> None:
        self.subject = subject
        self._client, self._take = client, take
        self._task: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None

    async def open(self, group: str = "") -> None:
        """Subscribe; members of a group share what comes."""
        self._subscription = await self._client.subscribe(self.subject, group, cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        if self._task is None:  # it is nats-py's own, and nobody else can end it for sure
            self._task = asyncio.current_task()
        self._take(message)

    async def drain(self) -> None:
        """Unsubscribe, and take all that is on its way."""
        if self._subscription is not None:
            await self._subscription.drain()

    async def abandon(self) -> None:
        """End what nats-py has left when it was closed by an error."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_ABANDON_LIMIT_S)


class Session:
    """A client for as long as its connection lasts.

    Attributes:
        at_end: Called once, when it ends.
        is_deaf: Whether the server denies the right to subscribe to something of ours.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.at_end: list[Callable[[], None]] = []
        self.is_deaf = False
        self.ended = asyncio.Event()
        self._inboxes: list[Inbox] = []
        self._numbers = count()
        self._waiting: dict[str, tuple[str, Take]] = {}
        self._replies = client.new_inbox()

    async def open(self) -> None:
        """Make ready for answers."""
        await self.subscribe(f"{self._replies}.*", self._answer)
        await self.ask(f"{self._replies}.open")  # it comes back as its own answer

    async def subscribe(self, subject: str, take: Callable[[Msg], None], group: str = "") -> Inbox:
        """Hand the messages of a subject to a function."""
        inbox = Inbox(self.client, subject, take)
        self._inboxes.append(inbox)
        await inbox.open(group)
        return inbox

    def expect(self, subject: str, take: Take) -> str:
        """Name a reply subject for a message to `subject`; `take` gets what comes, once."""
        reply = f"{self._replies}.{next(self._numbers)}"
        self._waiting[reply] = subject, take
        return reply

    def forget(self, reply: str) -> None:
        """Expect an answer no longer."""
        self._waiting.pop(reply, None)

    async def ask(self, subject: str, payload: bytes = b"") -> Msg:
        """Send a message and wait for its answer.

        Raises:
            LostError: There is none.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        reply = self.expect(subject, lambda got: None if future.done() else future.set_result(got))
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await self.client.publish(subject, payload, reply=reply)
                answer = await future
        except TimeoutError:
            raise LostError(NO_ANSWER) from None
        except errors.Error:
            raise LostError(LOST) from None
        finally:
            self.forget(reply)
        if isinstance(answer, Failure):
            raise LostError(answer)
        return answer

    async def api(self, name: str, request: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Ask JetStream.

        Raises:
            LostError: There is no answer, or no JetStream.
            ApiError: It refuses.
        """
        answer = await self.ask(f"$JS.API.{name}", json.dumps(request).encode() if request else b"")
        if is_no_responders(answer):
            raise LostError(Failure(FailureClass.CONFIGURATION, "the broker has no JetStream"))
        reply: dict[str, Any] = msgspec.json.decode(answer.data)
        if error := reply.get("error"):
            if error["code"] == 503:
                raise LostError(Failure(FailureClass.RETRYABLE, "JetStream is not available"))
            raise ApiError(error.get("err_code", 0), error.get("description", ""))
        return reply

    def _answer(self, message: Msg) -> None:
        _, take = self._waiting.pop(message.reply or message.subject, _NOBODY)
        take(message)

    def deny(self, subject: str) -> None:
        """Answer what waits for a subject that we may not publish to; nats-py gives lower case."""
        for reply, (to, take) in list(self._waiting.items()):
            if to.lower() == subject:
                self.forget(reply)
                take(_DENIED)

    async def end(self) -> None:
        """Answer all that waits, and leave nothing of the client behind."""
        self.ended.set()
        waiting, self._waiting = self._waiting, {}
        for _, take in waiting.values():
            take(LOST)
        for call in self.at_end:
            call()
        with suppress(Exception):  # whatever it says, it is over
            async with asyncio.timeout(_ABANDON_LIMIT_S):
                await self.client.close()
        for inbox in self._inboxes:
            await inbox.abandon()


class Link:
    """Keeps a session open."""

    def __init__(self, alias: str, url: str) -> None:
        self.alias = alias
        self._address = address = read_address(alias, url, "nats")
        if address.place:
            reason = "there is something behind the hosts of the address"
            raise BrokerError(Failure(FailureClass.CONFIGURATION, reason), where=f"broker {alias}")
        scheme = "tls" if address.tls else "nats"
        self._servers = [f"{scheme}://{each}" for each in address.host_list().split(",")]
        self._keeper: asyncio.Task[None] | None = None
        self._session: asyncio.Future[Session] | None = None

    @property
    def session(self) -> Session | None:
        """The session, while there is one."""
        future = self._session
        if future is None or not future.done() or future.exception():
            return None
        return None if future.result().ended.is_set() else future.result()

    async def connected(self) -> Session:
        """Wait for a session.

        Raises:
            BrokerError: Of class `configuration`.
        """
        if self._session is None or self._keeper is None or self._keeper.done():
            self._session = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(self._session))
        return await asyncio.shield(self._session)

    async def insist(self, do: Callable[[Session], Awaitable[T]]) -> T:
        """Do something on a session until it is done.

        Raises:
            BrokerError: Of class `configuration`, such as what JetStream refuses.
        """
        for pause in pauses():
            try:
                return await do(await self.connected())
            except LostError as lost:
                if lost.failure.failure_class is FailureClass.CONFIGURATION:
                    raise BrokerError(lost.failure, where=self.alias) from None
            except ApiError as error:
                refused = Failure(FailureClass.CONFIGURATION, str(error))
                raise BrokerError(refused, where=self.alias) from None
            except errors.Error:  # the connection has just been lost
                pass
            await asyncio.sleep(pause)
        raise AssertionError  # pauses never end

    async def _keep(self, promise: asyncio.Future[Session]) -> None:
        while True:
            try:
                session = await self._open_patiently()
            except BrokerError as error:
                _refuse(promise, error)
                return
            promise.set_result(session)
            try:
                await _until_end(session)
            finally:
                promise = self._session = asyncio.get_running_loop().create_future()
                await session.end()

    async def _open_patiently(self) -> Session:
        for pause in pauses():
            client = _InsistentClient() if self._address.tls else Client()
            session = Session(client)
            try:
                await self._connect(session)
                await session.open()
            except Exception as error:  # noqa: BLE001 - nats-py raises what it meets
                await session.end()
                if failure := _DEAF if session.is_deaf else _hopeless(error):
                    raise BrokerError(failure, where=self.alias) from None
                log.debug("%s: cannot connect (%s)", self.alias, type(error).__name__)
            except BaseException:
                await session.end()
                raise
            else:
                return session
            await asyncio.sleep(pause)
        raise AssertionError  # pauses never end

    async def _connect(self, session: Session) -> None:
        async def at_error(error: Exception) -> None:
            if found := _VIOLATION.search(str(error)):
                session.deny(found[1])
            session.is_deaf |= "violation for subscription" in str(error).lower()

        async def at_close() -> None:
            session.ended.set()

        await session.client.connect(
            self._servers,
            **_credentials(self._address),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=5,
            ping_interval=_PING_S,
            pending_size=0,  # to keep nothing for later, and never to wait inside of a publish
            error_cb=at_error,
            closed_cb=at_close,
        )

    async def close(self) -> None:
        """End the session, and make no other."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await end_task(keeper)
        if self._session is not None and not self._session.done():
            closed = Failure(FailureClass.CONFIGURATION, "the connection is closed")
            _refuse(self._session, BrokerError(closed, where=self.alias))


def _refuse(promise: asyncio.Future[Session], error: BrokerError) -> None:
    promise.set_exception(error)
    promise.exception()  # so that asyncio does not complain if nobody asks


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel a task until it ends: nats-py swallows a cancellation that comes while it flushes."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)


async def _until_end(session: Session) -> None:
    while session.client.is_connected and not session.ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_WATCH_S):
                await session.ended.wait()


def is_no_responders(message: Msg) -> bool:
    """Say whether it is the server's word that nobody listens to what was published."""
    return not message.data and (message.headers or {}).get("Status") == "503"


_VIOLATION = re.compile(r'permissions violation for publish to "([^"]*)"', re.IGNORECASE)
_REFUSAL = re.compile(r"authorization violation|authentication (expired|revoked)", re.IGNORECASE)


def _hopeless(error: Exception) -> Failure | None:
    """Say why another try would end the same."""
    if words := tls_refusal(error):
        return Failure(FailureClass.CONFIGURATION, words)
    if isinstance(error, errors.Error) and _REFUSAL.search(str(error)):
        return Failure(FailureClass.CONFIGURATION, "the broker refuses the credentials")
    return error.failure if isinstance(error, BrokerError) else None


class _InsistentClient(Client):
    """A client that says who it is only over TLS; nats-py leaves that to the server's word."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise BrokerError(Failure(FailureClass.CONFIGURATION, NO_TLS))
        return super()._connect_command()


def _credentials(address: Address) -> dict[str, Any]:
    """Return what a client says of who it is: user and password, a token, or signed credentials."""
    said: dict[str, Any] = {"tls": address.tls} if address.tls else {}
    if creds := address.options.get("creds"):
        said["user_credentials"] = creds
    if address.user is not None and address.password is not None:
        return said | {"user": address.user, "password": address.password}
    return said | {"token": address.user or address.password}
