"""The config's own tests and expectations: that they speak of what is there."""

from __future__ import annotations

from collections.abc import Collection

from gateway_lab.config.document import Document
from gateway_lab.config.model import ConfigTest, Expected
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.report import Report
from gateway_lab.errors import did_you_mean
from gateway_lab.events.timestamps import parse_date_time
from gateway_lab.protocols.registry import PROTOCOLS


def check_tests(config: Document, report: Report) -> None:
    """Check the names in every test, and that its message is one."""
    for index, test in enumerate(config.tests):
        path: DocumentPath = ("tests", index)
        _require(report, (*path, "source"), "source", test.source, config.sources)
        _check_message(config, test, (*path, "message"), report)
        for number, expected in enumerate(test.expect):
            place = (*path, "expect", number)
            if isinstance(expected, Expected):
                _check_expected(config, expected, place, report)
            elif expected != "dead_letter":
                _require(report, place, "target", expected, config.targets)


def _check_message(config: Document, test: ConfigTest, path: DocumentPath, report: Report) -> None:
    message = test.message
    if message.event is not None and message.body is not None:
        report.add("test-message", path, "both `event` and `body` are there", "keep one of them")
    if message.timestamp is not None:
        try:
            parse_date_time(message.timestamp)
        except ValueError:
            text = f"{message.timestamp!r} is not a time"
            hint = "write RFC 3339 with an offset, such as 2026-01-05T08:00:00Z"
            report.add("test-message", (*path, "timestamp"), text, hint)
    if message.channel is not None and not _reads(config, test.source, message.channel):
        text = f"source {test.source!r} does not read {message.channel!r}"
        report.add("test-message", (*path, "channel"), text, "leave it out for the first one")


def _reads(config: Document, source: str, channel: str) -> bool:
    if source not in config.sources:
        return True
    return any(
        channel == address.channel
        or (
            address.pattern is not None
            and address.broker in config.brokers
            and PROTOCOLS[config.brokers[address.broker]].matches(address.pattern, channel)
        )
        for address in config.sources[source].addresses
    )


def _check_expected(
    config: Document, expected: Expected, path: DocumentPath, report: Report
) -> None:
    routers = config.routers
    if expected.target not in (None, "dead_letter", "drop"):
        _require(report, (*path, "target"), "target", expected.target, config.targets)
    if expected.router is not None:
        _require(report, (*path, "router"), "router", expected.router, routers)
    if expected.route is not None:
        names = [expected.router] if expected.router in routers else list(routers)
        routes = {route.name for name in names if name for route in routers[name].routes}
        _require(report, (*path, "route"), "route", expected.route, routes)


def _require(
    report: Report, path: DocumentPath, word: str, name: str | None, known: Collection[str]
) -> None:
    if name is not None and name not in known:
        text = f"there is no {word} {name!r}"
        report.add("test-unknown-name", path, text, did_you_mean(name, known))


def check_expectations(config: Document, report: Report) -> None:
    """Warn if the expectations were written for another version."""
    promised = config.expectations
    if promised is not None and promised.config_digest != config.digest:
        text = f"written for {promised.config_digest[:12]}, this is {config.digest[:12]}"
        hint = "export again with the capture, or remove the section"
        report.add("expectations-stale", ("expectations", "config_digest"), text, hint)
