from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.brokers.contract import Outgoing
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.dead_letter import Cause, Letters
from gateway_lab.gateway.letter import Letter, Reopened, read_letter, reopen
from gateway_lab.gateway.ways import Ways
from gateway_lab.messages.headers import MAX_HEADER_BYTES, MAX_HEADERS, MAX_HEADERS_BYTES
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import is_plain
from gateway_lab.protocols.registry import PROTOCOLS
from tests.gateway.shop import RECEIVED, SHOP

BROKERS = sorted(PROTOCOLS)


@cache
def letters(protocol: str) -> Letters:
    config = parse_config(SHOP.replace("letters: memory", f"letters: {protocol}"))
    plan = compile_plan(config).plan
    assert plan is not None
    return Letters(plan.sources["orders"], plan.digest)


WAY = Ways(Counters("orders"), {})["size", "big", "big"]


def letter(message: Message, protocol: str, reason: str = "it failed") -> Outgoing:
    cause = Cause(reason=reason, of_class="permanent", attempts=3, first=RECEIVED, last=RECEIVED)
    return letters(protocol).write(message, "id", WAY, cause)[1]


HEADERS = (
    ("plain", b"yes"),
    ("binary", b"\xff"),
    ("X-Gw-Route", b"of another"),
    ("Nats-TTL", b"1"),
)


def told(letter: Outgoing, name: str) -> bytes | None:
    return dict(letter.headers).get(f"x-gw-dlq-{name}")


def read(written: Outgoing) -> tuple[Letter, Reopened]:
    """What comes back of a letter that was stored."""
    raw = Message(
        body=written.body,
        key=written.key,
        headers=tuple(written.headers),
        received=datetime.now(UTC),
    )
    found = read_letter(raw)
    assert found is not None
    message = reopen(found, {"here": "memory"})
    assert message is not None
    return found, message


def again(message: Message, protocol: str) -> Message:
    """The message that its letter becomes."""
    fields: dict[str, Any] = msgspec.structs.asdict(read(letter(message, protocol))[1])
    del fields["letter"]
    return Message(**fields)


def a_message(**fields: Any) -> Message:
    place = {"broker": "here", "protocol": "memory", "channel": "orders", "position": "7"}
    return Message(**{"body": b"", "received": RECEIVED, **place, **fields})


def test_a_letter_says_what_happened() -> None:
    found, _ = read(letter(a_message(), "kafka"))
    assert (found.router, found.route, found.target) == ("size", "big", "big")
    assert (found.source, found.reason, found.of_class) == ("orders", "it failed", "permanent")
    assert (found.attempts, found.first, found.last) == (3, RECEIVED, RECEIVED)
    assert (found.id, found.replays, found.run) == ("id", 0, None)
    assert len(told(letter(a_message(), "kafka"), "config") or b"") == 64


def test_a_letter_keeps_aside_what_its_broker_cannot_carry() -> None:
    written = letter(a_message(body=None, key=b"\x00", headers=HEADERS), "nats")
    assert written.headers[0] == ("plain", b"yes")
    assert (written.key, written.body) == (None, b"")
    assert told(written, "left-out") is None
    assert told(written, "kept")


def test_a_broker_that_carries_everything_gets_everything_but_the_gateways_own() -> None:
    written = letter(a_message(body=None, key=b"\x00", headers=HEADERS[:3]), "kafka")
    assert written.headers[:3] == (*HEADERS[:2], ("x-gw-id", b"id"))
    assert (written.key, written.body) == (b"\x00", None)
    assert (told(written, "kept"), told(written, "left-out")) == (None, None)


NAMES = st.sampled_from(
    ["a", "A", "b", "Nats-TTL", "x-death", "__connect.x", "x-gw-hops", "x-gw-id"]
)
PLACES = st.none() | st.sampled_from(["0", "3", "1-0", "a:b"])


@pytest.mark.parametrize("protocol", BROKERS)
@given(
    body=st.none() | st.binary(max_size=20),
    key=st.none() | st.binary(max_size=20),
    headers=st.lists(st.tuples(NAMES, st.binary(max_size=8)), max_size=6).map(tuple),
    timestamp=st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
    channel=st.sampled_from(["orders", "a/b", "a.b-c"]),
    partition=PLACES,
    position=PLACES,
)
def test_a_message_comes_back_from_its_letter_as_it_was(protocol: str, **fields: Any) -> None:
    if fields["timestamp"] is not None:
        fields["timestamp"] = fields["timestamp"].replace(tzinfo=UTC)
    message = a_message(**fields)
    assert sorted(again(message, protocol).headers) == sorted(message.headers)
    assert msgspec.structs.replace(again(message, protocol), headers=message.headers) == message


@pytest.mark.parametrize("protocol", BROKERS)
def test_headers_come_back_in_their_order(protocol: str) -> None:
    headers = (("a", b"1"), ("b", b"\xff"), ("a", b"2"), ("Nats-TTL", b"1"), ("c", b"3"))
    assert again(a_message(headers=headers), protocol).headers == headers


@pytest.mark.parametrize("protocol", BROKERS)
@pytest.mark.parametrize(
    "headers",
    [
        [(f"h{n}", b"x") for n in range(10_000)],
        [("h", b"x" * 200_000)],
        [(f"h{n}", b"x" * 8_000) for n in range(25)],
        [("h" * 255 + str(n), b"\xff" * 4_000) for n in range(60)],
    ],
    ids=["many", "large", "much", "binary"],
)
def test_hostile_headers_leave_a_letter_that_can_be_sent(
    protocol: str, headers: list[tuple[str, bytes]]
) -> None:
    written = letter(a_message(headers=tuple(headers), key=b"\xff" * 200_000), protocol)
    carried = [each for each in written.headers if not each[0].startswith("x-gw-")]
    assert len(carried) <= MAX_HEADERS
    assert all(len(value) <= 2 * MAX_HEADER_BYTES for _, value in written.headers)
    size = sum(len(name) + len(value) for name, value in written.headers)
    assert size <= 2 * MAX_HEADERS_BYTES
    assert b"h" in (told(written, "left-out") or b"")
    if PROTOCOLS[protocol].carries.key == "native":
        assert written.key is not None
    else:
        assert (written.key, b"key" in (told(written, "left-out") or b"")) == (None, True)
    assert read(written)


@pytest.mark.parametrize("name", ["x-gw-hops", "X-Gw-Hops"])
def test_hops_that_are_no_text_do_not_keep_a_letter_from_nats(name: str) -> None:
    message = a_message(headers=((name, b"\xff"), ("a", b"1")))
    written = letter(message, "nats")
    assert [each for each, value in written.headers if not is_plain(value)] == []
    assert again(message, "nats").headers == message.headers


def test_a_time_that_is_far_ahead_stands_in_a_header_alone_for_kafka_refuses_it() -> None:
    now = datetime.now(UTC)
    early, soon, late = (a_message(timestamp=now + timedelta(minutes=n)) for n in (-90, 30, 90))
    assert letter(early, "kafka").timestamp == early.timestamp
    assert letter(soon, "kafka").timestamp == soon.timestamp
    assert letter(late, "kafka").timestamp is None
    assert again(late, "kafka").timestamp == late.timestamp


def test_a_reason_fits_into_a_header() -> None:
    reason = told(letter(a_message(), "nats", "bad\r\nvalue " + "x" * 5_000), "reason")
    assert reason is not None
    assert reason.startswith(b"bad  value")
    assert len(reason) == 1_000


def test_a_reason_that_no_text_can_hold_is_spelled_out() -> None:
    assert (
        told(letter(a_message(), "kafka", "half a \ud800 sign"), "reason") == rb"half a \ud800 sign"
    )


def test_a_letter_says_where_its_message_stood() -> None:
    message = a_message(channel="a/b", partition=None)
    assert told(letter(message, "nats"), "position") == b"here/a/b/-/7"


def test_a_hostile_letter_cannot_move_a_cursor() -> None:
    written = letter(a_message(), "kafka")
    headers = (*written.headers, ("x-gw-dlq-reason", "\x1b[2Jgone \u202e".encode()))
    found = read_letter(a_message(headers=headers))
    assert found is not None
    assert found.reason == " [2Jgone  "


@pytest.mark.parametrize("name", ["class", "source", "target", "first", "last", "position"])
def test_what_lacks_a_part_is_no_letter(name: str) -> None:
    written = letter(a_message(), "kafka")
    headers = tuple(each for each in written.headers if each[0] != f"x-gw-dlq-{name}")
    assert read_letter(a_message(headers=headers)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", b"many"),
        ("first", b"soon"),
        ("last", b"2026-01-01T00:00"),
        ("replays", b"\xff1"),
    ],
)
def test_what_cannot_be_read_is_no_letter(name: str, value: bytes) -> None:
    written = letter(a_message(), "kafka")
    headers = (*written.headers, (f"x-gw-dlq-{name}", value))
    found = read_letter(a_message(headers=headers))
    assert found is None or found.replays == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kept", "[]"),
        ("kept", '{"key": 1}'),
        ("timestamp", "x"),
        ("timestamp", "2026-01-01T00:00:00"),
        ("received", ""),
        ("received", "2026-01-01T00:00:00"),
    ],
)
def test_a_letter_whose_message_cannot_be_made_again_is_none(name: str, value: str) -> None:
    found, _ = read(letter(a_message(), "kafka"))
    headers = (*found.raw.headers, (f"x-gw-dlq-{name}", value.encode()))
    spoilt = replace(found, raw=msgspec.structs.replace(found.raw, headers=headers))
    assert reopen(spoilt, {}) is None
