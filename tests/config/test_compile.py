"""Plans: every rule and template typed for what its source carries."""

from __future__ import annotations

import pytest

from gateway_lab.config.canonical import canonical_json
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.config.plan import Plan
from gateway_lab.events.event_type import Kind
from gateway_lab.rules.template import Template
from gateway_lab.rules.tree import Call, Field, Literal


@pytest.fixture
def plan(business: GatewayConfig) -> Plan:
    compiled = compile_plan(business)
    assert compiled.findings == ()
    assert compiled.plan is not None
    return compiled.plan


def test_settings_are_folded_into_rules_and_templates(plan: Plan) -> None:
    condition = plan.routers["by_priority"].routes[0].condition
    assert isinstance(condition, Call)
    constants = [
        arg
        for each in condition.args
        for arg in getattr(each, "args", ())
        if isinstance(arg, Literal)
    ]
    assert [constant.value for constant in constants] == ["critical", 1000.0]
    assert plan.targets["business", "high"].channel.parts[0] == "high-priority."


def test_sources_have_their_addresses_types_and_routers(plan: Plan) -> None:
    users, webhooks = plan.sources["users"], plan.sources["webhooks"]
    assert [(each.broker, each.protocol, each.channel) for each in users.addresses] == [
        ("stream", "kafka", "user-events"),
        ("work", "rabbitmq", "user.queue"),
    ]
    assert users.handled is not None
    assert users.retry.attempts == 5
    assert list(webhooks.event_types) == ["Issues", "PullRequest"]
    assert webhooks.choices == {"issues": "Issues", "pull_request": "PullRequest"}
    assert webhooks.private_headers == {"x-secret"}
    assert plan.sources["business"].routers == ("by_priority", "by_tenant", "invoices")
    assert plan.sources["metrics"].batches == ("load",)
    assert plan.sources["metrics"].addresses[0].pattern == r"^metrics\..*$"


def test_the_nearest_dead_letter_wins() -> None:
    text = (
        "gateway_lab: 1\nname: x\nbrokers: {k: kafka, r: redis}\ndead_letter: {broker: k, channel: far}\n"
        "sources: {a: {broker: k, channel: a, dead_letter: {broker: r, channel: near}}, b: {broker: k, channel: b}}\n"
    )
    plan = compile_plan(parse_config(text)).plan
    assert plan is not None
    letters = [source.dead_letter for source in plan.sources.values()]
    assert [(each.protocol, each.channel.text) for each in letters if each] == [
        ("redis", "near"),
        ("kafka", "far"),
    ]


def test_targets_are_typed_for_each_source_that_reaches_them(plan: Plan) -> None:
    assert ("business", "tenant") in plan.targets
    assert ("metrics", "aggregated") not in plan.targets
    invoice = plan.targets["business", "invoice"]
    assert invoice.pass_headers == frozenset({"x-request-id"})
    assert list(invoice.headers) == ["original_timestamp", "source"]


def test_a_body_is_written_in_the_order_that_the_digest_knows(plan: Plan) -> None:
    body = plan.targets["business", "invoice"].body
    assert isinstance(body, dict)
    assert list(body) == ["id", "total"]
    assert isinstance(body["total"], Template)
    assert body["total"].type.kind is Kind.NUMBER


def test_the_targets_of_a_batch_see_its_own_messages(plan: Plan) -> None:
    batch = plan.batches["load"]
    assert batch.every_us == 5_000_000
    assert [path for path, _ in batch.output.paths()] == [
        ("host",),
        ("avg",),
        ("count",),
        ("max",),
        ("min",),
    ]
    key = batch.targets["aggregated"].key
    assert key is not None
    assert isinstance(key.parts[0], Field)
    assert key.parts[0].path == ("host",)


def test_the_canonical_form_compiles_to_the_same_plan(business: GatewayConfig, plan: Plan) -> None:
    again = compile_plan(parse_config(canonical_json(business).decode())).plan
    assert again is not None
    assert again.routers == plan.routers
    assert again.targets == plan.targets
    assert again.batches.keys() == plan.batches.keys()
    assert again.digest == plan.digest


def test_what_is_disabled_is_not_in_the_plan(business: GatewayConfig) -> None:
    config = business.edit_route("by_priority", "high", enabled=False).edit_router(
        "by_tenant", enabled=False
    )
    plan = compile_plan(config).plan
    assert plan is not None
    assert [route.name for route in plan.routers["by_priority"].routes] == ["critical", "medium"]
    assert "by_tenant" not in plan.routers
    assert "by_tenant" not in plan.sources["business"].routers
    assert ("business", "tenant") not in plan.targets


def test_a_target_sees_only_the_event_types_of_the_routes_that_name_it() -> None:
    text = (
        "gateway_lab: 1\nname: x\nbrokers: {k: kafka}\n"
        "events: {A: {type: object, properties: {v: {type: string}}}, B: {type: object, properties: {v: {type: number}}}}\n"
        "sources: {s: {broker: k, channel: a, event: {by: message.key, types: {a: A, b: B}}}}\n"
        "targets: {t: {broker: k, channel: 't.{v}'}}\n"
        "routers: {r: {source: s, match: all, unmatched: drop, routes: [{name: one, events: [A], to: [t]}]}}\n"
    )
    assert compile_plan(parse_config(text)).findings == ()
    ambiguous = compile_plan(parse_config(text.replace("events: [A], ", "")))
    assert [each.code for each in ambiguous.findings] == ["ambiguous-name"]


def test_a_config_with_an_error_has_no_plan_but_all_its_findings(business: GatewayConfig) -> None:
    config = business.edit_route("by_priority", "high", when="prioriti = 'high'")
    config = config.edit_route("by_priority", "medium", to="nowhere").edit_target(
        "tenant", channel="{tenant_id}"
    )
    compiled = compile_plan(config)
    assert compiled.plan is None
    assert sorted(each.code for each in compiled.findings) == [
        "channel-start",
        "unknown-name",
        "unknown-target",
    ]


def test_an_empty_config_compiles() -> None:
    compiled = compile_plan(GatewayConfig(name="x"))
    assert compiled.plan is not None
    assert compiled.findings == ()


def test_one_edit_reads_one_rule_again(business: GatewayConfig) -> None:
    first = compile_plan(business).plan
    second = compile_plan(business.edit_route("by_priority", "high", when="priority = 'low'")).plan
    assert first is not None
    assert second is not None
    before, after = first.routers["by_priority"].routes, second.routers["by_priority"].routes
    assert before[0].condition is after[0].condition
    assert before[1].condition != after[1].condition
