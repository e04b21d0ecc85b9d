"""What is declared and not used, and what is switched off."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_lab.config.document import Document
from gateway_lab.config.report import Report
from gateway_lab.config.settings_used import settings_used
from gateway_lab.config.uses import broker_uses, event_uses, target_lists

EXACT_POSITIONS = frozenset({"kafka", "memory"})
"""Protocols whose partitions have one reader at a time, and positions that only grow."""

_NAMELESS = "rabbitmq"
"""The protocol whose messages have no names that last, unless their publisher gives them one."""


def check_usage(config: Document, report: Report) -> None:
    """Note what is never used and what is disabled."""
    routers = [each for each in config.routers.values() if each.enabled]
    readers = [source for router in routers for source in router.sources]
    readers += [batch.source for batch in config.batches.values()]
    _note_unused("settings", config.settings, (name for _, name in settings_used(config)), report)
    _note_unused("brokers", config.brokers, (alias for _, alias in broker_uses(config)), report)
    _note_unused("events", config.events, (event for _, event in event_uses(config)), report)
    _note_unused("sources", config.sources, readers, report)
    listed = (target for _, targets in target_lists(config) for target in targets)
    _note_unused("targets", config.targets, listed, report)
    _note_disabled(config, report)
    _check_batches(config, report)


def _check_batches(config: Document, report: Report) -> None:
    """Warn of batches whose work goes nowhere."""
    for name, batch in config.batches.items():
        path = ("batches", name)
        if batch.store is None and not batch.to:
            hint = "add `store`, or `aggregates` and `to`"
            report.add("batch-incomplete", path, "the batch is stored and sent nowhere", hint)
        elif (batch.store is None) != (not batch.rows):
            text = "`rows` and `store` belong together"
            report.add("batch-incomplete", path, text, "add the other, or remove both")
        elif batch.store:
            _check_positions(config, name, report)


def _check_positions(config: Document, name: str, report: Report) -> None:
    """Warn of rows that a crash may double: nothing tells which messages are stored."""
    source = config.sources.get(config.batches[name].source)
    for each in source.addresses if source else ():
        if config.brokers.get(each.broker) == _NAMELESS and not each.options.get("id_from"):
            text = "rows of rabbitmq may be stored twice: duplicates after a crash"
            hint = "let the source say `options: {id_from: message_id}`, if publishers set it"
            report.add("batch-repeats", ("batches", name, "source"), text, hint)
            return


def _note_unused(table: str, names: Iterable[str], used: Iterable[str], report: Report) -> None:
    known = set(used)
    for name in names:
        if name not in known:
            text = f"{name!r} of `{table}` is not used"
            report.add("unused", (table, name), text, "use it or remove it", is_key=True)


def _note_disabled(config: Document, report: Report) -> None:
    for name, router in config.routers.items():
        if not router.enabled:
            report.add(
                "disabled", ("routers", name), f"router {name!r} is switched off", is_key=True
            )
        for index, route in enumerate(router.routes):
            if not route.enabled:
                path = ("routers", name, "routes", index)
                report.add("disabled", path, f"route {route.name!r} is switched off")
