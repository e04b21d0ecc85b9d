"""Bodies that are no events: one dead letter each, with the reason, in every way of deciding."""

from __future__ import annotations

import pytest

import gateway_lab as gl
from tests.bad_input.small import CONFIG, capture_of, refused

GOOD = b'{"tenant":"acme","priority":"high"}'


def with_(raw: bytes) -> bytes:
    """Add a field that nobody declared."""
    return GOOD[:-1] + b',"x":' + raw + b"}"


BAD: list[tuple[bytes | None, str]] = [
    (None, "no body"),
    (b"", "empty body"),
    (b"  ", "not JSON: "),
    (b"\xff\xfe", "not UTF-8: byte 0"),
    (with_(b'"\xff"'), "not UTF-8: byte 40"),
    (GOOD.decode().encode("utf-16"), "not UTF-8: byte 0"),
    (b"hello", "not JSON: "),
    (b"<order/>", "not JSON: "),
    (b"{'tenant': 'acme'}", "not JSON: "),
    (GOOD + b" " + GOOD, "not JSON: trailing characters"),
    (b"\xef\xbb\xbf" + GOOD, "not JSON: "),
    (GOOD[:-1], "not JSON: "),
    (with_(b"NaN"), "not JSON: "),
    (with_(b"-Infinity"), "not JSON: "),
    (with_(rb'"\ud800"'), "not JSON: half of a surrogate pair"),
    (with_(b'"a\nb"'), "not JSON: "),
    (with_(b'"' + b"x" * 10_000_000 + b'"'), "larger than 1,048,576 bytes: 10,000,"),
    (with_(b"[" * 10_000 + b"]" * 10_000), "nested deeper than 128 levels"),
    (b"[" * 10_000, "nested deeper than 128 levels"),
    (b'{"a":' * 10_000, "nested deeper than 128 levels"),
    (b"[]", "expected object, got array"),
    (b"null", "expected object, got null"),
    (b"7", "expected object, got integer"),
    (b"{}", "tenant: required but missing"),
    (b'{"tenant":"a","priority":"hihg"}', "priority: 'hihg' is not one of low, high"),
    (b'{"tenant":"a","priority":"urgent","priority":"high"}', "priority: 'urgent' is not one of"),
    (b'{"tenant":"a","amount":"5"}', "amount: expected number, got string"),
    (b'{"tenant":"a","amount":1e400}', "amount: number outside float64"),
    (b'{"tenant":"a","count":' + b"9" * 100 + b"}", "count: integer outside int64"),
    (b'{"tenant":"a","count":1.0}', "count: expected integer, got number"),
    (b'{"tenant":"a","at":"yesterday"}', "at: 'yesterday' is no RFC 3339 date-time"),
    (b'{"tenant":"a","at":"9999-12-31T23:59:59-23:59"}', "is outside the years 1 to 9999 in UTC"),
    (b'{"tenant":"a","at":"0001-01-01T00:00:00+23:59"}', "is outside the years 1 to 9999 in UTC"),
]
CAPTURE = capture_of([GOOD, *(body for body, _ in BAD), GOOD])


@pytest.fixture(scope="module")
def config() -> gl.GatewayConfig:
    return gl.parse_config(CONFIG)


@pytest.fixture(scope="module")
def replayed(config: gl.GatewayConfig) -> gl.Replay:
    return gl.replay(config, CAPTURE)


def test_no_message_is_lost_and_every_bad_one_is_a_single_dead_letter(replayed: gl.Replay) -> None:
    (router,) = replayed.routers().rows(named=True)
    assert (router["messages"], router["matched"], router["invalid"]) == (len(BAD) + 2, 2, len(BAD))
    letters = replayed.deliveries().collect().filter(outcome="dead_lettered")
    assert letters["seq"].to_list() == list(range(1, len(BAD) + 1))


@pytest.mark.parametrize("at", range(len(BAD)))
def test_the_reason_is_in_words_and_the_same_alone_and_in_a_capture(
    at: int, config: gl.GatewayConfig, replayed: gl.Replay
) -> None:
    alone = gl.explain(config, CAPTURE.message(at + 1))
    assert alone.invalid is not None
    assert BAD[at][1] in alone.invalid
    delivery = replayed.deliveries().collect().row(at + 1, named=True)
    assert (delivery["target"], delivery["channel"]) == ("dead_letter", "dead")
    assert delivery["reason"] == alone.invalid


def test_a_bad_body_among_many_good_ones_spoils_none_of_them(config: gl.GatewayConfig) -> None:
    for body, reason in BAD:
        if body is not None and len(body) > 1_000_000:
            continue
        result = gl.replay(config, capture_of([GOOD] * 600 + [body] + [GOOD] * 600))
        (router,) = result.routers().rows(named=True)
        assert (router["matched"], router["invalid"]) == (1200, 1), reason


def test_odd_but_valid_bodies_are_events(config: gl.GatewayConfig) -> None:
    bodies = [
        with_(b"9" * 100),  # in a field that nobody declared
        b'{"priority":"low","tenant":"a","priority":"high"}',
        b'\r\n\t {"tenant":"\xf0\x9f\x9a\x80","priority":"high"} ',
        b'{"tenant":"a","priority":"high","amount":' + b"9" * 100 + b"}",
        b'{"tenant":null,"priority":"high"}',
        b'{"tenant":"a","priority":"high","at":"9999-12-31T22:59:59-01:00"}',
    ]
    assert gl.replay(config, capture_of(bodies)).routers()["matched"].to_list() == [len(bodies)]


def test_times_at_the_ends_of_the_calendar_have_a_year_in_both_engines() -> None:
    config = gl.parse_config(
        CONFIG.replace(
            "priority = 'high'", "year(at) in (1, 9999) and date_trunc('year', at) <= at"
        )
    )
    capture = capture_of(
        [
            b'{"tenant":"a","at":"0001-01-01T00:00:00Z"}',
            b'{"tenant":"a","at":"9999-12-31T23:59:59.999999Z"}',
            b'{"tenant":"a","at":"9999-12-31T22:59:59-01:00"}',
        ]
    )
    assert gl.replay(config, capture).routers()["matched"].to_list() == [3]
    for seq in range(3):
        assert gl.explain(config, capture.message(seq)).decisions[0].result == "matched"


@pytest.mark.parametrize(
    "event", [{"a": float("nan")}, {"a": "\ud800"}, {"a": {1}}, {b"a": 1}, {"a": 10**5000}]
)
def test_an_event_that_json_cannot_hold_is_refused(config: gl.GatewayConfig, event: object) -> None:
    error = refused(lambda: gl.explain(config, event, source="orders"))  # type: ignore[arg-type]
    assert "cannot be written as JSON" in error.problem
    assert "dict of JSON values" in error.hint


def test_an_event_nested_ten_thousand_deep_is_refused(config: gl.GatewayConfig) -> None:
    event: dict[str, object] = {}
    for _ in range(10_000):
        event = {"a": event}
    assert "JSON" in refused(lambda: gl.explain(config, event, source="orders")).problem
