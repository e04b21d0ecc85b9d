"""Headers that somebody sends along: what never passes, the bounds, and trace headers.

Each message is decided alone, as the gateway does, and by the replay: both must say the same.
"""

from __future__ import annotations

from typing import Any

import pytest

import gateway_lab as gl
from gateway_lab.config.compile import compile_plan
from gateway_lab.messages.headers import MAX_HEADER_BYTES, MAX_HEADERS, MAX_HEADERS_BYTES, Headers
from gateway_lab.messages.message import Message
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.passing import MAX_HOPS
from gateway_lab.routing.route import compile_source
from tests.bad_input.small import CONFIG, capture_of

BODY = b'{"tenant": "acme", "priority": "high"}'
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ALL = sorted(PROTOCOLS)


def config_of(protocol: str, more: str = "") -> gl.GatewayConfig:
    target = f"{{broker: out, channel: high{more and ', '}{more}}}"
    text = CONFIG.replace("{stream: kafka}", f"{{stream: kafka, out: {protocol}}}")
    return gl.parse_config(text.replace("{broker: stream, channel: high}", target))


def passed(protocol: str, *messages: Headers, more: str = "") -> list[Headers | str]:
    """Return what passes of each message's headers, or the reason of its dead letter.

    The verdict of the live way and that of the replay are compared on the way.
    """
    config = config_of(protocol, more)
    lists = [[{"name": name, "value": value} for name, value in each] for each in messages]
    capture = capture_of([BODY] * len(messages), headers=lists)
    rows = gl.replay(config, capture).deliveries(rendered=True).collect().sort("seq")
    alone = [_alone(config, capture.message(seq)) for seq in range(len(messages))]
    replayed = [_of(row) for row in rows.iter_rows(named=True)]
    assert replayed == alone
    return alone


def _alone(config: gl.GatewayConfig, message: Message) -> Headers | str:
    plan = compile_plan(config).plan
    assert plan is not None
    (delivery,) = compile_source(plan, "orders").route(message).deliveries
    return delivery.headers if delivery.outcome == "delivered" else (delivery.reason or "")


def _of(row: dict[str, Any]) -> Headers | str:
    if row["outcome"] != "delivered":
        return str(row["reason"])
    return tuple((each["name"], each["value"]) for each in row["headers"])


# --- what tells a broker or a bridge what to do ---

CONTROL = [
    *("Nats-Rollup", "Nats-Expected-Stream", "Nats-Expected-Last-Sequence", "Nats-TTL"),
    *("Nats-Msg-Id", "x-gw-route", "x-gw-key", "x-gw-dlq-reason", "x-gw-timestamp"),
    *("x-death", "x-first-death-queue", "x-last-death-reason", "CC", "BCC", "x-delay"),
    *("__connect.errors.topic", "CamelHttpUri", "CamelExecCommandArgs", "org.apache.camel.x"),
    *("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
    *("Proxy-Authorization", "reply-to", "Reply_To", "kafka_replyTopic"),
]


@pytest.mark.parametrize("protocol", ALL)
def test_no_control_header_passes_in_any_letter_case(protocol: str) -> None:
    spelled = [each for name in CONTROL for each in (name, name.lower(), name.upper())]
    messages: list[Headers] = [((name, b"x"), ("kept", b"1")) for name in spelled]
    for name, headers in zip(spelled, passed(protocol, *messages), strict=True):
        assert headers == (("kept", b"1"),), name


@pytest.mark.parametrize("protocol", ALL)
def test_a_control_header_does_not_pass_by_name_either(protocol: str) -> None:
    more = "pass_headers: [cc, nats-rollup, camelhttpuri, x-gw-route]"
    headers = (("CC", b"a"), ("Nats-Rollup", b"all"), ("CamelHttpUri", b"u"), ("X-GW-Route", b"r"))
    assert passed(protocol, headers, more=more) == [()]
    findings = [each for each in gl.check(config_of(protocol, more)) if "never passes" in each.text]
    assert [each.code for each in findings] == ["header-refused"] * 4


@pytest.mark.parametrize("protocol", ALL)
def test_only_named_headers_pass_in_any_letter_case(protocol: str) -> None:
    headers = (("Tenant", b"a"), ("TENANT", b"b"), ("tenant2", b"c"), (" tenant", b"d"))
    (found,) = passed(protocol, headers, more="pass_headers: [tenant]")
    assert found == (("Tenant", b"a"), ("TENANT", b"b"))


# --- bounds ---


def test_at_the_bounds_all_pass_and_past_them_none() -> None:
    value, filler = b"v" * MAX_HEADER_BYTES, MAX_HEADERS_BYTES - 3 * (MAX_HEADER_BYTES + 1) - 1
    messages: list[Headers] = [
        tuple((f"h{number}", b"") for number in range(MAX_HEADERS)),
        tuple((f"h{number}", b"") for number in range(MAX_HEADERS + 1)),
        (("a", value),),
        (("a", value + b"v"),),
        (("a", value), ("b", value), ("c", value), ("d", b"v" * filler)),
        (("a", value), ("b", value), ("c", value), ("d", b"v" * filler), ("e", b"")),
        tuple((f"{number:0250}", b"v" * 128) for number in range(MAX_HEADERS)),
        tuple((f"{number:0250}", b"v" * 300) for number in range(MAX_HEADERS)),
    ]
    verdicts = passed("kafka", *messages)
    refused = [each if isinstance(each, str) else None for each in verdicts]
    reasons = [each and each.partition(":")[0] for each in refused]
    assert reasons == [
        None,
        "headers-too-many",
        None,
        "headers-too-large",
        None,
        "headers-too-large",
        None,
        "headers-too-large",
    ]
    assert [len(each) for each in verdicts if not isinstance(each, str)] == [64, 1, 4, 64]


@pytest.mark.parametrize("protocol", ALL)
def test_a_flood_of_headers_is_one_dead_letter(protocol: str) -> None:
    flood: Headers = tuple((f"h{number}", b"x") for number in range(10_000))
    huge: Headers = (("a", b"x" * 1_000_000),)
    good: Headers = (("a", b"x"),)
    first, second, third = passed(protocol, flood, huge, good)
    assert isinstance(first, str)
    assert first.startswith("headers-too-many")
    assert isinstance(second, str)
    assert second.startswith("headers-too-large")
    assert third == good


def test_what_does_not_pass_counts_for_nothing() -> None:
    flood: Headers = tuple((f"x-gw-{number}", b"x" * 1_000) for number in range(100))
    assert passed("kafka", flood) == [()]
    assert passed("kafka", (("big", b"x" * 9_000), ("a", b"1")), more="pass_headers: [a]") == [
        (("a", b"1"),)
    ]
    assert passed("nats", (("big", b"x" * 9_000),), more="pass_headers: none") == [()]


# --- W3C trace headers ---


@pytest.mark.parametrize(
    ("value", "is_good"),
    [
        (PARENT, True),
        (PARENT.replace(b"00-", b"cc-", 1), True),
        (PARENT.replace(b"00-", b"cc-", 1) + b"-more", True),
        (PARENT + b"-more", False),
        (PARENT.upper(), False),
        (PARENT.replace(b"00-", b"ff-", 1), False),
        (b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", False),
        (b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01", False),
        (PARENT[:-1], False),
        (PARENT + b"\n", False),
        (b"", False),
        (b"00-$(reboot)-x-01", False),
    ],
)
def test_a_trace_parent_passes_if_w3c_says_so(value: bytes, is_good: bool) -> None:
    headers: Headers = (("a", b"1"), ("TraceParent", value), ("b", b"2"))
    kept = headers if is_good else (headers[0], headers[2])
    for protocol in ("kafka", "rabbitmq", "redis"):
        assert passed(protocol, headers) == [kept]


def test_a_trace_state_passes_with_its_parent_only() -> None:
    parent, state = ("traceparent", PARENT), ("tracestate", b"vendor=1")
    assert passed("kafka", (state, parent)) == [(state, parent)]
    assert passed("kafka", (state,), (state, ("traceparent", b"no"))) == [(), ()]
    assert passed("kafka", (parent, ("tracestate", b"x" * 513))) == [(parent,)]


# --- going round ---


def test_a_message_that_went_through_too_many_gateways_is_refused() -> None:
    id_ = ("x-gw-id", b"0123")
    verdicts = passed(
        "redis",
        (),
        (id_,),
        *[(id_, ("X-GW-Hops", b"%d" % hops)) for hops in (2, MAX_HOPS - 1, MAX_HOPS, 99)],
        *[(id_, ("x-gw-hops", value)) for value in (b"", b"-9", b"1e9", b"\xff", b"0")],
    )
    assert verdicts[0] == ()
    assert verdicts[1:4] == [(("x-gw-hops", each),) for each in (b"2", b"3", b"8")]
    assert all(isinstance(each, str) and "too-many-hops" in each for each in verdicts[4:6])
    assert verdicts[6:] == [(("x-gw-hops", b"2"),)] * 5


@pytest.mark.parametrize("protocol", ALL)
def test_hops_are_counted_where_no_header_passes(protocol: str) -> None:
    far: Headers = (("x-gw-hops", b"8"), ("big", b"x" * 100))
    (verdict,) = passed(protocol, far, more="pass_headers: none")
    assert isinstance(verdict, str)
    assert verdict.startswith("too-many-hops")
