"""Types the templates of a target for the messages that reach it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gateway_lab.config.canonical import canonical_value
from gateway_lab.config.document import GatewayConfig
from gateway_lab.config.model import Target
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import TargetPlan
from gateway_lab.config.report import Report
from gateway_lab.config.scopes import KeyedScope, read_template
from gateway_lab.errors import RuleError
from gateway_lab.rules.template import (
    BodyTemplate,
    BodyTemplateError,
    Template,
    check_channel_template,
    check_text,
    parse_body,
)


def compile_target(
    config: GatewayConfig, name: str, scope: KeyedScope, report: Report
) -> TargetPlan | None:
    """Type a target for one scope; None if it is wrong, and then that is in the report."""
    target, path = config.targets[name], ("targets", name)
    channel = _text(target.channel, scope, (*path, "channel"), report, check=check_channel_template)
    key = _text(target.key, scope, (*path, "key"), report)
    headers = {
        header: _text(text, scope, (*path, "headers", header), report)
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


def _passing(target: Target) -> Any:
    if target.pass_headers == "all":
        return "all"
    names = () if target.pass_headers == "none" else target.pass_headers
    return frozenset(name.lower() for name in names)


def _text(
    text: str | None,
    scope: KeyedScope,
    path: DocumentPath,
    report: Report,
    *,
    check: Callable[[Template], None] = check_text,
) -> Template | None:
    template = None if text is None else read_template(text, scope, path, report)
    if template is None:
        return None
    try:
        check(template)
    except RuleError as error:
        report.add_rule_error(path, error)
        return None
    return template


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
