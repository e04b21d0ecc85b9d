"""The handlers and middlewares that users register with a gateway."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway_lab.config.document import Document
from gateway_lab.config.plan import Plan
from gateway_lab.errors import ConfigError, MissingExtraError, did_you_mean
from gateway_lab.gateway.handlers.handling import Handling, Watcher
from gateway_lab.gateway.handlers.pool import HandlerPool
from gateway_lab.gateway.handlers.rehearsal import rehearse
from gateway_lab.routing.rehearsal import Rehearsal

if TYPE_CHECKING:  # FastStream is loaded with the first handler or middleware
    from fast_depends import Provider
    from faststream import ContextRepo

    from gateway_lab.gateway.handlers.chain import Chain, MakeMiddleware
    from gateway_lab.gateway.handlers.injection import Function, Injector

TIMEOUT_S: Final = 30.0
"""How long one try of a handler may take, where it does not say."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Registered:
    function: Function
    timeout_s: float


class Handlers:
    """What is registered; one gateway's, and shared with those that test it."""

    def __init__(self, middlewares: Sequence[MakeMiddleware] = ()) -> None:
        self._registered: dict[str, _Registered] = {}
        self._middlewares = tuple(middlewares)
        self._watchers: list[Watcher] = []
        self._turn = asyncio.Lock()
        if middlewares:
            _ = self._chain  # it refuses what is no middleware

    def register(
        self, known: Mapping[str, object], sources: Sequence[str], timeout_s: float
    ) -> Callable[[F], F]:
        """Return a decorator that registers a function for sources.

        Args:
            known: All sources of the config.
            sources: Those whose messages the function handles.
            timeout_s: How long one try may take.

        Raises:
            ConfigError: A source is unknown, has a handler already, or none is named.
            MissingExtraError: FastStream is not installed.
        """
        if not sources or callable(sources[0]):
            raise ConfigError("the handler names no source", hint='@gateway.handler("users")')
        for source in sources:
            if source not in known:
                hint = did_you_mean(source, known)
                raise ConfigError(f"there is no source {source!r} to handle", hint=hint)
            if source in self._registered:
                raise ConfigError(f"the source {source} has a handler already")
        if not 0 < timeout_s < inf:
            hint = "say how many seconds one try may take, such as timeout=30"
            raise ConfigError(f"a handler cannot have {timeout_s!r} seconds", hint=hint)

        def register(function: F) -> F:
            _check(function)
            # Now, where names in its annotations mean what they mean where it stands.
            registered = _Registered(self._injector.compile(function), timeout_s)
            for source in sources:
                self._registered[source] = registered
            return function

        return register

    def agree(self, config: Document) -> None:
        """Check that each declared handler is registered, and the other way round.

        Raises:
            ConfigError: They differ.
        """
        declared = {name for name, source in config.sources.items() if source.handler}
        if missing := sorted(declared - self._registered.keys()):
            raise ConfigError(
                f"no function is registered for the handler of {', '.join(missing)}",
                hint=f"register it, @gateway.handler({missing[0]!r}), and name its module to "
                "`gateway-lab run`: --app MODULE:GATEWAY",
            )
        if more := sorted(self._registered.keys() - declared):
            raise _undeclared(more)

    def handling(self, plan: Plan, source: str) -> Handling | None:
        """Return how a source's messages are handled; None: they go to the routers as they are."""
        return self._handling(plan, source, self._watchers)

    def _handling(self, plan: Plan, source: str, watchers: Sequence[Watcher]) -> Handling | None:
        registered = self._registered.get(source)
        if registered is None and not self._middlewares:
            return None
        from gateway_lab.gateway.handlers.injection import FunctionCall  # noqa: PLC0415

        call = FunctionCall(
            registered.function if registered else None,
            name=source,
            context=self._injector.context,
            chain=self._chain,
            timeout_s=registered.timeout_s if registered else None,
        )
        return Handling(plan, source, call, watchers, self._turn)

    def watch(self, watcher: Watcher) -> None:
        """Show a watcher each message that comes to routers, as its handler left it."""
        self._watchers.append(watcher)

    def rehearse(self, plan: Plan) -> AbstractContextManager[Rehearsal]:
        """Run what is registered on messages that came long ago, and send nothing.

        A source that declares a handler may lack its function: it is not rehearsed.

        Raises:
            ConfigError: A function is registered for a source that declares no handler.
        """
        handlings: dict[str, Handling] = {}
        for name, source in plan.sources.items():
            if name in self._registered and source.handled is None:
                raise _undeclared([name])
            is_read = source.routers or source.batches
            if is_read and (name in self._registered or source.handled is None):
                handling = self._handling(plan, name, ())
                handlings |= {name: handling} if handling else {}
        publishes = bool(self._middlewares) and self._chain.publishes
        return rehearse(plan, handlings, publishes=publishes)

    @property
    def sources(self) -> frozenset[str]:
        """Those that have a function."""
        return frozenset(self._registered)

    @property
    def provider(self) -> Provider:
        """Knows the dependencies of all handlers; see `Gateway.dependencies`."""
        return self._injector.provider

    @property
    def context(self) -> ContextRepo:
        """What `Context` reads; see `Gateway.app`."""
        return self._injector.context

    @cached_property
    def _pool(self) -> HandlerPool:
        return HandlerPool()

    @cached_property
    def _injector(self) -> Injector:
        try:
            from gateway_lab.gateway.handlers.injection import Injector  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise _missing(error) from None
        return Injector.of(self._pool)

    @cached_property
    def _chain(self) -> Chain:
        try:
            from gateway_lab.gateway.handlers.chain import Chain  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise _missing(error) from None
        return Chain(self._middlewares)


def _undeclared(sources: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"a function is registered for {', '.join(sources)}, which declares no handler",
        where=f"sources.{sources[0]}",
        hint="say what it returns: handler: {returns: EVENT}",
    )


def _missing(error: ModuleNotFoundError) -> Exception:
    package = (error.name or "").partition(".")[0]
    if package in {"faststream", "fast_depends"}:
        return MissingExtraError("faststream", extra="faststream")
    return error


def _check(function: object) -> None:
    """Refuse what cannot be called once a message."""
    if not callable(function) or inspect.isclass(function):
        raise ConfigError(f"{function!r} is no function", hint="decorate a plain function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__name__", "the handler")
        hint = "return one event, and send others by gateway.send"
        raise ConfigError(f"{name} yields, and a handler returns", hint=hint)
