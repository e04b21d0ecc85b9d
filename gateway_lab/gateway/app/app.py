"""A gateway as an application of FastStream: `faststream run module:gateway.app`.

hooks before → gateway → users' own brokers, each in a task of its own → hooks after
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from faststream import FastStream

from gateway_lab.gateway.app.asgi import ASYNCAPI_PATH, GatewayAsgi
from gateway_lab.gateway.app.beside import Beside, broker_beside
from gateway_lab.gateway.app.schema import GatewaySchema
from gateway_lab.gateway.counters import State, Stats
from gateway_lab.gateway.telemetry.export import Exports
from gateway_lab.gateway.tuning import tune

if TYPE_CHECKING:
    from fast_depends import Provider
    from faststream import ContextRepo
    from faststream.asgi.types import ASGIApp

    from gateway_lab.config.gateway_config import GatewayConfig

_LOG: Final = logging.getLogger("gateway_lab.gateway")


class Served(Protocol):
    """What an app starts and stops: a gateway."""

    @property
    def config(self) -> GatewayConfig:
        """The config that decides now."""

    async def start(self) -> None:
        """Start every source."""

    async def stop(self, *, now: bool = False) -> None:
        """Finish what is in flight, and close everything."""

    async def wait(self) -> None:
        """Wait until no source runs any more."""

    def stats(self) -> Stats:
        """Return the books as they are now."""


class GatewayApp(FastStream):
    """FastStream's shell around a gateway: its hooks, its command and its document.

    The gateway reads and delivers by itself, never through a broker of FastStream. `brokers` are
    those of users, made by `Gateway.faststream_broker`.

    Attributes:
        served: What is started and stopped.
    """

    def __init__(self, served: Served, *, context: ContextRepo, provider: Provider) -> None:
        """Put a shell around a gateway.

        Args:
            served: The gateway.
            context: What `Context` reads, in handlers as well as in hooks.
            provider: Knows dependencies, and what tests put in their place.
        """
        self.served = served
        super().__init__(
            context=context,
            provider=provider,
            specification=GatewaySchema(lambda: self.served.config),
        )
        self.lifespan_context = self._lifespan
        self._beside: list[Beside] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._is_red = self._is_alone = False

    def put_beside(self, beside: Beside) -> Any:
        """Start and stop a broker with the gateway, by itself; return FastStream's."""
        self._beside.append(beside)
        self.add_broker(beside.broker)
        return beside.broker

    async def start(self, **options: Any) -> None:
        """Run the hooks, and between them start the gateway and the brokers; no broker is waited for.

        Args:
            options: Of the command line, for hooks that ask for them.

        Raises:
            GatewayLabError: The gateway cannot begin; all that was started is stopped.
        """
        try:
            async with self._start_hooks_context(**options):
                await self.served.start()
                self._tasks = [asyncio.create_task(self._end_with_it())]
                for each in self._beside:
                    each.start()
            if self._is_alone:
                tune()
        except BaseException:
            await self._close()
            raise

    async def stop(self) -> None:
        """Run the hooks, and between them let the gateway finish and stop the brokers."""
        async with self._shutdown_hooks_context():
            await self._close()

    def exit(self) -> None:
        """End the app. A broker beside the gateway cannot: it is started again instead."""
        if beside := broker_beside():
            beside.again()
        else:
            super().exit()

    def as_asgi(
        self,
        asgi_routes: Sequence[tuple[str, ASGIApp]] = (),
        asyncapi_path: Any = ASYNCAPI_PATH,
    ) -> GatewayAsgi:
        """Return it as an ASGI application, with `/livez`, `/readyz`, `/metrics` and `/asyncapi`.

        A server that runs it starts and stops the gateway with it. Mounted in another application
        it only answers: start the gateway there, `async with gateway.app`.

        Args:
            asgi_routes: More paths, and what answers there.
            asyncapi_path: Where the page of the document is; None: nowhere. `.json` behind it is
                the document.
        """
        return GatewayAsgi(
            self,
            stats=self.served.stats,
            name=self.served.config.name,
            asgi_routes=asgi_routes,
            asyncapi_path=asyncapi_path,
        )

    async def _close(self) -> None:
        """Let the gateway finish while the brokers are still there: handlers may publish on them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.served.stop()
        finally:
            await asyncio.gather(*(each.stop() for each in self._beside))

    async def _end_with_it(self) -> None:
        """End the app when nothing is left that runs."""
        await self.served.wait()
        red = [each for each in self.served.stats().sources if each.state is State.RED]
        told = "; ".join(f"source {each.source} is red: {each.reason}" for each in red)
        _LOG.error("no source runs any more%s", f": {told}" if told else "")
        self._is_red = bool(red)
        super().exit()

    @asynccontextmanager
    async def _lifespan(self, **_: Any) -> AsyncIterator[None]:
        """Have a process as `gateway-lab run` has one: telemetry out, tuned, 1 if a source is red."""
        self._is_alone = True
        async with Exports(self.served.config.name):
            yield
        if self._is_red:
            sys.exit(1)
