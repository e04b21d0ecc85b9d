"""PostgreSQL: rows by COPY; the text of COPY is read by the server, whatever a column's type."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from gateway_lab.brokers.addresses import is_loopback
from gateway_lab.brokers.contract import BrokerError, FailureClass
from gateway_lab.events.event_type import Kind
from gateway_lab.gateway.stores.store import (
    GUARDS,
    IDS,
    INTO_GUARDS,
    INTO_IDS,
    Guard,
    RowRefusedError,
    Table,
    database_variable,
    failed,
    found_guard,
    missing,
    quoted,
    quoted_path,
)
from gateway_lab.gateway.stores.text import copy_lines
from gateway_lab.rules.fill import Values

_CONNECT_S: Final = 10
_PATIENCE: Final = "SET LOCAL lock_timeout = '30s'"
"""Who waits for others says so after a while; left to an address that has options of its own.

A pooler in between takes no such option at the start of a session.
"""

_TYPES: Final = MappingProxyType(
    {
        Kind.TEXT: "text",
        Kind.BOOLEAN: "boolean",
        Kind.INTEGER: "bigint",
        Kind.NUMBER: "double precision",
        Kind.TIMESTAMP: "timestamptz",
        Kind.LIST: "jsonb",
        Kind.OBJECT: "jsonb",
    }
)
_OF_THE_ROW: Final = ("22", "23")
"""Classes of SQLSTATE: data exceptions and constraints."""

_PASSES: Final = ("08", "25", "40", "53", "55", "57", "58", "XX")
"""Connection, transaction ended, conflict, no resources, in use, operator, system, internal."""

_MISSING: Final = frozenset({"42P01", "3F000"})
"""No such table, no such schema."""

_NO_RIGHT: Final = "42501"
_WORDS: Final = MappingProxyType(
    {
        "08": "is away or broke the connection",
        "25": "is read-only, or ended the transaction",
        "28": "refuses the login",
        "3D": "has no such database",
        "40": "saw a conflict with others",
        "42": "has other tables than the batch needs",
        "42501": "gives no right to do that",
        "53": "has too little memory, room or connections",
        "53100": "has no room left on its disk",
        "53300": "has no connection left",
        "55": "is busy: somebody holds what is needed",
        "57": "ended the session: it stops, starts, or was told to",
        "58": "has trouble with its system",
        "XX": "has trouble of its own",
    }
)
"""SQLSTATE, or class of it, in words."""

_FORGET: Final = f"DELETE FROM {GUARDS} WHERE place = %s"  # noqa: S608 - a constant
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_FOUND: Final = (
    f"SELECT first, last, rows, digest, aggregates FROM {GUARDS} "  # noqa: S608 - a constant
    "WHERE place = %s AND last >= %s AND first <= %s ORDER BY last LIMIT 1"
)
_FOUND_IDS: Final = (
    f"SELECT i.id, i.batch, b.first, b.last, b.rows, b.digest, b.aggregates FROM {IDS} i "  # noqa: S608
    f"JOIN {GUARDS} b ON b.place = i.batch WHERE i.place = %s AND i.id = ANY(%s)"
)
_KEEP: Final = f"INSERT INTO {INTO_GUARDS} VALUES (%s, %s, %s, %s, %s, %s)"  # noqa: S608 - a constant
_KEEP_IDS: Final = f"INSERT INTO {INTO_IDS} SELECT %s, unnest(%s::text[]), %s"


class PostgresStore:
    """A connection to PostgreSQL; see `store.Store`."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._options = _read(name, url)
        self._connection: psycopg.Connection[Any] | None = None
        self._is_aborted = False
        self._needed: dict[str, str] = {}

    def prepare(self, table: Table, *, creates: bool) -> None:
        """Look whether both tables are there, or create them."""
        needed = self._needed = table.needed(_TYPES)
        columns = {table.name: ", ".join(map(quoted, table.columns)), GUARDS: "aggregates"}
        with self._translated() as connection:
            for statement in needed.values() if creates else ():
                connection.execute(statement.encode())
            for each in needed:
                names = columns.get(each, "batch")
                select = f"SELECT {names} FROM {quoted_path(each)} LIMIT 0"  # noqa: S608 - quoted
                connection.execute(select.encode())
            connection.commit()

    def find(self, place: str, first: int, last: int) -> Guard | None:
        """Begin a transaction; the lock of a place goes with it."""
        rows = self._find(place, _FOUND, first, last)
        return found_guard(place, rows[0]) if rows else None

    def find_ids(self, place: str, ids: Sequence[str]) -> Mapping[str, Guard]:
        """Begin a transaction; the lock of a place goes with it."""
        rows = self._find(place, _FOUND_IDS, list(ids))
        return {id_: found_guard(batch, row) for id_, batch, *row in rows}

    def _find(self, place: str, statement: LiteralString, *of: object) -> list[tuple[Any, ...]]:
        with self._translated() as connection:
            with connection.pipeline():  # one way there and back
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                if "options" not in self._options:
                    connection.execute(_PATIENCE)
                connection.execute(_LOCK, (place,))
                found = connection.execute(statement, (place, *of))
            return found.fetchall()

    def insert(self, table: Table, rows: Sequence[Values]) -> None:
        """Store rows, all or none."""
        columns = ", ".join(map(quoted, table.columns))
        statement = f"COPY {quoted_path(table.name)} ({columns}) FROM STDIN".encode()
        lines = copy_lines(rows, [each.kind for each in table.columns.values()])
        with self._translated() as connection:
            connection.execute("SAVEPOINT rows_of_batch")
            try:
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    copy.write(lines)
            except psycopg.Error as error:
                if (error.sqlstate or "")[:2] not in _OF_THE_ROW:
                    raise
                connection.execute("ROLLBACK TO rows_of_batch")
                raise RowRefusedError(_refusal(error)) from None

    def commit(self, guard: Guard | None) -> None:
        """Store the guard, and let everything since `find` last."""
        with self._translated() as connection, connection.pipeline():
            if guard:
                cells = (guard.place, guard.first, guard.last, guard.rows, guard.digest)
                connection.execute(_KEEP, (*cells, guard.saved_aggregates))
            if guard and guard.ids:
                connection.execute(_KEEP_IDS, (guard.partition, list(guard.ids), guard.place))
            connection.commit()

    def rollback(self) -> None:
        """Forget everything since `find`."""
        with self._translated() as connection:
            connection.rollback()

    def forget(self, table: Table, place: str) -> None:
        """Remove a table, and the guards of a place."""
        with self._translated() as connection:
            connection.execute(f"DROP TABLE {quoted_path(table.name)}".encode())
            connection.execute(_FORGET, (place,))
            connection.commit()

    def close(self) -> None:
        """End."""
        connection, self._connection = self._connection, None
        if connection:
            with suppress(psycopg.Error, OSError):
                connection.close()

    def abort(self) -> None:
        """Cut the connection: a thread that waits for an answer of it gets one."""
        self._is_aborted = True
        if connection := self._connection:
            with (
                suppress(psycopg.Error, OSError),
                socket.socket(fileno=os.dup(connection.fileno())) as line,
            ):
                line.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _translated(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            yield self._open()
        except psycopg.Error as error:
            self.close()
            raise self._error(error) from None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            if self._is_aborted:
                raise psycopg.OperationalError
            connect = cast("Any", psycopg.connect)
            self._connection = connect(**self._options, connect_timeout=_CONNECT_S)
        return self._connection

    def _error(self, error: psycopg.Error) -> BrokerError:
        """Say what happened without the library's words: they may show what was to be stored."""
        state = error.sqlstate or ""
        if state in _MISSING and self._needed:
            told = error.diag.message_primary or ""
            names = [each for each in self._needed if f'"{each}"' in told] or [*self._needed]
            return missing(names[0], list(self._needed.values()), self._name)
        if not state and isinstance(error, psycopg.OperationalError):
            state = "28000" if _is_refused(error) else "08006"
        told = _WORDS.get(state) or _WORDS.get(state[:2]) or "refuses it"
        reason = f"PostgreSQL {told} ({type(error).__name__} {state})"
        if state[:2] in _PASSES:
            return failed(FailureClass.RETRYABLE, reason, self._name)
        hint = f"look at the address in {database_variable(self._name)}"
        if state[:2] == "42" and state != _NO_RIGHT:
            hint = "look at the tables; they are made so:\n" + "\n".join(self._needed.values())
        return failed(FailureClass.CONFIGURATION, reason, self._name, hint)


def _is_refused(error: psycopg.Error) -> bool:
    """Say whether a connection was refused for good: libpq hands out no SQLSTATE for that."""
    text = str(error)
    kinds = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password")
    return any(each in text for each in kinds)


def _refusal(error: psycopg.Error) -> str:
    diag = error.diag
    what = diag.column_name or diag.constraint_name
    told = f"{type(error).__name__} {error.sqlstate}" + (f" of {what}" if what else "")
    return f"the database refuses the row: {told}"


def _read(name: str, url: str) -> dict[str, Any]:
    """Read an address; over another machine's network it must be encrypted and verified.

    Raises:
        BrokerError: It cannot be read, or would send what is not encrypted.
    """
    try:
        options = conninfo_to_dict(url)
    except psycopg.Error:
        reason = f"the address cannot be read ({database_variable(name)})"
        hint = "it looks like postgresql://user:password@localhost:5432/name"
        raise failed(FailureClass.CONFIGURATION, reason, name, hint) from None
    if not _is_near(options) and options.get("sslmode") not in {"verify-full", "verify-ca"}:
        reason = "the database is on another machine and its certificate is not verified"
        hint = "add ?sslmode=verify-full&sslrootcert=FILE to its address"
        raise failed(FailureClass.CONFIGURATION, reason, name, hint)
    return dict(options)


def _is_near(options: Mapping[str, Any]) -> bool:
    """Say whether it is on this machine, also by what libpq takes from its own variables."""
    if "service" in options:
        return False
    usual = {each.keyword.decode(): each.val for each in pq.Conninfo.get_defaults()}
    told = (options.get(name) or (usual[name] or b"").decode() for name in ("host", "hostaddr"))
    hosts = ",".join(filter(None, told)) or "localhost"
    return all(is_loopback(each) or each.startswith("/") for each in hosts.split(","))
