from __future__ import annotations

from gateway_lab.brokers.contract import Outgoing
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.dead_letter import Cause, Letters
from gateway_lab.gateway.ways import Ways
from gateway_lab.messages.message import Message
from tests.gateway.shop import RECEIVED, SHOP


def letter(message: Message, protocol: str, reason: str = "it failed") -> Outgoing:
    config = parse_config(SHOP.replace("letters: memory", f"letters: {protocol}"))
    plan = compile_plan(config).plan
    assert plan is not None
    way = Ways(Counters("orders"), {})["size", "big", "big"]
    cause = Cause(reason=reason, of_class="permanent")
    return Letters(plan.sources["orders"], plan.digest).write(message, "id", way, cause)[1]


HEADERS = (("plain", b"yes"), ("binary", b"\xff"), ("X-Gw-Id", b"of another"), ("Nats-TTL", b"1"))


def told(letter: Outgoing, name: str) -> bytes | None:
    return dict(letter.headers).get(f"x-gw-dlq-{name}")


def test_a_letter_keeps_what_its_broker_can_carry_and_names_the_rest() -> None:
    message = Message(body=None, key=b"\x00", headers=HEADERS, received=RECEIVED, channel="orders")
    written = letter(message, "nats")
    assert written.headers[0] == ("plain", b"yes")
    assert (written.key, written.body) == (None, b"")
    assert told(written, "left-out") == b"key, binary, Nats-TTL"


def test_a_broker_that_carries_everything_gets_everything_but_the_gateways_own() -> None:
    message = Message(body=None, key=b"\x00", headers=HEADERS, received=RECEIVED, channel="orders")
    written = letter(message, "kafka")
    assert written.headers[:3] == (HEADERS[0], HEADERS[1], HEADERS[3])
    assert (written.key, written.body, told(written, "left-out")) == (b"\x00", None, None)
    assert dict(written.headers)["x-gw-id"] == b"id"


def test_a_reason_fits_into_a_header() -> None:
    written = letter(Message(body=b"", received=RECEIVED), "nats", "bad\r\nvalue " + "x" * 5_000)
    reason = told(written, "reason")
    assert reason is not None
    assert reason.startswith(b"bad  value")
    assert len(reason) == 1_000


def test_a_letter_says_where_its_message_stood() -> None:
    message = Message(body=b"", received=RECEIVED, broker="here", channel="a/b", position="7")
    assert told(letter(message, "nats"), "position") == b"here/a/b/-/7"
