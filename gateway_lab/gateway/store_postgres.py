"""PostgreSQL: rows by COPY; the text of COPY is read by the server, whatever a column's type."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from gateway_lab.brokers.addresses import is_loopback
from gateway_lab.brokers.contract import BrokerError, FailureClass
from gateway_lab.events.event_type import Kind
from gateway_lab.gateway.store import (
    GUARDS,
    Guard,
    RowRefusedError,
    Table,
    database_variable,
    failed,
    guards_ddl,
    missing,
    quoted,
    quoted_path,
    table_ddl,
)
from gateway_lab.gateway.store_text import copy_lines
from gateway_lab.rules.fill import Values

_CONNECT_S: Final = 10
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

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_FOUND: Final = (
    f"SELECT first, last, rows, digest, aggregates FROM {GUARDS} "  # noqa: S608 - a constant
    "WHERE place = %s AND last >= %s AND first <= %s ORDER BY last LIMIT 1"
)
_KEEP: Final = f"INSERT INTO {GUARDS} VALUES (%s, %s, %s, %s, %s, %s)"  # noqa: S608 - a constant


class PostgresStore:
    """A connection to PostgreSQL; see `store.Store`."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._options = _read(name, url)
        self._connection: psycopg.Connection[Any] | None = None
        self._is_aborted = False

    def prepare(self, table: Table, *, creates: bool) -> None:
        """Look whether both tables are there, or create them."""
        ddl = (table_ddl(table, _TYPES), guards_ddl("bigint"))
        with self._translated(table, ddl) as connection:
            for statement in ddl if creates else ():
                connection.execute(statement.encode())
            columns = ", ".join(map(quoted, table.columns))
            for each, names in ((table.name, columns), (GUARDS, "aggregates")):
                select = f"SELECT {names} FROM {quoted_path(each)} LIMIT 0"  # noqa: S608 - quoted
                connection.execute(select.encode())
            connection.commit()

    def find(self, place: str, first: int, last: int) -> Guard | None:
        """Begin a transaction; the lock of a place goes with it."""
        with self._translated() as connection:
            with connection.pipeline():  # one way there and back
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                connection.execute(_LOCK, (place,))
                found = connection.execute(_FOUND, (place, first, last))
            row = found.fetchone()
        if row is None:
            return None
        aggregates = msgspec.json.decode(row[4], type=tuple[str, ...])
        return Guard(
            place=place,
            first=row[0],
            last=row[1],
            rows=row[2],
            digest=row[3],
            aggregates=aggregates,
        )

    def insert(self, table: Table, rows: Sequence[Values]) -> None:
        """Store rows, all or none."""
        columns = ", ".join(map(quoted, table.columns))
        statement = f"COPY {quoted_path(table.name)} ({columns}) FROM STDIN".encode()
        lines = copy_lines(rows, [each.kind for each in table.columns.values()])
        with self._translated(table) as connection:
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
                cells = msgspec.structs.astuple(guard)[:-1]
                aggregates = msgspec.json.encode(guard.aggregates).decode()
                connection.execute(_KEEP, (*cells, aggregates))
            connection.commit()

    def rollback(self) -> None:
        """Forget everything since `find`."""
        with self._translated() as connection:
            connection.rollback()

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
    def _translated(
        self, table: Table | None = None, ddl: Sequence[str] = ()
    ) -> Iterator[psycopg.Connection[Any]]:
        try:
            yield self._open()
        except psycopg.Error as error:
            self.close()
            raise self._error(error, table, ddl) from None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            if self._is_aborted:
                raise psycopg.OperationalError
            connect = cast("Any", psycopg.connect)
            self._connection = connect(**self._options, connect_timeout=_CONNECT_S)
        return self._connection

    def _error(self, error: psycopg.Error, table: Table | None, ddl: Sequence[str]) -> BrokerError:
        """Say what happened without the library's words: they may show what was to be stored."""
        state = error.sqlstate or ""
        if state == "42P01" and table:
            ddl = ddl or (table_ddl(table, _TYPES), guards_ddl("bigint"))
            is_guards = GUARDS in (error.diag.message_primary or "")
            return missing(GUARDS if is_guards else table.name, ddl, self._name)
        if not state and isinstance(error, psycopg.OperationalError) and _is_refused(error):
            state = "28000"
        told = f"{type(error).__name__} {state}".strip()
        if state[:2] in _PASSES or (not state and isinstance(error, psycopg.OperationalError)):
            return failed(FailureClass.RETRYABLE, f"PostgreSQL is away or busy: {told}", self._name)
        hint = ddl[0] if ddl else f"look at the address in {database_variable(self._name)}"
        return failed(FailureClass.CONFIGURATION, f"PostgreSQL refuses: {told}", self._name, hint)


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
    hosts = str(options.get("host") or "localhost").split(",")
    is_near = all(is_loopback(each) or each.startswith("/") for each in hosts)
    if not is_near and options.get("sslmode") not in {"verify-full", "verify-ca"}:
        reason = "the database is on another machine and its certificate is not verified"
        hint = "add ?sslmode=verify-full&sslrootcert=FILE to its address"
        raise failed(FailureClass.CONFIGURATION, reason, name, hint)
    return dict(options)
