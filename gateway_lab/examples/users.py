"""Users: one plain function for Kafka, RabbitMQ, NATS and Redis; what is invalid is a dead letter.

The function keeps users in a database and returns the event, which a router sends to the service
of its action.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from faststream import Depends
from pydantic import BaseModel, Field

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.stage import Stage
from gateway_lab.examples.tables import delivered, letters
from gateway_lab.gateway.handlers.middlewares import RequestId


class UserEvent(BaseModel):
    """What happened to a user."""

    user_id: int = Field(gt=0)
    username: str = Field(min_length=1)
    action: Literal["create", "update", "delete"]


class Users:
    """The users that there are: SQLite in memory, so that no call waits for a disk.

    A message may come twice, so each statement has the same effect the second time.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.execute("CREATE TABLE users (user_id INTEGER PRIMARY KEY, username TEXT)")

    def put(self, user_id: int, username: str) -> None:
        """Add a user, or name one anew."""
        self._database.execute("INSERT OR REPLACE INTO users VALUES (?, ?)", (user_id, username))

    def remove(self, user_id: int) -> None:
        """Forget a user."""
        self._database.execute("DELETE FROM users WHERE user_id = ?", (user_id,))

    def rows(self) -> list[tuple[int, str]]:
        """Return all of them, by id."""
        return self._database.execute("SELECT * FROM users ORDER BY user_id").fetchall()


USERS = Users()


async def users() -> Users:
    """Where users are kept; a test puts another one in its place."""
    return USERS


async def create_user(event: UserEvent, kept: Users) -> None:
    """Add a user."""
    kept.put(event.user_id, event.username)


async def update_user(event: UserEvent, kept: Users) -> None:
    """Name a user anew."""
    kept.put(event.user_id, event.username)


async def delete_user(event: UserEvent, kept: Users) -> None:
    """Forget a user."""
    kept.remove(event.user_id)


ACTIONS = {"create": create_user, "update": update_user, "delete": delete_user}

gateway = gl.Gateway(gl.read_config(Path(__file__).with_suffix(".yaml")), middlewares=[RequestId])


@gateway.handler("users")
async def on_user(event: UserEvent, kept: Annotated[Users, Depends(users)]) -> UserEvent:
    """Do what the event asks for, wherever it comes from."""
    await ACTIONS[event.action](event, kept)
    return event


LOOKS = {"work": [*map("{}_user".format, ACTIONS)], "stream": ["dead-letter.users"]}


async def run(stage: Stage) -> dict[str, pl.DataFrame]:
    """Publish users on all four brokers, and show where they arrive."""
    async with LiveRun(gateway, stage, LOOKS) as live:
        ada = UserEvent(user_id=1, username="ada", action="create")
        await live.publish("stream", "user-events", [message(ada, key="1", x_request_id="r-1")])
        bob = UserEvent(user_id=2, username="bob", action="create")
        await live.publish("work", "user.queue", [message(bob)])
        await live.arrived()  # channels have no order among each other: what follows comes later
        renamed = UserEvent(user_id=1, username="ada lovelace", action="update")
        await live.publish("edge", "user.events", [message(renamed)])
        gone = UserEvent(user_id=2, username="bob", action="delete")
        await live.publish("cache", "user-events", [message(gone)])
        nobody = {"user_id": 0, "username": "", "action": "create"}
        unknown = {"user_id": 3, "username": "eve", "action": "rename"}
        await live.publish("stream", "user-events", [message(nobody), message(unknown)])
        messages = await live.arrived()
    rows = pl.DataFrame(USERS.rows(), schema=["user_id", "username"], orient="row")
    return {"arrived": delivered(messages), "dead letters": letters(messages), "users": rows}
