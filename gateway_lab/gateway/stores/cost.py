"""Measures what a transaction and a row cost in a real database, by the way that batches go."""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Final

from gateway_lab.batches.cost import StoreCost
from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.gateway.stores.store import Guard, Store, Table, database_variable, open_store
from gateway_lab.rules.fill import Values

FEW, MANY = 10, 2_000
"""Rows of the transactions that are compared."""

ROUNDS: Final = 15

_NAME: Final = "measured"
_COLUMNS: Final = {
    "ts": ValueType(Kind.TIMESTAMP),
    "value": ValueType(Kind.NUMBER),
    "tags": ValueType(Kind.OBJECT),
}
_ROW: Final[Values] = (1_767_600_000_000_000, 97.53, b'{"host": "web-17", "name": "cpu"}')


def measure_store(url: str, *, rounds: int = ROUNDS) -> StoreCost:
    """Measure what storing batches costs a database: it writes, and removes what it wrote.

    Transactions of few and of many rows (a time, a number and an object each) with their guards
    go into a table of their own, in turns; it is dropped in the end. The table `gateway_batches`
    is made where it is missing, and stays.

    Args:
        url: The address, as `GATEWAY_DATABASE_<NAME>_URL` has it; it is shown nowhere.
        rounds: How often each is measured; the median counts.

    Raises:
        BrokerError: The address cannot be read, or the database is away or gives no right to
            create a table.
        MissingExtraError: Its client library is not installed.
    """
    store = open_store(_NAME, {database_variable(_NAME): url})
    table = Table(f"gateway_lab_measured_{secrets.token_hex(4)}", _COLUMNS)
    try:
        store.prepare(table, creates=True)
        taken = [_round(store, table, number) for number in range(max(1, rounds) + 1)]
        store.forget(table, table.name)
    finally:
        store.close()
    few, many = (statistics.median(each) for each in zip(*taken[1:], strict=True))
    per_row = max(0.0, (many - few) / (MANY - FEW))
    scheme = url.partition("://")[0]
    return StoreCost(
        per_batch=max(0.0, few - FEW * per_row),
        per_row=per_row,
        origin=f"measured: {scheme}, the median of {max(1, rounds)} rounds",
    )


def _round(store: Store, table: Table, number: int) -> Sequence[float]:
    """Measure one transaction of each size, in seconds; the first round warms up."""
    return [_transaction(store, table, number * MANY * 2 + rows, rows) for rows in (FEW, MANY)]


def _transaction(store: Store, table: Table, first: int, rows: int) -> float:
    guard = Guard(
        place=table.name, first=first, last=first + rows - 1, rows=rows, digest="", aggregates=()
    )
    start = perf_counter()
    store.find(guard.place, guard.first, guard.last)
    store.insert(table, [_ROW] * rows)
    store.commit(guard)
    return perf_counter() - start
