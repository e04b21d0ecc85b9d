"""Users' own brokers of FastStream beside a gateway: each lives, fails and comes back by itself."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import Any, Final

from gateway_lab.brokers.pauses import pauses
from gateway_lab.errors import GatewayLabError

STOP_S: Final = 20.0
"""How long a broker may take to end; FastStream waits 15 s for what is in its handlers."""

PING_S: Final = 5.0
"""How long a server may take to answer before a broker is started."""

_LOG: Final = logging.getLogger("gateway_lab.gateway")
_BESIDE: Final[ContextVar[Beside | None]] = ContextVar("beside", default=None)


def broker_beside() -> Beside | None:
    """Return the broker that this runs in: its tasks are children of the one that started it."""
    return _BESIDE.get()


class Beside:
    """One broker and the task that looks after it.

    Attributes:
        broker: FastStream's.
    """

    def __init__(self, alias: str, broker: Any, refusal: GatewayLabError | None = None) -> None:
        """Take a broker in.

        Args:
            alias: As the config names it.
            broker: FastStream's.
            refusal: Why it cannot be started; None: it can.
        """
        self.broker, self._alias, self._refusal = broker, alias, refusal
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to start it, as often as that takes."""
        self._task = asyncio.create_task(self._live(), name=f"faststream broker {self._alias}")

    def again(self) -> None:
        """Start it again: it cannot go on by itself."""
        self._again.set()

    async def stop(self) -> None:
        """End it, within a limit of time; never raises."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._end()

    async def _live(self) -> None:
        if self._refusal:
            _LOG.error("broker %s of FastStream is not started: %s", self._alias, self._refusal)
            return
        _BESIDE.set(self)
        is_new = True
        for pause in pauses():
            self._again.clear()
            try:
                await self._begin()
            except Exception as error:  # noqa: BLE001 - clients raise what they meet
                level = logging.WARNING if is_new else logging.DEBUG
                self._tell("cannot be started", type(error).__name__, level)
                is_new = False
            else:
                _LOG.info("broker %s of FastStream is started", self._alias)
                await self._again.wait()
                self._tell("ended by itself", "see its log")
                is_new = True
            await self._end()
            await asyncio.sleep(pause)

    async def _begin(self) -> None:
        """Start the broker once the server is there: a start that fails half may not be undone.

        A subscriber of Redis' pub/sub that could not begin, for one, believes ever after that it
        has.
        """
        await self.broker.connect()
        if not await self.broker.ping(PING_S):
            raise TimeoutError
        await self.broker.start()

    def _tell(self, problem: str, reason: str, level: int = logging.WARNING) -> None:
        """Say what happened, without the texts of clients: they hold addresses."""
        text = "broker %s of FastStream %s, it is tried again"
        _LOG.log(level, text, self._alias, problem, extra={"reason": reason})

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await self.broker.stop()
        except Exception as error:  # noqa: BLE001 - others are to be stopped, too
            reason = {"reason": type(error).__name__}
            _LOG.debug("broker %s of FastStream did not end well", self._alias, extra=reason)
