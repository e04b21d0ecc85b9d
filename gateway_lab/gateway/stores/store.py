"""Where rows of batches go: the contract of every database, its address, and what it must have.

One transaction stores the rows of a batch and, beside them, a guard row in `gateway_batches` that
says which positions of which place are stored and what their aggregates are. Whoever reads those
positions again, after a crash or in another process, finds the guard and stores nothing. Where a
broker shares a channel out among its readers, a range of positions says nothing: there the ids of
the messages stand in a third table, a row each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, cast

import msgspec

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.config.plan import BatchPlan
from gateway_lab.errors import MissingExtraError
from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.rules.fill import Values

GUARDS: Final = "gateway_batches"
IDS: Final = "gateway_batch_ids"
INTO_GUARDS: Final = f"{GUARDS} (place, first, last, rows, digest, aggregates)"
INTO_IDS: Final = f"{IDS} (place, id, batch)"

_EXAMPLE: Final = "postgresql://user:password@localhost:5432/name"
_EMBEDDED: Final = "sqlite:///metrics.db"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a place: all that was to be stored from `first` to `last`, or of `ids`.

    Attributes:
        place: A partition of a source; with ids also which batch of it, and then the range is 0.
        rows: How many rows were stored.
        digest: Of the config that decided.
        aggregates: The bodies of the messages that the groups became.
        ids: To be kept in a table of their own; not known of a guard that was found.
    """

    place: str
    first: int
    last: int
    rows: int
    digest: str
    aggregates: tuple[str, ...]
    ids: tuple[str, ...] = ()

    @property
    def partition(self) -> str:
        """The place that its ids are ids of: its own is that and which batch it is."""
        return self.place.rpartition("/")[0]

    @property
    def saved_aggregates(self) -> str:
        """The aggregates as one text."""
        return msgspec.json.encode(self.aggregates).decode()


def found_guard(place: str, row: Sequence[Any]) -> Guard:
    """Read a guard from `first, last, rows, digest, aggregates`."""
    first, last, rows, digest, saved = row
    aggregates = msgspec.json.decode(saved, type=tuple[str, ...])
    return Guard(
        place=place, first=first, last=last, rows=rows, digest=digest, aggregates=aggregates
    )


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a batch: its name, and its columns with the types of their values.

    Attributes:
        has_ids: Whether its messages are known again by ids.
    """

    name: str
    columns: Mapping[str, ValueType]
    has_ids: bool = False

    @classmethod
    def of(cls, plan: BatchPlan, *, has_ids: bool = False) -> Table:
        """Read it from a batch that is stored."""
        store = plan.model.store
        name = store.table if store else ""
        columns = {column: template.type for column, template in plan.rows.items()}
        return cls(name, columns, has_ids)

    def needed(self, types: Mapping[Kind, str]) -> dict[str, str]:
        """Name all tables that must be there, with the statements that make them."""
        ids = {IDS: ids_ddl(types)} if self.has_ids else {}
        return {self.name: table_ddl(self, types), GUARDS: guards_ddl(types), **ids}


class RowRefusedError(Exception):
    """The database refuses some row for what it holds; the text holds nothing of it."""


class Store(Protocol):
    """One connection, used from one thread at a time; `close` and `abort` from any.

    Each method but `close` and `abort` raises a BrokerError: `retryable` where the database is
    away, full or busy, after which `find` begins anew; `configuration` where it needs somebody.
    """

    def prepare(self, table: Table, *, creates: bool) -> None:
        """Look whether both tables are there, or create them."""

    def find(self, place: str, first: int, last: int) -> Guard | None:
        """Begin a transaction, keep others from the place, and find its first guard in a range."""

    def find_ids(self, place: str, ids: Sequence[str]) -> Mapping[str, Guard]:
        """Begin a transaction, keep others from the place, and find the guards of ids."""

    def insert(self, table: Table, rows: Sequence[Values]) -> None:
        """Store rows, all or none.

        Raises:
            RowRefusedError: One of them cannot be stored; the transaction is as it was before.
        """

    def commit(self, guard: Guard | None) -> None:
        """Store the guard, and let everything since `find` last."""

    def rollback(self) -> None:
        """Forget everything since `find`."""

    def forget(self, table: Table, place: str) -> None:
        """Remove a table, and the guards of a place."""

    def close(self) -> None:
        """End; never raises."""

    def abort(self) -> None:
        """Make whatever waits for the database fail at once; never raises."""


def insert_all(
    insert: Callable[[Sequence[Values]], None], rows: Sequence[Values]
) -> dict[int, str]:
    """Store rows, and split out those that are refused: index to reason."""
    refused: dict[int, str] = {}
    parts = [(0, len(rows))]
    while parts:
        start, behind = parts.pop()
        if start == behind:
            continue
        try:
            insert(rows[start:behind])
        except RowRefusedError as error:
            if behind - start == 1:
                refused[start] = str(error)
            else:
                middle = (start + behind) // 2
                parts += [(middle, behind), (start, middle)]
    return refused


# --- what the tables are ---


def missing(table: str, ddl: Sequence[str], database: str) -> BrokerError:
    """Say which table is not there, and how it is made."""
    failure = Failure(FailureClass.CONFIGURATION, f"there is no table {table}")
    hint = "create it, or run with --create-channels:\n" + "\n".join(ddl)
    return BrokerError(failure, where=f"database {database}", hint=hint)


def table_ddl(table: Table, types: Mapping[Kind, str]) -> str:
    """Write the statement that makes the table of a batch."""
    columns = ", ".join(
        f"{quoted(name)} {types[each.kind]}" for name, each in table.columns.items()
    )
    return f"CREATE TABLE IF NOT EXISTS {quoted_path(table.name)} ({columns});"


def guards_ddl(types: Mapping[Kind, str]) -> str:
    """Write the statement that makes the table of guards; by `stored`, old ones are removed."""
    integer = types[Kind.INTEGER]
    return (
        f"CREATE TABLE IF NOT EXISTS {GUARDS} (place text NOT NULL, first {integer} NOT NULL, "
        f"last {integer} NOT NULL, rows {integer} NOT NULL, digest text NOT NULL, "
        f"aggregates text NOT NULL, {_stored(types)}, PRIMARY KEY (place, last));"
    )


def ids_ddl(types: Mapping[Kind, str]) -> str:
    """Write the statement that makes the table of ids."""
    return (
        f"CREATE TABLE IF NOT EXISTS {IDS} (place text NOT NULL, id text NOT NULL, "
        f"batch text NOT NULL, {_stored(types)}, PRIMARY KEY (place, id));"
    )


def _stored(types: Mapping[Kind, str]) -> str:
    return f"stored {types[Kind.TIMESTAMP]} NOT NULL DEFAULT CURRENT_TIMESTAMP"


def quoted(name: str) -> str:
    """Write a name so that SQL takes it for one, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def quoted_path(name: str) -> str:
    """Write `table` or `schema.table`."""
    return ".".join(map(quoted, name.split(".")))


# --- where they are ---


def database_variable(name: str) -> str:
    """Name the environment variable that holds the address of a database."""
    return f"GATEWAY_DATABASE_{name.upper()}_URL"


def open_store(name: str, environ: Mapping[str, str]) -> Store:
    """Return the store of a database, not connected yet.

    Raises:
        BrokerError: Of class `configuration`: there is no address, or it cannot be read.
        MissingExtraError: Its client library is not installed.
    """
    variable = database_variable(name)
    url = environ.get(variable, "").strip()
    scheme = url.partition("://")[0]
    if scheme in {"postgresql", "postgres"}:
        return _load("postgres", "PostgresStore", "psycopg")(name, url)
    if scheme == "sqlite" and len(url) > len("sqlite:///"):
        return _load("sqlite", "SqliteStore", "")(name, url)
    problem = f"{variable} is no address of a database" if url else f"{variable} is not set"
    hint = f"export {variable}={_EXAMPLE}, or {variable}={_EMBEDDED} for a file"
    raise BrokerError(
        Failure(FailureClass.CONFIGURATION, problem), where=f"database {name}", hint=hint
    )


def _load(module: str, name: str, package: str) -> Callable[[str, str], Store]:
    try:
        found = import_module(f"gateway_lab.gateway.stores.{module}")
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(package, extra="postgresql") from error
    return cast("Callable[[str, str], Store]", getattr(found, name))


def failed(failure_class: FailureClass, reason: str, database: str, hint: str = "") -> BrokerError:
    """Make the error of a database; an error of its library may show what was to be stored."""
    return BrokerError(Failure(failure_class, reason), where=f"database {database}", hint=hint)
