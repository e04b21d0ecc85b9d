"""Everything that can be said of a config without a capture: names, rules, routes, delivery."""

from __future__ import annotations

from gateway_lab.config.check_channels import check_sources, check_targets
from gateway_lab.config.check_dead_letters import check_dead_letters
from gateway_lab.config.check_deliveries import check_double_deliveries
from gateway_lab.config.check_loops import check_loops
from gateway_lab.config.check_routes import check_routes
from gateway_lab.config.check_tests import check_expectations, check_tests
from gateway_lab.config.check_usage import check_usage
from gateway_lab.config.compile import compile_into
from gateway_lab.config.document import Document, require_config
from gateway_lab.config.report import Report
from gateway_lab.findings import Findings


def check(config: Document) -> Findings:
    """Check a config; an error among the findings refuses its export.

    Returns:
        All findings, by their place in the file; for a config made in Python by theme: names,
        rules, channels, routes, deliveries, tests.
    """
    require_config(config)
    report = Report(config.origin)
    plan = compile_into(config, report)
    check_sources(config, report)
    check_targets(config, plan, report)
    check_dead_letters(config, plan, report)
    check_routes(config, plan, report)
    check_double_deliveries(config, report)
    check_loops(config, plan, report)
    check_usage(config, report)
    check_tests(config, report)
    check_expectations(config, report)
    findings = (*config.traps, *report.findings)
    return Findings(sorted(findings, key=lambda each: (each.line or 0, each.column or 0)))
