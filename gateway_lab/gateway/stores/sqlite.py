"""SQLite: the embedded database; one file, nothing to install, many processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import msgspec

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
from gateway_lab.gateway.stores.text import spell
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
_PASSES: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_INTERRUPT,
    }
)
_WORDS: Final = MappingProxyType(
    {
        sqlite3.SQLITE_BUSY: "another process holds the database",
        sqlite3.SQLITE_LOCKED: "another process holds the database",
        sqlite3.SQLITE_FULL: "the disk of the database has no room left",
        sqlite3.SQLITE_IOERR: "the disk of the database fails",
        sqlite3.SQLITE_INTERRUPT: "the gateway ends",
        sqlite3.SQLITE_CANTOPEN: "the file of the database cannot be opened",
        sqlite3.SQLITE_READONLY: "the file of the database may not be written",
        sqlite3.SQLITE_NOTADB: "the file is no database",
        sqlite3.SQLITE_CORRUPT: "the file of the database is damaged",
    }
)
_COLUMNS: Final = "first, last, rows, digest, aggregates"
_FOUND: Final = (
    f"SELECT {_COLUMNS} FROM {GUARDS} "  # noqa: S608 - constants
    "WHERE place = ? AND last >= ? AND first <= ? ORDER BY last LIMIT 1"
)
_FOUND_IDS: Final = (
    f"SELECT id, batch, {_COLUMNS} FROM {IDS} i JOIN {GUARDS} b ON b.place = i.batch "  # noqa: S608
    "WHERE i.place = ? AND id IN (SELECT value FROM json_each(?))"
)
_FORGET: Final = f"DELETE FROM {GUARDS} WHERE place = ?"  # noqa: S608 - a constant
_KEEP: Final = f"INSERT INTO {INTO_GUARDS} VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant
_KEEP_ID: Final = f"INSERT INTO {INTO_IDS} VALUES (?, ?, ?)"  # noqa: S608 - a constant


class SqliteStore:
    """A connection to a file; see `store.Store`."""

    def __init__(self, name: str, url: str) -> None:
        self._name, self._path = name, unquote(url.removeprefix("sqlite:///"))
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._needed: dict[str, str] = {}

    def prepare(self, table: Table, *, creates: bool) -> None:
        """Look whether both tables are there, or create them."""
        needed = self._needed = table.needed(_TYPES)
        with self._translated() as connection:
            for statement in needed.values() if creates else ():
                connection.execute(statement)
            for each, statement in needed.items():
                there = _columns(connection, each)
                if not there:
                    raise missing(each, list(needed.values()), self._name)
                if each == table.name and (lacking := table.columns.keys() - there):
                    reason = f"the table {each} has no column {', '.join(sorted(lacking))}"
                    raise failed(FailureClass.CONFIGURATION, reason, self._name, statement)

    def find(self, place: str, first: int, last: int) -> Guard | None:
        """Begin a transaction; there is one writer at a time."""
        rows = self._find(_FOUND, place, first, last)
        return found_guard(place, rows[0]) if rows else None

    def find_ids(self, place: str, ids: Sequence[str]) -> Mapping[str, Guard]:
        """Begin a transaction; there is one writer at a time."""
        rows = self._find(_FOUND_IDS, place, msgspec.json.encode(ids).decode())
        return {id_: found_guard(batch, row) for id_, batch, *row in rows}

    def _find(self, statement: str, *of: object) -> list[tuple[Any, ...]]:
        with self._translated() as connection:
            connection.execute("BEGIN IMMEDIATE")
            return connection.execute(statement, of).fetchall()

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
                cells = (guard.place, guard.first, guard.last, guard.rows, guard.digest)
                connection.execute(_KEEP, (*cells, guard.saved_aggregates))
            if guard and guard.ids:
                ids = ((guard.partition, each, guard.place) for each in guard.ids)
                connection.executemany(_KEEP_ID, ids)
            connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget everything since `find`."""
        with self._translated() as connection:
            connection.execute("ROLLBACK")

    def forget(self, table: Table, place: str) -> None:
        """Remove a table, and the guards of a place."""
        with self._translated() as connection:
            connection.execute(f"DROP TABLE {quoted_path(table.name)}")
            connection.execute(_FORGET, (place,))

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
            raise self._error(error) from None

    def _error(self, error: sqlite3.Error) -> BrokerError:
        """Say what happened without SQLite's words: they may show what was to be stored."""
        _, is_missing, name = str(error).partition("no such table: ")
        if is_missing and self._needed:
            return missing(name.removeprefix("main."), list(self._needed.values()), self._name)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        told = _WORDS.get(code, "SQLite refuses it")
        reason = f"{told} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
        of_class = FailureClass.RETRYABLE if code in _PASSES else FailureClass.CONFIGURATION
        hint = f"look at the file in {database_variable(self._name)}"
        return failed(of_class, reason, self._name, hint)

    def _require_file(self) -> None:
        """Refuse to write on into a file that is no longer there: nobody would ever read it.

        Raises:
            BrokerError: It was removed, or another is in its place.
        """
        if self._file in {None, _identity(self._path)}:
            return
        self.close()
        reason = "the file of the database is gone, or another one is in its place"
        hint = "put it back and restart, or begin a new one with --create-channels"
        raise failed(FailureClass.CONFIGURATION, reason, self._name, hint)

    def _open(self) -> sqlite3.Connection:
        self._require_file()
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._file = self._file or _identity(self._path)
        return self._connection


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    room, _, own = table.rpartition(".")
    found = connection.execute(f"PRAGMA {quoted(room or 'main')}.table_info({quoted(own)})")
    return {row[1] for row in found}


def _identity(path: str) -> tuple[int, int] | None:
    """Say which file it is, whatever it is called; None: there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _cell(value: object, kind: Kind) -> object:
    """Write what SQLite has no type for as text."""
    if kind in {Kind.TIMESTAMP, Kind.LIST, Kind.OBJECT}:
        return None if value is None else spell(value, kind)
    return value
