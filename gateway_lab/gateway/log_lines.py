"""What may be shown of a log record: all of ours, of other libraries' only who spoke and where.

Client libraries put addresses, users and parts of messages into their texts. Their lines would say
little else: what matters of a broker's trouble comes as an error with a class, and is logged here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

OURS: Final = "gateway_lab"

FIELDS: Final = ("source", "reason", "broker", "worker", "request_id", "trace_id", "span_id")
"""What a record may say besides its text, by `extra`."""

request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The request id of the message that is handled here; empty where nobody asked for one."""


def line_of(record: logging.LogRecord) -> dict[str, str]:
    """Return a record as texts by name: time, level, message, and `FIELDS` where it has them."""
    line = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
        "level": record.levelname.lower(),
        "message": _text(record),
    }
    given = {"request_id": request_id.get(), **trace_of_here()}
    given |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
    return line | {name: str(value) for name, value in given.items() if value != ""}


def trace_of_here() -> dict[str, str]:
    """Return trace_id and span_id of the span that is current; nothing where there is none."""
    api = sys.modules.get("opentelemetry.trace")  # whoever began a span has imported it
    context = api.get_current_span().get_span_context() if api else None
    if context is None or not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _text(record: logging.LogRecord) -> str:
    if record.name == OURS or record.name.startswith(f"{OURS}."):
        return record.getMessage()
    kind = record.exc_info[0] if record.exc_info else None
    raised = f": {kind.__name__}" if kind else ""
    return f"{record.name} says {record.levelname}{raised} ({record.filename}:{record.lineno})"


class _Calling(logging.Handler):
    def __init__(self, tell: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record)


@contextmanager
def logging_to(tell: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Tell all records of ours from INFO on and, of others, warnings; nobody else is told any.

    Other handlers would write over a table, or write what must not be shown. `tell` may be called
    from any thread, by one at a time.
    """
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before = root.handlers[:], root.level, ours.level
    root.handlers[:] = [_Calling(tell)]
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.INFO)
    logging.captureWarnings(True)  # noqa: FBT003 - its signature
    try:
        yield
    finally:
        logging.captureWarnings(False)  # noqa: FBT003
        root.handlers[:], level, own = before
        root.setLevel(level)
        ours.setLevel(own)


def place_of(error: BaseException) -> str:
    """Say what kind of error it is and where it was raised, and nothing of its foreign text."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if isinstance(error, BaseExceptionGroup):
        return place_of(error.exceptions[0])
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} in {code.co_name} ({code.co_filename}:{trace.tb_lineno})"
