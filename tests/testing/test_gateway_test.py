from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

import pytest
from faststream import Depends
from pydantic import BaseModel

import gateway_lab as gl
from gateway_lab.gateway.handlers.middlewares import RequestId

pytestmark = pytest.mark.anyio

USERS = """
gateway_lab: 1
name: users
brokers: {stream: kafka, queue: rabbitmq}
events:
  User:
    type: object
    required: [user_id, action]
    properties: {user_id: {type: integer}, action: {type: string}}
sources:
  users: {broker: stream, channel: user-events, event: User, handler: {returns: User}}
targets:
  changed: {broker: queue, channel: "user.{action}"}
routers:
  users:
    source: users
    match: all
    routes: [{name: all, to: [changed]}]
    unmatched: drop
retry: {attempts: 2, initial: 1ms}
dead_letter: {broker: queue, channel: dead}
"""


class User(BaseModel):
    user_id: int
    action: str


async def next_id() -> int:
    raise AssertionError("a test has no database")


async def seven() -> int:
    return 7


def made(*middlewares: type[RequestId]) -> gl.Gateway:
    gateway = gl.Gateway(gl.parse_config(USERS), environ={}, middlewares=middlewares)

    @gateway.handler("users")
    async def create(user: User, number: Annotated[int, Depends(next_id)]) -> User:
        return User(user_id=number, action=user.action)

    return gateway


async def test_handlers_and_routes_run_without_a_server() -> None:
    gateway = made(RequestId)
    gateway.dependencies.override(next_id, seven)
    async with gl.GatewayTest(gateway) as test:
        await test.publish("users", User(user_id=0, action="create"), key="a")
        await test.publish(
            "users", {"user_id": 0, "action": "delete"}, headers={"x-request-id": "r1"}
        )
    (created,) = test.fetch("queue", "user.create")
    (deleted,) = test.fetch("queue", "user.delete")
    assert created.body == b'{"user_id":7,"action":"create"}'
    assert ("x-request-id", b"r1") in deleted.headers
    assert test.letters("users") == []


async def test_a_handler_that_fails_leaves_its_letter() -> None:
    async with gl.GatewayTest(made()) as test:
        await test.publish("users", User(user_id=0, action="create"))
        (letter,) = test.letters("users")
    assert ("x-gw-dlq-attempts", b"2") in letter.headers
    assert ("x-gw-dlq-class", b"handler") in letter.headers
    assert test.fetch("queue", "user.create") == []


async def test_names_that_are_wrong_are_told() -> None:
    async with gl.GatewayTest(made()) as test:
        with pytest.raises(gl.GatewayLabError, match="there is no source 'user'"):
            await test.publish("user", {})
        with pytest.raises(gl.GatewayLabError, match="there is no broker 'queu'"):
            test.fetch("queu", "x")
        with pytest.raises(gl.GatewayLabError, match="there is no source 'user'"):
            test.letters("user")


async def test_a_source_that_stopped_says_why() -> None:
    gateway = gl.Gateway(
        gl.parse_config(USERS.replace("dead_letter: {broker: queue, channel: dead}\n", "")),
        environ={},
    )

    @gateway.handler("users")
    async def fail() -> None:
        raise RuntimeError("away")

    async with gl.GatewayTest(gateway) as test:
        with pytest.raises(gl.GatewayLabError, match="the config has no channel for it: fail: Run"):
            await test.publish("users", User(user_id=0, action="create"))


async def test_batches_store_in_the_database_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.db"
    monkeypatch.setenv("GATEWAY_DATABASE_ROWS_URL", f"sqlite:///{file}")
    batches = """
batches:
  load:
    source: users
    size: 1
    every: 1m
    rows: {id: "{user_id}"}
    store: {database: rows, table: users}
"""
    gateway = gl.Gateway(gl.parse_config(USERS + batches), environ={})

    @gateway.handler("users")
    async def create(user: User) -> User:
        return user

    async with gl.GatewayTest(gateway) as test:
        await test.publish("users", User(user_id=7, action="create"))
    with closing(sqlite3.connect(file)) as rows:
        assert rows.execute("SELECT id FROM users").fetchall() == [(7,)]
