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
        for pause in pauses():
            self._again.clear()
            try:
                await self.broker.start()
            except Exception as error:  # noqa: BLE001 - clients raise what they meet
                self._tell("cannot be started", type(error).__name__)
            else:
                _LOG.info("broker %s of FastStream is started", self._alias)
                await self._again.wait()
                self._tell("ended by itself", "see its log")
            await self._end()
            await asyncio.sleep(pause)

    def _tell(self, problem: str, reason: str) -> None:
        """Say what happened, without the texts of clients: they hold addresses."""
        text = "broker %s of FastStream %s, it is tried again"
        _LOG.warning(text, self._alias, problem, extra={"reason": reason})

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await self.broker.stop()
        except Exception as error:  # noqa: BLE001 - others are to be stopped, too
            self._tell("did not end well", type(error).__name__)
