from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.messages.books import Outcome
from gateway_lab.protocols.protocol import check_value
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing import render as render_file
from gateway_lab.routing.passing import Refused
from gateway_lab.routing.render import compile_channel, compile_render
from gateway_lab.routing.route import compile_source
from gateway_lab.routing.routed import Delivery
from gateway_lab.rules.template import parse_template, template_references
from tests.routing.shop import message, one_route, route
from tests.rules.test_template import SCOPE

PLANS = {
    name: one_route(name)
    for name in ("kafka", "kafka_fixed", "rabbit", "nats", "redis", "converted", "bare")
}


def deliver(target: str, event: dict[str, Any], **parts: Any) -> Delivery:
    routed = route(PLANS[target], message({"kind": "k", **event}, **parts))
    (delivery,) = routed.deliveries
    return delivery


HOSTILE = [
    "", " ", "a.b", "*", ">", "#", "a b", "a\0", "a\n", "\r\nNats-Rollup: all", "x" * 300,
    "$JS.API.STREAM.DELETE", "_INBOX.1", "amq.direct", "..", "ünal", "{a}", "\u2028", "a/../b",
]  # fmt: skip


@pytest.mark.parametrize("target", ["kafka", "rabbit", "nats"])
@pytest.mark.parametrize("tenant", HOSTILE)
def test_a_hostile_value_is_a_dead_letter_that_does_not_show_it(target, tenant):
    delivery = deliver(target, {"tenant": tenant})
    assert delivery.outcome is Outcome.DEAD_LETTERED
    assert delivery.target == target
    assert delivery.reason is not None
    assert delivery.reason.startswith("unsafe-channel-value: ")
    assert len(tenant.strip()) < 4 or tenant not in delivery.reason


@pytest.mark.parametrize("target", ["kafka", "rabbit", "nats"])
def test_a_null_in_a_channel_is_a_dead_letter(target):
    reason = deliver(target, {}).reason or ""
    assert reason.startswith("null-in-channel: ")


@pytest.mark.parametrize(
    ("protocol", "template", "value"),
    [
        ("kafka", "_{tenant_id}", "_x"),
        ("kafka", "x" * 240 + "{tenant_id}", "y" * 10),
        ("nats", "_INB{tenant_id}", "OX"),
        ("rabbitmq", "am{tenant_id}.x", "q"),
    ],
)
def test_what_fixed_text_and_value_make_together_is_judged_too(protocol, template, value):
    parsed = parse_template(template, SCOPE)
    inputs = template_references(parsed)
    channel = compile_channel(parsed, PROTOCOLS[protocol], inputs, name="test")
    with pytest.raises(Refused, match=r"^unsafe-channel: "):
        channel((value,))
    assert channel(("a",)) == template.replace("{tenant_id}", "a")


@given(tenant=st.none() | st.text(max_size=70), kind=st.text(max_size=70))
def test_a_channel_is_legal_or_refused(tenant, kind):
    delivery = deliver(
        "rabbit", {"kind": kind} if tenant is None else {"kind": kind, "tenant": tenant}
    )
    good = tenant is not None and not check_value(tenant) and not check_value(kind)
    assert (delivery.outcome is Outcome.DELIVERED) is good
    if good:
        assert delivery.channel == f"work.{tenant}.{kind}"


def test_remembered_channels_are_bounded(monkeypatch):
    monkeypatch.setattr(render_file, "MAX_REMEMBERED", 3)
    router = compile_source(PLANS["kafka"], "orders")
    for number in [*range(10), 0]:
        (delivery,) = router.route(message({"kind": "k", "tenant": f"t{number}"})).deliveries
        assert delivery.channel == f"shop.t{number}"


# --- keys ---


def test_a_key_passes_unless_the_target_writes_one():
    assert deliver("kafka_fixed", {}, key=b"\xff").key == b"\xff"
    assert deliver("rabbit", {"tenant": "acme"}, key=b"old").key == b"acme"
    assert deliver("converted", {"count": 3}, key=b"old").key == b"3"
    assert deliver("converted", {}, key=b"old").key is None


@pytest.mark.parametrize("key", [b"\xff", b"a\nb", b"\0"])
def test_a_key_that_nats_cannot_carry_is_a_dead_letter(key):
    delivery = deliver("bare", {"tenant": "a"}, key=key)
    assert (delivery.reason or "").startswith("key-not-carried: nats")
    assert delivery.key == key


# --- headers ---


def test_all_headers_pass_in_order_but_for_control_headers():
    headers = (("b", b"1"), ("X-GW-Id", b"x"), ("a", b"2"), ("b", b"\xff"), ("x-gw-route", b"y"))
    assert deliver("kafka_fixed", {}, headers=headers).headers == (
        ("b", b"1"),
        ("a", b"2"),
        ("b", b"\xff"),
        ("x-gw-hops", b"2"),
    )


def test_the_last_of_repeated_headers_counts_where_names_cannot_repeat():
    headers = (("b", b"1"), ("a", b"2"), ("b", b"3"))
    assert deliver("redis", {}, headers=headers).headers == (("b", b"3"), ("a", b"2"))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("rabbit", "CC"),
        ("rabbit", "bcc"),
        ("rabbit", "x-death"),
        ("nats", "Nats-Rollup"),
        ("kafka", "__connect.x"),
    ],
)
def test_headers_that_command_a_broker_never_pass(target, name):
    assert deliver(target, {"tenant": "a"}, headers=((name, b"x"),)).headers == ()


def test_only_named_headers_pass_and_added_ones_replace_them():
    headers = (("x-request-id", b"r"), ("other", b"o"), ("X-User", b"u"), ("tenant", b"t"))
    assert deliver("converted", {"tenant": "acme"}, headers=headers).headers == (
        ("x-request-id", b"r"),
        ("Source", b"orders"),
        ("Tenant", b"acme"),
        ("x-user", b"gateway"),
    )


def test_a_header_that_is_null_is_left_out():
    assert [name for name, _ in deliver("converted", {}).headers] == ["Source", "x-user"]


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("nats", ("a", b"\xff")),
        ("nats", ("a b", b"")),
        ("nats", ("a", b"x\r\ny")),
        ("redis", ("body", b"x")),
        ("rabbit", ("x" * 256, b"")),
    ],
)
def test_a_header_that_cannot_be_carried_is_a_dead_letter_with_all_that_came(target, header):
    delivery = deliver(target, {"tenant": "a"}, headers=(header,))
    assert (delivery.reason or "").startswith("header-not-carried: ")
    assert delivery.headers == (header,)


def test_a_value_cannot_break_out_of_an_added_header():
    delivery = deliver("bare", {"tenant": "a\r\nNats-Rollup: all"})
    assert delivery.reason == "header-not-carried: nats cannot carry tenant"


# --- bodies ---


def test_a_body_passes_untouched():
    body = b'{"kind" : "k", "x": 1e400 , "kind":"k"}'
    routed = route(PLANS["kafka_fixed"], message(body=body.replace(b"1e400", b"1")))
    assert routed.deliveries[0].body == body.replace(b"1e400", b"1")


def test_a_body_is_written_from_its_template():
    body = b'{"kind":"k","payload":{ "z":[1] },"count":2,"amount":3}'
    routed = route(PLANS["converted"], message(body=body))
    assert routed.deliveries[0].body == b'{"id":"k-2","payload":{ "z":[1] },"total":3.0}'


@pytest.mark.parametrize(("target", "body"), [("kafka_fixed", None), ("redis", b"")])
def test_a_tombstone_stays_one_where_the_protocol_has_them(target, body):
    routed = route(one_route(target, source="raw"), message(), "raw")
    assert routed.deliveries[0].body == body


# --- parts, for columns ---


@pytest.mark.parametrize("target", PLANS)
@given(
    key=st.none() | st.binary(max_size=3),
    headers=st.lists(
        st.tuples(st.sampled_from(["a", "body", "CC", "x y"]), st.binary(max_size=3)), max_size=2
    ),
    tenant=st.none() | st.sampled_from(["acme", "a.b"]),
)
def test_the_parts_by_themselves_say_what_the_whole_says(target, key, headers, tenant):
    target_plan = PLANS[target].targets["orders", target]
    inputs = template_references(
        target_plan.channel, target_plan.key, target_plan.body, *target_plan.headers.values()
    )
    render = compile_render(target_plan, inputs)
    event = {"kind": "k"} if tenant is None else {"kind": "k", "tenant": tenant}
    values = tuple(event.get(getattr(each, "path", ("",))[0]) for each in inputs)
    sent = message(event, key=key, headers=tuple(headers))
    refused = render.refuse_passing(key, sent.headers)
    whole = _attempt(lambda: render(values, sent))
    channel = _attempt(lambda: render.channel(values))
    if not isinstance(whole, str):
        assert (channel, refused) == (whole.channel, None)
    elif not render.values_refuse:
        assert whole in (channel, refused)


def _attempt(write):
    try:
        return write()
    except Refused as refused:
        return refused.reason
