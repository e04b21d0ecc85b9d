"""Types the templates of a target for the messages that reach it."""

from __future__ import annotations

import json
from typing import Literal

from gateway_lab.config.canonical import canonical_value
from gateway_lab.config.document import Document
from gateway_lab.config.model import Target
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import TargetPlan
from gateway_lab.config.report import Report
from gateway_lab.config.scopes import KeyedScope, read_text_template
from gateway_lab.rules.template import (
    BodyTemplate,
    BodyTemplateError,
    check_channel_template,
    parse_body,
)


def compile_target(
    config: Document, name: str, scope: KeyedScope, report: Report
) -> TargetPlan | None:
    """Type a target for one scope; None if it is wrong, and then that is in the report."""
    target, path = config.targets[name], ("targets", name)
    channel = read_text_template(
        target.channel, scope, (*path, "channel"), report, check=check_channel_template
    )
    key = read_text_template(target.key, scope, (*path, "key"), report)
    headers = {
        header: read_text_template(text, scope, (*path, "headers", header), report)
        for header, text in sorted(target.headers.items())
    }
    body, is_body_read = _body(target, scope, (*path, "body"), report)
    protocol = config.brokers.get(target.broker)
    is_key_read = key is not None or target.key is None
    if channel is None or protocol is None or not (is_key_read and is_body_read):
        return None
    return TargetPlan(
        name=name,
        broker=target.broker,
        protocol=protocol,
        channel=channel,
        key=key,
        pass_headers=_passing(target),
        headers={header: each for header, each in headers.items() if each is not None},
        body=body,
        max_channels=target.max_channels,
    )


def _passing(target: Target) -> Literal["all"] | frozenset[str]:
    match target.pass_headers:
        case "all":
            return "all"
        case "none":
            return frozenset()
        case names:
            return frozenset(name.lower() for name in names)


def _body(
    target: Target, scope: KeyedScope, path: DocumentPath, report: Report
) -> tuple[BodyTemplate, bool]:
    """Read the body in its canonical order and spelling, and say whether that went well."""
    if target.body is None:
        return None, True
    try:
        return parse_body(json.loads(canonical_value(target.body)), scope.scope), True
    except BodyTemplateError as error:
        report.add_rule_error((*path, *error.path), error)
        return None, False
