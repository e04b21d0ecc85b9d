"""A chain of FastStream middlewares around each message, the same for every broker.

Each message, and each try of it, has objects of its own. `publish_scope` may change headers and
body of what is sent; where it goes, routes decide.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from faststream import BaseMiddleware, ContextRepo, PublishCommand, Response

from gateway_lab.errors import ConfigError
from gateway_lab.gateway.handlers.handled import Refused
from gateway_lab.gateway.handlers.neutral import refuse_middleware
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.headers import Headers
from gateway_lab.routing.routed import Delivery, Routed

MakeMiddleware: TypeAlias = Callable[..., "BaseMiddleware[Any, Any]"]
"""A subclass of BaseMiddleware, or what makes one, such as a partial of it."""

_DELIVERED: Final = Outcome.DELIVERED


class Chain:
    """The middlewares of a gateway, the first outermost."""

    def __init__(self, middlewares: Iterable[MakeMiddleware]) -> None:
        self._make = tuple(middlewares)
        for each in self._make:
            _check(each)

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._make)

    @property
    def publishes(self) -> bool:
        """Say whether a publish scope may change what is delivered."""
        kinds = [getattr(make, "func", make) for make in self._make]
        return any(not isinstance(kind, type) or _changes(kind) for kind in kinds)

    @asynccontextmanager
    async def open(self, message: Any, context: ContextRepo) -> AsyncIterator[Link]:
        """Make the middlewares of one message; its end tells them how it went."""
        async with AsyncExitStack() as stack:
            made = [make(message.raw_message, context=context) for make in self._make]
            for each in made:
                await stack.enter_async_context(each)
            yield Link(made)


class Link:
    """The middlewares of one message."""

    def __init__(self, made: list[BaseMiddleware[Any, Any]]) -> None:
        self._consuming = [each for each in made if _has(each, "consume_scope")]
        self._publishing = [each for each in made if _has(each, "publish_scope")]

    async def consume(self, function: Callable[[Any], Awaitable[Any]], message: Any) -> Any:
        """Call a function within all consume scopes."""
        for each in reversed(self._consuming):
            function = partial(each.consume_scope, function)
        return await function(message)

    async def publish(self, routed: Routed) -> Routed:
        """Let the publish scopes change what is delivered."""
        if not self._publishing:
            return routed
        deliveries = [
            await self._deliver(each) if each.outcome is _DELIVERED else each
            for each in routed.deliveries
        ]
        return msgspec.structs.replace(routed, deliveries=tuple(deliveries))

    async def _deliver(self, delivery: Delivery) -> Delivery:
        before = {name: value.decode(errors="replace") for name, value in delivery.headers}
        command = Response(delivery.body, headers=dict(before)).as_publish_command()
        command.destination = delivery.channel or ""
        sent: list[PublishCommand] = []

        async def keep(command: PublishCommand) -> None:
            sent.append(command)

        call: Callable[[PublishCommand], Awaitable[Any]] = keep
        for each in reversed(self._publishing):
            call = partial(each.publish_scope, call)
        await call(command)
        if len(sent) != 1:
            raise Refused("a middleware must publish each delivery once: call `call_next`")
        headers = _changed(delivery.headers, before, sent[0].headers)
        return msgspec.structs.replace(delivery, headers=headers, body=_body(sent[0].body))


def _check(make: object) -> None:
    """Refuse what cannot make middlewares before a message finds out."""
    kind = getattr(make, "func", make)
    hint = "give the class itself, or functools.partial of it"
    if not callable(kind) or isinstance(kind, BaseMiddleware):
        raise ConfigError(f"{kind!r} makes no middlewares", hint=hint)
    refuse_middleware(kind)
    name = getattr(kind, "__name__", "it")
    if isinstance(kind, type) and not issubclass(kind, BaseMiddleware):
        raise ConfigError(f"{name} is no BaseMiddleware of FastStream", hint=hint)


def _changes(kind: type[BaseMiddleware[Any, Any]]) -> bool:
    return kind.publish_scope is not BaseMiddleware.publish_scope


def _has(middleware: BaseMiddleware[Any, Any], scope: str) -> bool:
    return getattr(type(middleware), scope) is not getattr(BaseMiddleware, scope)


def _changed(headers: Headers, before: dict[str, str], after: dict[str, Any]) -> Headers:
    """Return headers byte for byte, but for those that a middleware changed, added or left out."""
    if before == after:
        return headers
    kept = tuple(each for each in headers if after.get(each[0]) == before[each[0]])
    new = [(name, value) for name, value in after.items() if before.get(name) != value]
    return (*kept, *((name, _bytes(value)) for name, value in new))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _body(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    raise Refused(f"a middleware made a {type(body).__name__} of the body: it takes bytes")
