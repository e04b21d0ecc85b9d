"""Whether the names in a config mean something: brokers, events, sources, targets, reserved words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from gateway_lab.config.document import Document
from gateway_lab.config.model import RESERVED_NAMES
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import INVALID
from gateway_lab.config.report import Report
from gateway_lab.config.uses import address_places, broker_uses, event_uses, target_lists
from gateway_lab.errors import did_you_mean

ENDS = ("drop", "dead_letter")
"""What may stand, alone, instead of targets."""

_TABLES = ("settings", "brokers", "events", "sources", "targets", "routers", "batches")


def check_names(config: Document, report: Report) -> None:
    """Report every name that is unknown, reserved or there twice."""
    _reserved(config, report)
    _brokers(config, report)
    _addresses(config, report)
    _events(config, report)
    _sources(config, report)
    _targets(config, report)
    _duplicates(config, report)


def _reserved(config: Document, report: Report) -> None:
    for table in _TABLES:
        words = {INVALID} if table == "events" else RESERVED_NAMES
        for name in getattr(config, table):
            if name in words:
                text = f"{name!r} is a reserved word"
                report.add("reserved-name", (table, name), text, "choose another", is_key=True)
    for path, name in _route_names(config):
        if name in RESERVED_NAMES:
            report.add("reserved-name", path, f"{name!r} is a reserved word", "choose another")


def _route_names(config: Document) -> Iterator[tuple[DocumentPath, str]]:
    for router_name, router in config.routers.items():
        for index, route in enumerate(router.routes):
            yield ("routers", router_name, "routes", index, "name"), route.name


def _brokers(config: Document, report: Report) -> None:
    for path, alias in broker_uses(config):
        _require(report, "unknown-broker", path, "broker", alias, config.brokers)


def _addresses(config: Document, report: Report) -> None:
    for name, source in config.sources.items():
        path: DocumentPath = ("sources", name)
        given = [source.broker, source.channel, source.pattern]
        if source.from_ and (any(each is not None for each in given) or source.options):
            text = "an address stands beside `from`"
            report.add("source-address", path, text, "move it into the list")
        elif not source.from_ and source.broker is None:
            text = "the source does not say where it reads"
            report.add("source-address", path, text, "add `broker` and `channel`, or `from`")
        for place, address in address_places(name, source):
            if (address.channel is None) == (address.pattern is None):
                report.add(
                    "source-address", place, "exactly one of `channel` and `pattern` belongs here"
                )


def _events(config: Document, report: Report) -> None:
    for path, event in event_uses(config):
        _require(report, "unknown-event", path, "event type", event, config.events)


def _sources(config: Document, report: Report) -> None:
    for name, router in config.routers.items():
        for index, source in enumerate(router.sources):
            path: DocumentPath = ("routers", name, "source")
            path = path if isinstance(router.source, str) else (*path, index)
            _require(report, "unknown-source", path, "source", source, config.sources)
    for name, batch in config.batches.items():
        path = ("batches", name, "source")
        _require(report, "unknown-source", path, "source", batch.source, config.sources)


def _targets(config: Document, report: Report) -> None:
    for path, targets in target_lists(config):
        if not targets and path[0] != "batches":
            hint = "name targets, or write [drop]"
            report.add("empty-targets", path, "no target is named", hint)
        for target, count in Counter(targets).items():
            if count > 1:
                report.add("repeated-target", path, f"{target!r} stands {count} times")
        _check_list(path, targets, config.targets, report)


def _check_list(
    path: DocumentPath, targets: tuple[str, ...], known: Collection[str], report: Report
) -> None:
    for index, target in enumerate(targets):
        place = (*path, index)
        if target not in ENDS or path[0] == "batches":
            _require(report, "unknown-target", place, "target", target, known)
        elif len(targets) > 1:
            report.add("mixed-targets", place, f"`{target}` stands beside other targets")


def _duplicates(config: Document, report: Report) -> None:
    for name, router in config.routers.items():
        places: list[tuple[DocumentPath, str]] = [
            (("routers", name, "routes", index, "name"), route.name)
            for index, route in enumerate(router.routes)
        ]
        _report_repeated(places, "route", report)
    tests: list[tuple[DocumentPath, str]] = [
        (("tests", index, "name"), test.name) for index, test in enumerate(config.tests)
    ]
    _report_repeated(tests, "test", report)
    for name, batch in config.batches.items():
        for key in set(batch.group_by) & set(batch.aggregates):
            text = f"{key!r} is a field of the group already"
            path: DocumentPath = ("batches", name, "aggregates", key)
            report.add("duplicate-name", path, text, "rename one", is_key=True)


def _report_repeated(places: Iterable[tuple[DocumentPath, str]], word: str, report: Report) -> None:
    seen: set[str] = set()
    for path, name in places:
        if name in seen:
            report.add("duplicate-name", path, f"another {word} is called {name!r}", "rename one")
        seen.add(name)


def _require(
    report: Report, code: str, path: DocumentPath, word: str, name: str, known: Collection[str]
) -> None:
    if name not in known:
        report.add(code, path, f"there is no {word} {name!r}", did_you_mean(name, known))
