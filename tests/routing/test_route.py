from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.config.compile import compile_plan
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ReplayError
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.routing.route import compile_source
from gateway_lab.routing.routed import Delivery
from tests.routing.shop import message, one_route, plan, route

SHOP = plan()


def ways(deliveries: tuple[Delivery, ...]) -> list[tuple[str | None, str | None, str, str]]:
    return [(each.router, each.route, each.target, str(each.outcome)) for each in deliveries]


def test_the_first_matching_route_takes_the_message_to_all_its_targets():
    routed = route(SHOP, message({"kind": "x", "tenant": "t", "amount": 101}))
    assert ways(routed.deliveries) == [
        ("first", "big", "kafka", "delivered"),
        ("first", "big", "rabbit", "delivered"),
        ("every", None, "drop", "dropped"),
    ]
    assert [each.result for each in routed.decisions] == [Result.MATCHED, Result.UNMATCHED]


def test_a_target_gets_a_message_once_a_router_credited_to_the_first_route():
    routed = route(SHOP, message({"kind": "ab", "tenant": "t"}))
    assert ways(routed.deliveries)[1:] == [
        ("every", "a", "kafka", "delivered"),
        ("every", "a", "redis", "delivered"),
        ("every", "b", "rabbit", "delivered"),
    ]
    assert routed.decisions[1].routes == ("a", "b")


def test_two_routers_that_choose_one_target_send_twice():
    routed = route(SHOP, message({"kind": "a", "tenant": "t"}))
    assert [each.router for each in routed.deliveries if each.target == "redis"] == [
        "first",
        "every",
    ]


def test_a_drop_on_purpose_is_matched_and_goes_nowhere():
    routed = route(SHOP, message({"kind": "waste"}))
    dropped = routed.deliveries[0]
    assert routed.decisions[0].result is Result.MATCHED
    assert ways((dropped,)) == [("first", "waste", "drop", "dropped")]
    assert (dropped.broker, dropped.channel, dropped.reason) == (None, None, "route")


def test_a_dead_letter_on_purpose_goes_to_the_sources_dead_letter_as_it_came():
    sent = message({"kind": "parked"}, key=b"k1", headers=(("a", b"\xff"),))
    letter = route(SHOP, sent).deliveries[0]
    assert ways((letter,)) == [("first", "parked", "dead_letter", "dead_lettered")]
    assert (letter.broker, letter.channel, letter.reason) == ("stream", "dead.orders.k1", "route")
    assert (letter.key, letter.headers, letter.body) == (sent.key, sent.headers, sent.body)


def test_what_a_target_cannot_write_is_a_dead_letter_of_that_target():
    routed = route(SHOP, message({"kind": "x", "tenant": "a.b", "amount": 101}, key=b"k"))
    assert ways(routed.deliveries)[:2] == [
        ("first", "big", "kafka", "dead_lettered"),
        ("first", "big", "rabbit", "dead_lettered"),
    ]
    assert routed.deliveries[0].channel == "dead.orders.k"
    assert routed.decisions[0].result is Result.MATCHED


@pytest.mark.parametrize("key", [None, b"a.b", b"\xff", b"x" * 300, b"$"])
def test_a_message_cannot_make_its_dead_letter_impossible(key):
    letter = route(SHOP, message({"kind": "parked"}, key=key)).deliveries[0]
    assert letter.channel == "dead.orders.other"


def test_an_invalid_message_is_one_dead_letter_of_its_source():
    routed = route(SHOP, message(body=b"{"))
    assert ways(routed.deliveries) == [(None, None, "dead_letter", "dead_lettered")]
    assert routed.invalid == routed.deliveries[0].reason
    assert [each.result for each in routed.decisions] == [Result.INVALID, Result.INVALID]


def test_an_invalid_message_may_be_dropped():
    lenient = one_route("redis", source="lenient")
    routed = route(lenient, message(body=b"{"), "lenient")
    assert ways(routed.deliveries) == [(None, None, "drop", "dropped")]
    assert routed.invalid


def test_a_source_without_an_event_type_does_not_look_at_the_body():
    raw = one_route("redis", source="raw", when="message.key = 'k'")
    assert ways(route(raw, message(body=b"\xff", key=b"k"), "raw").deliveries) == [
        ("only", "all", "redis", "delivered")
    ]


# --- several event types ---

MIXED = plan(
    """
routers:
  mixed:
    source: mixed
    match: all
    routes:
      - {name: refunds, events: [Refund], when: reason = 'late', to: [redis]}
      - {name: both, when: tenant = 'acme', to: [kafka]}
      - {name: orders, events: [Order], to: [rabbit]}
    unmatched: drop
"""
)


def of_type(name: bytes) -> tuple[tuple[str, bytes], ...]:
    return (("X-Type", name),)


def test_a_route_sees_only_its_event_types():
    refund = message({"reason": "late", "tenant": "acme"}, headers=of_type(b"refund"))
    assert route(MIXED, refund, "mixed").decisions[0].routes == ("refunds", "both")
    order = message({"kind": "k", "tenant": "acme"}, headers=of_type(b"order"))
    routed = route(MIXED, order, "mixed")
    assert (routed.event_type, routed.decisions[0].routes) == ("Order", ("both", "orders"))


@pytest.mark.parametrize("headers", [(), of_type(b"other"), of_type(b"\xff"), of_type(b"ORDER")])
def test_a_message_of_no_event_type_is_invalid(headers):
    routed = route(MIXED, message({"kind": "k"}, headers=headers), "mixed")
    assert routed.event_type is None
    assert routed.invalid == "no event type: the value of message.headers['x-type'] chooses none"


# --- undecided ---

UNDECIDED = """
routers:
  only:
    source: orders
    match: MATCH
    undecided: POLICY
    routes:
      - {name: big, when: amount > 1, to: [kafka_fixed]}
      - {name: known, when: count > 1, to: [redis]}
      - {name: all, to: [nats]}
    unmatched: drop
"""


def undecided(match: str, policy: str, event: dict[str, object]) -> list[tuple[str, str | None]]:
    compiled = plan(UNDECIDED.replace("MATCH", match).replace("POLICY", policy))
    routed = route(compiled, message({"kind": "k", "tenant": "t", **event}))
    return [(each.target, each.reason) for each in routed.deliveries]


def test_an_undecided_route_is_passed_by_and_told():
    assert undecided("first", "continue", {"count": 2}) == [("redis", None)]
    routed = route(
        plan(UNDECIDED.replace("MATCH", "first").replace("POLICY", "continue")),
        message({"kind": "k"}),
    )
    assert routed.decisions[0].undecided == ("big", "known")


@pytest.mark.parametrize("match", ["first", "all"])
def test_a_router_may_make_one_dead_letter_of_what_is_undecided(match):
    event: dict[str, object] = {"count": 2}
    assert undecided(match, "dead_letter", event) == [("dead_letter", "undecided: big")]


def test_a_null_that_is_not_reached_decides_nothing():
    assert undecided("first", "dead_letter", {"amount": 2}) == [("kafka_fixed", None)]
    assert undecided("all", "dead_letter", {"amount": 2}) == [("dead_letter", "undecided: known")]


def test_an_undecided_dead_letter_is_booked_as_unmatched():
    compiled = plan(UNDECIDED.replace("MATCH", "all").replace("POLICY", "dead_letter"))
    assert route(compiled, message({"kind": "k"})).decisions[0].result is Result.UNMATCHED


# --- the rest ---


def test_a_plan_without_a_dead_letter_still_says_what_would_be_one():
    text = """
gateway_lab: 1
name: bare
brokers: {here: memory}
sources: {raw: {broker: here, channel: raw}}
targets: {out: {broker: here, channel: "out.{message.key}"}}
routers: {r: {source: raw, match: all, routes: [{name: all, to: [out]}], unmatched: drop}}
"""
    compiled = compile_plan(parse_config(text)).plan
    assert compiled is not None
    (letter,) = route(compiled, message(body=b""), "raw").deliveries
    assert (letter.outcome, letter.broker, letter.channel) == (Outcome.DEAD_LETTERED, None, None)


def test_an_unknown_source_is_refused_with_a_hint():
    with pytest.raises(ReplayError, match="did you mean 'orders'"):
        compile_source(SHOP, "order")


EVENTS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["a", "ab", "b", "waste", "parked", "x"])},
    optional={"tenant": st.sampled_from(["t", "a.b", ""]), "amount": st.sampled_from([1, 101.5])},
)


@given(
    sent=st.lists(
        EVENTS.map(message) | st.binary(max_size=4).map(lambda body: message(body=body)), max_size=8
    )
)
def test_the_books_balance(sent):
    router = compile_source(SHOP, "orders")
    routed = [router.route(each) for each in sent]
    for index, name in enumerate(("first", "every")):
        assert all(each.decisions[index].router == name for each in routed)
    invalid = [each for each in routed if each.invalid]
    assert Counter(len(each.deliveries) for each in invalid) in (
        Counter(),
        Counter({1: len(invalid)}),
    )
    for each in routed:
        for decision in each.decisions if not each.invalid else ():
            mine = [one for one in each.deliveries if one.router == decision.router]
            assert mine
            assert len({one.target for one in mine}) == len(mine)
            assert {one.route for one in mine} <= set(decision.routes or (None,))
            assert bool(decision.routes) is (decision.result is Result.MATCHED)
    for delivery in (one for each in routed for one in each.deliveries):
        assert (delivery.reason is None) is (delivery.outcome is Outcome.DELIVERED)
        assert (delivery.channel is None) is (delivery.outcome is Outcome.DROPPED)
