"""Calls users' functions as FastStream does, on its public names alone; loaded with the first handler.

async with the middlewares → consume scopes → arguments → function → route → publish scopes
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial, wraps
from math import inf
from typing import Any, Final, TypeAlias, get_origin

import msgspec
from fast_depends import Provider, ValidationError, inject
from fast_depends.core import CallModel
from fast_depends.library import CustomField
from faststream import ContextRepo, FastStream, StreamMessage
from faststream.exceptions import AckMessage, NackMessage, RejectMessage
from pydantic import BaseModel
from pydantic import ValidationError as ModelError

from gateway_lab.gateway.handlers.chain import Chain
from gateway_lab.gateway.handlers.handled import (
    BEGUN,
    PASS,
    Conclude,
    Exhausted,
    InvalidEvent,
    Refused,
    TryAgain,
)
from gateway_lab.gateway.handlers.neutral import refuse_annotations
from gateway_lab.gateway.handlers.pool import HandlerPool
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import Routed

Injected: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
Arguments: TypeAlias = Callable[["bytes | None"], dict[str, Any]]
Consume: TypeAlias = Callable[["GatewayMessage"], Awaitable[Any]]

_WHOLE: Final = (dict, Mapping, object)
_ENDS_THE_PROCESS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)


class GatewayMessage(StreamMessage[Message]):
    """A message as handlers and middlewares see it; `raw_message` is ours, with its bytes.

    It is settled when all is done that follows from it: `ack` says nothing new.
    """

    async def nack(self, **options: Any) -> None:
        """Ask for another try.

        Raises:
            NackMessage: Always; it ends the handler.
        """
        raise NackMessage(**options)

    async def reject(self, **options: Any) -> None:
        """Make it a dead letter.

        Raises:
            RejectMessage: Always; it ends the handler.
        """
        raise RejectMessage(**options)


@dataclass(frozen=True, slots=True)
class Function:
    """A function whose call is compiled.

    Attributes:
        consume: Calls it with what it gets of a message.
        is_sync: Whether it runs in a thread.
    """

    name: str
    consume: Consume
    is_sync: bool


@dataclass(frozen=True, slots=True)
class Injector:
    """What all handlers of a gateway share.

    Attributes:
        provider: Knows the dependencies and what tests put in their place.
        context: Holds what `Context` and `Header` read.
        pool: Runs plain functions.
    """

    provider: Provider
    context: ContextRepo
    pool: HandlerPool

    @classmethod
    def of(cls, pool: HandlerPool) -> Injector:
        """Make one with a provider and a context of its own."""
        return cls(Provider(), FastStream().context, pool)

    def compile(self, function: Callable[..., Any]) -> Function:
        """Compile the call of a function with what it gets of a message."""
        models: list[CallModel] = []
        contexts: list[CustomField] = []

        def keep(model: CallModel) -> CallModel:
            models.append(model)
            # Given as arguments: a group of tasks for them, as in dependencies, costs 20 µs.
            contexts.extend(model.custom_fields.values())
            model.custom_fields = {}
            self._quicken(model)
            return model

        awaited = self._awaited(function)
        injected = inject(
            awaited,
            cast_result=False,
            dependency_provider=self.provider,
            wrap_model=keep,
        )
        fields = {each.field_name: each.field_type for each in models[0].flat_params}
        arguments = _arguments(fields)
        names = _as_they_are(models[0], fields, contexts)

        async def consume(message: GatewayMessage) -> Any:
            given = arguments(message.body)
            if names == given.keys():
                return await awaited(**given)
            given["context__"] = self.context
            for each in contexts:
                given = each.use(**given)
            if names and names <= given.keys():
                return await awaited(**{name: given[name] for name in names})
            try:
                return await injected(**given)
            except ValidationError as error:
                wrong = {each.field_name for each in error.error_fields}
                if wrong <= fields.keys():
                    raise InvalidEvent(_reason(error.original_error)) from None
                raise Refused(_reason(error.original_error)) from None

        name = getattr(function, "__name__", "handler")
        return Function(name, consume, not inspect.iscoroutinefunction(function))

    def _awaited(self, function: Callable[..., Any]) -> Injected:
        """Run a plain function in the pool, with the context variables of the message."""
        if inspect.iscoroutinefunction(function):
            return function

        name = getattr(function, "__name__", "handler")

        @wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            context, begun = copy_context(), BEGUN.get()

            def run() -> Any:
                if begun:
                    begun()
                return context.run(function, *args, **kwargs)

            return await self.pool.run(name, run)

        return call

    def _quicken(self, model: CallModel) -> None:
        """Read contexts without a thread for each, in a function and in all that it depends on."""
        refuse_annotations(model.call)
        model.custom_fields = {
            name: field if isinstance(field, _Quick) else _Quick(field)
            for name, field in model.custom_fields.items()
        }
        for key in (*model.dependencies.values(), *model.extra_dependencies):
            self._quicken(self.provider.get_dependant(key))


class _Quick(CustomField):
    """A field whose value is at hand: looking it up in a thread would cost ten times as much."""

    def __init__(self, field: CustomField) -> None:
        super().__init__(cast=field.cast, required=field.required)
        self.param_name, self._field = field.param_name, field

    async def use(self, /, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        return self._field.use(**kwargs)


# --- arguments ---


def _as_they_are(
    model: CallModel, fields: Mapping[str, Any], contexts: Sequence[CustomField]
) -> frozenset[str] | None:
    """Name the arguments of a function that needs nothing made or cast; else None.

    It is called as it is: finding out message by message that there is nothing to inject takes
    half as long as all else that is done for a handler.
    """
    if model.dependencies or any(model.extra_dependencies):
        return None
    if any(each.cast or not each.param_name for each in contexts):
        return None
    if any(not _is_made(hint) for hint in fields.values()) or len(fields) > 1:
        return None
    return frozenset([*fields, *(each.param_name for each in contexts if each.param_name)])


def _is_made(hint: Any) -> bool:
    """Say whether what `_whole` makes is of the type already."""
    return hint in {bytes, dict, Any} or (isinstance(hint, type) and issubclass(hint, BaseModel))


def _arguments(fields: Mapping[str, Any]) -> Arguments:
    """Compile what a function gets: the whole event, or fields of it by name, as in FastStream."""
    if not fields:
        return lambda _: {}
    if len(fields) == 1:
        name, hint = next(iter(fields.items()))
        if whole := _whole(hint):
            return lambda body: {name: whole(body)}
    names = frozenset(fields)
    return lambda body: _pick(names, body)


def _whole(hint: Any) -> Callable[[bytes | None], Any] | None:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return partial(_validate, hint)
    if hint is bytes:
        return lambda body: body
    origin = get_origin(hint) or hint
    return _decode if hint is Any or origin in _WHOLE else None


def _validate(model: type[BaseModel], body: bytes | None) -> BaseModel:
    try:
        return model.model_validate_json(body or b"")
    except ModelError as error:
        raise InvalidEvent(_reason(error)) from None


def _reason(error: Exception) -> str:
    """Say which fields are wrong, and nothing of their values."""
    if not isinstance(error, ModelError):
        return type(error).__name__
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'event'}: {each['msg']}" for each in found
    )


def _decode(body: bytes | None) -> Any:
    try:
        return msgspec.json.decode(body or b"")
    except msgspec.DecodeError as error:
        raise InvalidEvent(f"not JSON: {error}") from None


def _pick(names: frozenset[str], body: bytes | None) -> dict[str, Any]:
    event = _decode(body)
    if not isinstance(event, dict):
        raise InvalidEvent("no object, so it has no fields")
    return {name: event[name] for name in names if name in event}


# --- one call ---


class FunctionCall:
    """Runs one function, injected, for messages of one source; see `handled.Call`."""

    def __init__(
        self,
        function: Function | None,
        *,
        name: str,
        context: ContextRepo,
        chain: Chain,
        timeout_s: float | None = None,
    ) -> None:
        """Prepare the call.

        Args:
            function: None: there are middlewares, and nothing else to run.
            name: Stands for a function if there is none.
            context: Of the injector.
            chain: The middlewares.
            timeout_s: How long one try may take.
        """
        self.name = function.name if function else name
        self.is_sync = function is not None and function.is_sync
        self.timeout_s, self._chain, self._context = timeout_s, chain, context
        self._consume = function.consume if function else _pass
        self._logger = logging.getLogger(f"gateway_lab.handlers.{self.name}")

    async def __call__(self, message: Message, id_: str, conclude: Conclude) -> Routed:
        """Call the function, and route what it returns."""
        streamed = stream_message(message, id_)
        with self._context.scopes((("message", streamed), ("logger", self._logger))):
            return await _translated(self._run(streamed, conclude))

    async def _run(self, streamed: GatewayMessage, conclude: Conclude) -> Routed:
        if not self._chain:
            return conclude(await _ended(self._consume(streamed)))
        async with self._chain.open(streamed, self._context) as link:
            value = await _ended(link.consume(self._consume, streamed))
            return await link.publish(conclude(value))


async def _pass(_: object) -> object:
    return PASS


async def _ended(call: Awaitable[Any]) -> Any:
    """Take AckMessage for what it means: there is no more to do."""
    try:
        return await call
    except AckMessage:
        return None


def stream_message(message: Message, id_: str) -> GatewayMessage:
    """Return a message as FastStream's users know it."""
    return GatewayMessage(
        message,
        message.body,
        headers={name: value.decode(errors="replace") for name, value in message.headers},
        correlation_id=id_,
        message_id=message.id or id_,
    )


async def _translated(call: Awaitable[Routed]) -> Routed:
    """Say in our words how user code ended; what is asked of FastStream is asked of us."""
    try:
        return await call
    except NackMessage as nack:
        delay = _seconds(nack.extra_options.get("delay"))
        raise TryAgain("it asked for another try", delay) from None
    except RejectMessage:
        raise Refused("it rejected the message", is_wish=True) from None
    except (Refused, InvalidEvent, Exhausted, *_ENDS_THE_PROCESS):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise TryAgain("it was cancelled, and not by the gateway") from error
    except BaseException as error:
        raise TryAgain(_told(error)) from error


def _seconds(delay: object) -> float | None:
    """Take only what a clock can wait for; else the config says how long."""
    is_time = isinstance(delay, int | float) and 0 <= delay < inf
    return float(delay) if is_time else None  # type: ignore[arg-type]


def _told(error: BaseException) -> str:
    """Return an error in one line, the first of a group alone."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
