"""Middlewares that come with the gateway; give the classes to `Gateway(middlewares=[…])`.

Gateway(config, middlewares=[RequestId, Timing])
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from types import TracebackType
from typing import Any, Final
from uuid import uuid4

from faststream import BaseMiddleware, ContextRepo, PublishCommand

from gateway_lab.gateway.log_lines import request_id

REQUEST_ID_HEADER: Final = "x-request-id"

_PLAIN: Final = re.compile(r"[\x21-\x7e]{1,128}")
"""What an id may be: others write it, and it goes into logs and onto every broker."""

_LOG: Final = logging.getLogger("gateway_lab.messages")


class RequestId(BaseMiddleware[PublishCommand, Any]):
    """Takes the request id of a message, or makes one, and gives it to all that follows from it.

    It stands in the context variable `request_id`, in log records as `request_id`, and in the
    header `x-request-id` of every target. An id that is no plain text of at most 128 characters is
    replaced.
    """

    def __init__(self, msg: Any, /, *, context: ContextRepo) -> None:
        super().__init__(msg, context=context)
        given = next(
            (value for name, value in msg.headers if name.lower() == REQUEST_ID_HEADER), b""
        )
        text = given.decode("ascii", errors="replace")
        self.request_id = text if _PLAIN.fullmatch(text) else str(uuid4())

    async def on_receive(self) -> None:
        """Set the context variable; the next message of its lane begins without one."""
        request_id.set(self.request_id)

    async def publish_scope(
        self, call_next: Callable[[PublishCommand], Awaitable[Any]], cmd: PublishCommand
    ) -> Any:
        """Give the id to a target."""
        others = {n: v for n, v in cmd.headers.items() if n.lower() != REQUEST_ID_HEADER}
        cmd.headers = {**others, REQUEST_ID_HEADER: self.request_id}
        return await call_next(cmd)


class Timing(BaseMiddleware[PublishCommand, Any]):
    """Logs how long each message took from its handler to its deliveries, and how it ended."""

    def __init__(self, msg: Any, /, *, context: ContextRepo) -> None:
        super().__init__(msg, context=context)
        self._begun = perf_counter()

    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool | None:
        """Log it; a failed try says of what kind its error was."""
        seconds = perf_counter() - self._begun
        ended = f"failed: {exc_type.__name__}" if exc_type else "done"
        _LOG.info("a message took %.6f s: %s", seconds, ended, extra={"seconds": seconds})
        return await super().after_processed(exc_type, exc_val, exc_tb)


class RequestIdFilter(logging.Filter):
    """Puts the request id into log records, as `record.request_id`: add it to a logging handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add it to a record; every record passes."""
        record.request_id = request_id.get()
        return True
