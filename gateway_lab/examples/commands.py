"""Commands: services are injected into a handler, and middlewares stand around it.

Both services of a message share one transaction: it is kept if the handler ends well, else undone.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from faststream import BaseMiddleware, Depends, Logger, PublishCommand
from faststream.exceptions import RejectMessage
from pydantic import BaseModel

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.stage import Stage
from gateway_lab.examples.tables import delivered, letters
from gateway_lab.gateway.handlers.middlewares import RequestId, RequestIdFilter, Timing


class User(BaseModel):
    """A user as other services see one."""

    user_id: int
    username: str
    is_active: bool


DATABASE = sqlite3.connect(":memory:")  # so that no call waits for a disk
DATABASE.executescript("""
    CREATE TABLE users (user_id INTEGER PRIMARY KEY, username TEXT, is_active INTEGER);
    CREATE TABLE audit (user_id INTEGER, action TEXT);
    INSERT INTO users VALUES (1, 'ada', 1), (2, 'bob', 0);
""")
_TURN = asyncio.Lock()


async def transaction() -> AsyncIterator[sqlite3.Connection]:
    """Open a transaction, one at a time; what follows `yield` is done when the handler has ended."""
    async with _TURN:
        with DATABASE:
            yield DATABASE


Transaction = Annotated[sqlite3.Connection, Depends(transaction)]


class UserService:
    """Knows the users."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def find(self, user_id: int) -> User | None:
        """Return a user; None if there is none."""
        select = "SELECT username, is_active FROM users WHERE user_id = ?"
        row = self._database.execute(select, (user_id,)).fetchone()
        return row and User(user_id=user_id, username=row[0], is_active=row[1])


class AuditService:
    """Writes down who asked for what."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def note(self, user_id: int, action: str) -> None:
        """Add a line."""
        self._database.execute("INSERT INTO audit VALUES (?, ?)", (user_id, action))


async def user_service(database: Transaction) -> UserService:
    """Make the service of one message; a test puts another one in its place."""
    return UserService(database)


async def audit_service(database: Transaction) -> AuditService:
    """Make the service of one message, on the transaction that the other one has."""
    return AuditService(database)


class HandledBy(BaseMiddleware[PublishCommand, Any]):
    """Tells every target who handled the message."""

    async def publish_scope(
        self, call_next: Callable[[PublishCommand], Awaitable[Any]], cmd: PublishCommand
    ) -> Any:
        """Add a header to what is sent."""
        cmd.add_headers({"x-handled-by": "user-commands"})
        return await call_next(cmd)


gateway = gl.Gateway(
    gl.read_config(Path(__file__).with_suffix(".yaml")),
    middlewares=[RequestId, Timing, HandledBy],
)


@gateway.handler("commands")
async def look_up(
    user_id: int,
    users: Annotated[UserService, Depends(user_service)],
    audit: Annotated[AuditService, Depends(audit_service)],
    logger: Logger,
) -> User:
    """Look a user up; who is nobody's id is a dead letter, and leaves no line in the audit."""
    audit.note(user_id, "looked up")
    user = users.find(user_id)
    if user is None:
        logger.warning("there is no such user")
        raise RejectMessage
    return user


class Lines(logging.Handler):
    """Keeps log lines with their request id, as a log file would."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.addFilter(RequestIdFilter())
        self.rows: list[tuple[str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.rows.append((getattr(record, "request_id", ""), record.levelname, record.getMessage()))


@contextmanager
def kept_lines() -> Iterator[list[tuple[str, str, str]]]:
    """Keep what handlers and middlewares log."""
    lines, loggers = Lines(), [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addHandler(lines)
        logger.setLevel(logging.INFO)
    try:
        yield lines.rows
    finally:
        for logger in loggers:
            logger.removeHandler(lines)
            logger.setLevel(logging.NOTSET)


LOOKS = {"work": ["users.active", "users.inactive"], "stream": ["dead-letter.commands"]}
LOGGERS = ("gateway_lab.handlers", "gateway_lab.messages")


async def run(stage: Stage) -> dict[str, pl.DataFrame]:
    """Ask for three users, one of whom nobody knows."""
    with kept_lines() as lines:
        async with LiveRun(gateway, stage, LOOKS) as live:
            for user_id in (1, 2, 99):
                asked = message({"user_id": user_id}, x_request_id=f"r-{user_id}")
                await live.publish("stream", "user-commands", [asked])
            messages = await live.arrived()
    audit = DATABASE.execute("SELECT * FROM audit").fetchall()
    return {
        "arrived": delivered(messages),
        "dead letters": letters(messages),
        "audit": pl.DataFrame(audit, schema=["user_id", "action"], orient="row"),
        "log": pl.DataFrame(lines, schema=["request_id", "level", "line"], orient="row"),
    }
