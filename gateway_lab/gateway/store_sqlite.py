"""SQLite: the embedded database; one file, nothing to install, many processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

import msgspec

from gateway_lab.brokers.contract import FailureClass
from gateway_lab.events.event_type import Kind
from gateway_lab.gateway.store import (
    GUARDS,
    Guard,
    RowRefusedError,
    Table,
    failed,
    guards_ddl,
    missing,
    quoted,
    quoted_path,
    table_ddl,
)
from gateway_lab.gateway.store_text import spell
from gateway_lab.rules.fill import Values

_BUSY_S: Final = 5.0
_TYPES: Final = MappingProxyType(
    {
        Kind.TEXT: "TEXT",
        Kind.BOOLEAN: "INTEGER",
        Kind.INTEGER: "INTEGER",
        Kind.NUMBER: "REAL",
        Kind.TIMESTAMP: "TEXT",
        Kind.LIST: "TEXT",
        Kind.OBJECT: "TEXT",
    }
)
_PASSES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})
_PASSES_TOO: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_INTERRUPT})


class SqliteStore:
    """A connection to a file; see `store.Store`."""

    def __init__(self, name: str, url: str) -> None:
        self._name, self._path = name, unquote(url.removeprefix("sqlite:///"))
        self._connection: sqlite3.Connection | None = None

    def prepare(self, table: Table, *, creates: bool) -> None:
        """Look whether both tables are there, or create them."""
        ddl = (table_ddl(table, _TYPES), guards_ddl("INTEGER"))
        with self._translated() as connection:
            for statement in ddl if creates else ():
                connection.execute(statement)
            for each, statement in zip((table.name, GUARDS), ddl, strict=True):
                room, _, own = each.rpartition(".")
                found = connection.execute(
                    f"PRAGMA {quoted(room or 'main')}.table_info({quoted(own)})"
                )
                if not (there := {row[1] for row in found}):
                    raise missing(each, ddl, self._name)
                if each == table.name and (lacking := table.columns.keys() - there):
                    reason = f"the table {each} has no column {', '.join(sorted(lacking))}"
                    raise failed(FailureClass.CONFIGURATION, reason, self._name, statement)

    def find(self, place: str, first: int, last: int) -> Guard | None:
        """Begin a transaction; there is one writer at a time."""
        with self._translated() as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute(
                f"SELECT first, last, rows, digest, aggregates FROM {GUARDS} "  # noqa: S608
                "WHERE place = ? AND last >= ? AND first <= ? ORDER BY last LIMIT 1",
                (place, first, last),
            ).fetchone()
        return _guard(place, row) if row else None

    def insert(self, table: Table, rows: Sequence[Values]) -> None:
        """Store rows, all or none."""
        columns, marks = map(", ".join, (map(quoted, table.columns), "?" * len(table.columns)))
        statement = f"INSERT INTO {quoted_path(table.name)} ({columns}) VALUES ({marks})"  # noqa: S608
        kinds = [each.kind for each in table.columns.values()]
        with self._translated() as connection:
            connection.execute("SAVEPOINT rows_of_batch")
            try:
                connection.executemany(statement, (tuple(map(_cell, row, kinds)) for row in rows))
            except (sqlite3.IntegrityError, sqlite3.DataError) as error:
                connection.execute("ROLLBACK TO rows_of_batch")
                reason = f"the database refuses the row: {error.sqlite_errorname}"
                raise RowRefusedError(reason) from None
            connection.execute("RELEASE rows_of_batch")

    def commit(self, guard: Guard | None) -> None:
        """Store the guard, and let everything since `find` last."""
        with self._translated() as connection:
            if guard:
                cells = msgspec.structs.astuple(guard)[:-1]
                aggregates = msgspec.json.encode(guard.aggregates).decode()
                connection.execute(
                    f"INSERT INTO {GUARDS} VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
                    (*cells, aggregates),
                )
            connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget everything since `find`."""
        with self._translated() as connection:
            connection.execute("ROLLBACK")

    def close(self) -> None:
        """End."""
        connection, self._connection = self._connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()

    def abort(self) -> None:
        """Make whatever waits for the database fail at once."""
        if connection := self._connection:
            with suppress(sqlite3.Error):
                connection.interrupt()

    @contextmanager
    def _translated(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._open()
        except sqlite3.Error as error:
            self.close()
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            of_class = FailureClass.CONFIGURATION
            if code in _PASSES | _PASSES_TOO:
                of_class = FailureClass.RETRYABLE
            told = getattr(error, "sqlite_errorname", type(error).__name__)
            raise failed(of_class, f"SQLite says {told}", self._name) from None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
        return self._connection


def _guard(place: str, row: Sequence[object]) -> Guard:
    values = dict(zip(("first", "last", "rows", "digest"), row, strict=False))
    aggregates = msgspec.json.decode(str(row[-1]), type=tuple[str, ...])
    return msgspec.convert({"place": place, **values, "aggregates": aggregates}, Guard)


def _cell(value: object, kind: Kind) -> object:
    """Write what SQLite has no type for as text."""
    if kind in {Kind.TIMESTAMP, Kind.LIST, Kind.OBJECT}:
        return None if value is None else spell(value, kind)
    return value
