"""The batches of a source that starts, with their connections to databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gateway_lab.config.document import Document
from gateway_lab.config.plan import BatchPlan, Plan
from gateway_lab.errors import ConfigError
from gateway_lab.gateway.batching.batching import Batching, Collector
from gateway_lab.gateway.batching.writer import Writer
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.stores.store import Store, open_store
from gateway_lab.gateway.telemetry.watch import Watch
from gateway_lab.gateway.window import MAX_MESSAGES


@contextmanager
def open_batching(
    config: Document,
    plan: Plan,
    counters: Counters,
    environ: Mapping[str, str],
    watch: Watch,
    *,
    creates: bool,
) -> Iterator[Batching | None]:
    """Make the batches of a source, and end their connections; None: it has none.

    Raises:
        BrokerError: A database has no address, or it cannot be read.
        MissingExtraError: A database's client library is not installed.
        ConfigError: A batch that cannot run.
    """
    names = plan.sources[counters.source].batches
    if not names:
        yield None
        return
    writers = [_writer(config, plan, name, environ, creates=creates) for name in names]
    batching = Batching([Collector(each, config, plan, counters, watch) for each in writers])
    try:
        yield batching
    finally:
        batching.close()


def _writer(
    config: Document, plan: Plan, name: str, environ: Mapping[str, str], *, creates: bool
) -> Writer:
    batch = plan.batches[name]
    _refuse(batch)
    store: Store | None = None
    if batch.model.store:
        store = open_store(batch.model.store.database, environ)
    return Writer(plan, batch, store, gateway=config.name, creates=creates)


def _refuse(batch: BatchPlan) -> None:
    """Refuse what would never come to an end."""
    where = f"batches.{batch.name}"
    if batch.size > MAX_MESSAGES:
        problem = f"a source holds {MAX_MESSAGES:,} messages at most, and size is {batch.size:,}"
        raise ConfigError(problem, where=where, hint="lower `size`")
