from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway_lab.events.decode import compile_decoder
from gateway_lab.events.event_type import EventType, Kind
from gateway_lab.events.schema import read_event_type
from gateway_lab.proof.analyse import analyse
from gateway_lab.proof.claims import (
    CannotOccur,
    Choice,
    Claim,
    Exhaustive,
    NotExhaustive,
    RuleRoute,
    Shadowed,
    UndecidedPossible,
    Unknown,
    Unreachable,
)
from gateway_lab.rules.types import Scope, resolve

BUSINESS = read_event_type(
    "BusinessEvent",
    {
        "type": "object",
        "required": ["event_type", "priority", "payload", "tenant_id"],
        "properties": {
            "event_type": {"type": "string"},
            "priority": {"enum": ["low", "medium", "high", "critical"]},
            "payload": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "amount": {"type": "number"}},
            },
            "tenant_id": {"type": "string", "pattern": "^[a-z0-9-]{3,32}$"},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "labels": {"type": "array", "items": {"type": "string"}},
            "vip": {"type": "boolean"},
            "at": {"type": "string", "format": "date-time"},
            "customer": {
                "type": "object",
                "required": ["id"],
                "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
            },
        },
    },
)
ISSUES = read_event_type(
    "Issues",
    {
        "type": "object",
        "required": ["action"],
        "properties": {"action": {"enum": ["opened", "closed"]}, "issue": {"type": "integer"}},
    },
)
PULLS = read_event_type(
    "PullRequest",
    {
        "type": "object",
        "required": ["action"],
        "properties": {"action": {"enum": ["closed", "merged"]}},
    },
)


def routes_of(rules: Sequence[str | None], *types: EventType) -> list[RuleRoute]:
    scope = Scope({each.name: each for each in types})
    return [
        RuleRoute(
            name=f"r{at}",
            condition=None if rule is None else resolve(rule, scope, expect=Kind.BOOLEAN),
        )
        for at, rule in enumerate(rules)
    ]


def claims(*rules: str | None, match: Any = "first") -> list[Claim]:
    return list(analyse(routes_of(rules, BUSINESS), match, [BUSINESS]))


def unreachable(*rules: str | None) -> list[str]:
    return [claim.route for claim in claims(*rules) if isinstance(claim, Unreachable)]


def shadowed(*rules: str | None) -> dict[str, tuple[str, ...]]:
    return {claim.route: claim.by for claim in claims(*rules) if isinstance(claim, Shadowed)}


def undecided(*rules: str | None, match: Any = "first") -> list[str]:
    found = claims(*rules, match=match)
    return [claim.route for claim in found if isinstance(claim, UndecidedPossible)]


@pytest.mark.parametrize(
    "rule",
    [
        "priority = 'urgent'",
        "priority = 'high' and priority = 'low'",
        "payload.amount > 10 and payload.amount < 5",
        "payload.amount > 1 and payload.amount is null",
        "age > 3 and age < 4",
        "age = 1.5",
        "age > 150",
        "not (age <= 150)",
        "priority is null",
        "event_type < ''",
        "starts_with(event_type, 'ab') and starts_with(event_type, 'ac')",
        "event_type like 'ab%' and event_type > 'ac'",
        "vip and not vip",
        "vip <> vip and (vip = vip) is null and vip is true and vip is false",
        "customer is null and customer.id = 1",
        "payload.amount * 2 > 10 and not (payload.amount * 2 > 5)",
        "lower(event_type) = 'a' and event_type is null",
        "upper(tenant_id) = 'A' and upper(tenant_id) = 'B'",
        "message.received is null",
        "(payload.amount > 1) is null and payload.amount = 2 and payload.amount is null",
    ],
)
def test_a_condition_that_is_never_true_is_unreachable(rule: str) -> None:
    assert unreachable(rule) == ["r0"]


@pytest.mark.parametrize(
    "rule",
    [
        "priority = 'high'",
        "payload.amount > 1 and payload.amount < 1.0000000000000004",
        "age > 3 and age < 5",
        "not (payload.amount > 1)",
        "customer is null",
        "event_type > 'a' and event_type < 'a0'",
        "payload.amount > 9007199254740992 and payload.amount < 9007199254740996",
        "vip = vip",
        "event_type like 'a_'",
        "event_type like '%b'",
    ],
)
def test_a_condition_that_may_be_true_is_not_called_unreachable(rule: str) -> None:
    assert unreachable(rule) == []


def test_what_proof_does_not_look_into_is_not_guessed() -> None:
    """Never true, all of them; but only who knows what the functions do could say so."""
    assert unreachable("lower(event_type) = 'A'", "length(event_type) < 0", "age * 2 = 3") == []


def test_a_route_behind_a_wider_one_is_shadowed_by_it() -> None:
    assert shadowed("payload.amount > 10", "vip", "payload.amount > 20") == {"r2": ("r0",)}
    assert shadowed(None, "vip") == {"r1": ("r0",)}
    assert shadowed("priority in ('low', 'high')", "priority = 'low' and vip") == {"r1": ("r0",)}
    assert shadowed("event_type like 'ab%'", "event_type = 'abc'") == {"r1": ("r0",)}


def test_routes_shadow_together_and_those_that_could_be_spared_are_not_named() -> None:
    rules = ("age > 7", "vip", "vip is null", "not vip", "priority = 'low'")
    assert shadowed(*rules) == {"r4": ("r1", "r2", "r3")}
    assert shadowed("age < 10", "age > 20 and vip", "age >= 10", "age = 30 and vip") == {
        "r3": ("r1",)
    }
    assert shadowed(
        "age < 5 and vip", "age >= 5 and vip", "age = 5 or age = 4", "age = 5 and vip"
    ) == {"r3": ("r1",)}


def test_null_keeps_an_opposite_pair_from_taking_everything() -> None:
    assert shadowed("payload.amount > 10", "payload.amount <= 10", "vip") == {}
    assert shadowed("payload.amount > 10", "not (payload.amount > 10)", "vip") == {}
    assert shadowed("payload.amount > 10", "(payload.amount > 10) is false", "vip") == {}
    assert shadowed("priority = 'low'", "priority <> 'low'", "vip") == {"r2": ("r0", "r1")}
    assert shadowed("vip", "not (vip is true)", "age = 1") == {"r2": ("r0", "r1")}


def test_the_same_opaque_expression_is_the_same_unknown() -> None:
    assert shadowed("'bug' = any(labels)", "'bug' = any(labels) and vip") == {"r1": ("r0",)}
    assert shadowed("payload.amount * 2 > 10", "payload.amount * 2 > 11") == {"r1": ("r0",)}
    assert shadowed("age < length(tenant_id)", "length(tenant_id) > age") == {"r1": ("r0",)}
    assert shadowed("age < length(tenant_id)", "age >= length(tenant_id)", "age = 1") == {
        "r2": ("r0", "r1")
    }
    assert shadowed("'bug' = any(labels)", "'ant' = any(labels)") == {}


def test_with_match_all_no_route_is_shadowed() -> None:
    assert not any(isinstance(claim, Shadowed) for claim in claims(None, "vip", match="all"))


def test_the_witness_of_a_shadowed_route_is_a_valid_event_that_meets_it() -> None:
    found = claims("payload.amount > 10", "payload.amount > 20 and 'bug' = any(labels)")
    (witness,) = [claim.witness for claim in found if isinstance(claim, Shadowed)]
    assert witness is not None
    paths = [("payload", "amount"), ("labels",), ("tenant_id",)]
    body = json.dumps(witness.event).encode()
    amount, labels, tenant = compile_decoder(BUSINESS, paths).decode(body)
    assert isinstance(amount, float)
    assert amount > 20
    assert labels == ["bug"]
    assert tenant == "aaa"


def test_messages_that_no_route_takes_have_a_witness() -> None:
    found = claims("priority = 'critical'", "priority in ('high', 'medium')")
    assert isinstance(found[-1], NotExhaustive)
    assert found[-1].witness.event is not None
    assert found[-1].witness.event["priority"] == "low"
    assert isinstance(claims()[-1], NotExhaustive)


@pytest.mark.parametrize(
    "rules",
    [
        [None],
        ["priority = 'low'", "priority <> 'low'"],
        ["payload.amount > 1", "payload.amount <= 1", "payload.amount is null"],
        ["vip", "not vip", "vip is null and age < 10", "age >= 10", "age is null"],
        ["vip", "(vip is true) = false or vip is null"],
    ],
)
def test_routes_that_take_every_message_are_exhaustive(rules: list[str | None]) -> None:
    assert isinstance(claims(*rules)[-1], Exhaustive | Unknown)
    assert not isinstance(claims(*rules)[-1], NotExhaustive)


def test_where_routes_may_or_may_not_be_exhaustive_it_is_unknown() -> None:
    found = claims("length(event_type) >= 0")
    assert found[-1] == Unknown(None)


def test_a_condition_is_undecided_where_a_field_may_be_absent() -> None:
    assert undecided("payload.amount > 10", "priority = 'high'") == ["r0"]
    assert undecided("payload.amount > 10 or payload.amount is null") == []
    assert undecided("payload.amount / age > 10", match="all") == ["r0"]


def test_only_messages_that_reach_a_condition_make_it_undecided() -> None:
    assert undecided("payload.amount is null", "payload.amount > 10") == []
    assert undecided("payload.amount is null", "payload.amount > 10", match="all") == ["r1"]
    assert undecided("vip is null", "vip and age > 3", match="first") == ["r1"]


def test_values_that_cannot_occur_are_named_with_their_place() -> None:
    rule = "priority in ('urgent', 'high') or age > 200 or priority <> 'hihg'"
    found = [claim for claim in claims(rule) if isinstance(claim, CannotOccur)]
    assert [(claim.value, rule[claim.span.start : claim.span.end]) for claim in found] == [
        ("urgent", "'urgent'"),
        (200, "200"),
        ("hihg", "'hihg'"),
    ]
    assert found[0].enum == ("low", "medium", "high", "critical")
    assert found[1].enum is None


def test_values_inside_expressions_that_are_not_followed_are_looked_at_too() -> None:
    found = claims("case when priority = 'hihg' then vip end")
    assert [claim.value for claim in found if isinstance(claim, CannotOccur)] == ["hihg"]


def test_a_time_in_a_witness_is_written_as_the_event_type_wants_it() -> None:
    (claim, *_) = claims(
        "at > timestamp '2030-01-01T00:00:00Z'", "at > timestamp '2031-01-01T00:00:00Z'"
    )[1:]
    assert isinstance(claim, Shadowed)
    assert claim.witness is not None
    assert claim.witness.event is not None
    assert claim.witness.event["at"].startswith("2031-01-01T00:00:00.000001")


def test_a_witness_says_what_of_the_message_matters() -> None:
    scope = Scope({})
    condition = resolve("message.headers['x-kind'] = 'a' and message.key is null", scope)
    wider = resolve("message.headers['x-kind'] in ('a', 'b')", scope)
    routes = [RuleRoute(name="r0", condition=wider), RuleRoute(name="r1", condition=condition)]
    (*_, last) = found = analyse(routes, "first", [])
    (second,) = [claim for claim in found if isinstance(claim, Shadowed)]
    assert second.witness is not None
    assert second.witness.to_json() == {"headers": {"x-kind": "a"}}
    assert isinstance(last, NotExhaustive)


def test_a_claim_needs_all_event_types() -> None:
    types = [ISSUES, PULLS]
    found = analyse(routes_of(["action = 'opened'", "action = 'gone'"], *types), "first", types)
    assert [claim.route for claim in found if isinstance(claim, Unreachable)] == ["r1"]
    found = analyse(routes_of(["action = 'closed'", "action <> 'opened'"], *types), "first", types)
    assert not [claim for claim in found if isinstance(claim, Shadowed)]


def test_a_route_is_about_its_own_event_types_only() -> None:
    (always,) = routes_of(["action = 'merged'"], PULLS)
    types = [ISSUES, PULLS]
    only_issues = RuleRoute(name="i", condition=always.condition, events=frozenset({"Issues"}))
    only_pulls = RuleRoute(name="p", condition=None, events=frozenset({"PullRequest"}))
    behind = RuleRoute(name="b", condition=always.condition)
    found = analyse([only_issues, only_pulls, behind], "first", types)
    assert [claim.route for claim in found if isinstance(claim, Unreachable)] == ["i"]
    (shadow,) = [claim for claim in found if isinstance(claim, Shadowed)]
    assert (shadow.route, shadow.by) == ("b", ("p",))


def test_a_field_that_an_event_type_lacks_is_null_in_it() -> None:
    types = [ISSUES, PULLS]
    found = analyse(routes_of(["issue is null", "issue > 1"], *types), "first", types)
    assert not [claim for claim in found if isinstance(claim, Unreachable | Shadowed)]
    found = analyse(routes_of(["issue > 1"], *types), "all", [PULLS])
    assert Unreachable("r0") in found


def test_a_witness_has_the_value_that_chooses_its_event_type() -> None:
    types = [ISSUES, PULLS]
    by = resolve("message.headers['kind']", Scope({}))
    choice = Choice(by=by, choices={"i": "Issues", "p": "PullRequest"}, otherwise="invalid")
    rules = ["message.headers['kind'] = 'p'", "action = 'opened'"]
    (*_, last) = analyse(routes_of(rules, *types), "first", types, choice=choice)
    assert isinstance(last, NotExhaustive)
    assert last.witness.to_json() == {"headers": {"kind": "i"}, "event": {"action": "closed"}}
    other = Choice(by=by, choices={"i": "Issues"}, otherwise="PullRequest")
    (*_, last) = analyse(routes_of(["action <> 'merged'"], *types), "first", types, choice=other)
    assert isinstance(last, NotExhaustive)
    assert last.witness.message.get("headers", {}).get("kind") != "i"


def test_a_choice_excludes_conditions_about_other_choices() -> None:
    by = resolve("message.headers['kind']", Scope({}))
    choice = Choice(by=by, choices={"i": "Issues"}, otherwise="invalid")
    rules = ["message.headers['kind'] = 'p'"]
    found = analyse(routes_of(rules, ISSUES), "first", [ISSUES], choice=choice)
    assert Unreachable("r0") in found


def test_a_choice_by_an_expression_that_is_not_followed_still_gives_real_witnesses() -> None:
    by = resolve("lower(message.headers['kind'])", Scope({}))
    choice = Choice(by=by, choices={"i": "Issues"}, otherwise="invalid")
    (*_, last) = analyse(routes_of(["action = 'opened'"], ISSUES), "all", [ISSUES], choice=choice)
    assert isinstance(last, NotExhaustive)
    assert last.witness.message["headers"]["kind"] in {"i", "I"}


def test_an_event_type_that_nothing_chooses_is_taken_as_it_is() -> None:
    by = resolve("message.key", Scope({}))
    choice = Choice(by=by, choices={"p": "PullRequest"}, otherwise="invalid")
    found = analyse(routes_of(["action = 'gone'"], ISSUES), "all", [ISSUES], choice=choice)
    assert Unreachable("r0") in found


def test_constant_conditions_are_always_or_never_true() -> None:
    assert shadowed("1 < 2", "vip") == {"r1": ("r0",)}
    assert unreachable("vip and false", "not (1 < 2 or vip)") == ["r0", "r1"]
    assert undecided("1 < 2") == []


def test_numbers_beyond_what_both_kinds_hold_exactly_are_not_guessed() -> None:
    assert unreachable("age > 9007199254740993.0") == []
    assert unreachable("age > 9007199254740991.0") == ["r0"]


def test_known_sources_and_channels_bound_what_can_occur() -> None:
    routes = routes_of(["message.source = 'users'", "message.channel = 'c'"], BUSINESS)
    known = {"source": ["business"], "channel": ["c"]}
    found = analyse(routes, "first", [BUSINESS], known=known)
    assert Unreachable("r0") in found
    assert isinstance(found[-1], Exhaustive)


def test_what_would_take_too_long_is_unknown_and_the_rest_is_still_told() -> None:
    wild = " and ".join(f"(age = {n} or payload.amount = {n} or vip)" for n in range(40))
    found = claims(wild, "priority = 'urgent'", "priority = 'low'", "priority = 'low' and vip")
    assert Unknown("r0") in found
    assert Unreachable("r1") in found
    assert [claim.by for claim in found if isinstance(claim, Shadowed)] == [("r2",)]


@pytest.mark.slow
def test_ten_thousand_equalities_are_followed_to_the_end() -> None:
    rules = [f"event_type = 'k{n % 9_999}'" for n in range(10_000)]
    assert shadowed(*rules) == {"r9999": ("r0",)}


@pytest.mark.slow
def test_five_hundred_mixed_routes_are_followed_to_the_end() -> None:
    rules = [
        f"priority = 'high' and payload.amount > {1000 - n} and event_type like 'a{n % 7}%'"
        for n in range(500)
    ]
    assert shadowed(
        *rules, "payload.amount > 2000 and event_type = 'a6b' and priority = 'high'"
    ) == {"r500": ("r6",)}
