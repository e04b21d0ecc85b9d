"""Values of messages that would choose another channel: refused with the reason, never cut."""

from __future__ import annotations

import json

import polars as pl
import pytest

import gateway_lab as gl
from tests.bad_input.small import CONFIG, capture_of, worst

BAD: list[tuple[str | None, str]] = [
    ("*", "the wildcard `*`"),
    (">", "the wildcard `>`"),
    ("#", "the wildcard `#`"),
    ("a.b", "a dot"),
    ("..", "a dot"),
    ("../etc", "a dot"),
    ("amq.gen", "a dot"),
    ("a b", "a space"),
    ("", "an empty value"),
    ("a\0b", "a NUL character"),
    ("a\nb", "a line break"),
    ("a\rb", "a line break"),
    ("a\tb", "a tab"),
    ("x" * 300, "more than 64 characters"),
    ("x" * 65, "more than 64 characters"),
    ("$JS", "the character `$`"),
    ("$SYS", "the character `$`"),
    ("a/b", "the character `/`"),
    ("{tenant}", "the character `{`"),
    ("é", "U+00E9"),
    ("🚀", "U+1F680"),
    ("\u200b", "U+200B"),
    ("\uff21", "U+FF21"),
    (None, "null-in-channel"),
]
GOOD = ["acme", "A-1_b", "x" * 64, "__consumer_offsets", "_INBOX"]
"""Reserved beginnings are harmless behind the fixed text that every channel begins with."""

PROTOCOLS = ["kafka", "rabbitmq", "nats", "redis", "memory"]
VALUES = [*(value for value, _ in BAD), *GOOD]
CAPTURE = capture_of([json.dumps({"tenant": v, "priority": "high"}).encode() for v in VALUES])


def config_of(protocol: str, channel: str = "high.{tenant}") -> gl.GatewayConfig:
    return gl.parse_config(_text(protocol, channel))


def _text(protocol: str, channel: str) -> str:
    return CONFIG.replace("{stream: kafka}", f"{{stream: kafka, out: {protocol}}}").replace(
        "{broker: stream, channel: high}", f"{{broker: out, channel: {json.dumps(channel)}}}"
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_hostile_value_is_one_dead_letter_with_its_reason(protocol: str) -> None:
    result = gl.replay(config_of(protocol), CAPTURE)
    deliveries = result.deliveries().collect().sort("seq")
    assert deliveries["seq"].to_list() == list(range(len(VALUES)))
    for (value, reason), row in zip(BAD, deliveries.iter_rows(named=True), strict=False):
        assert (row["outcome"], row["channel"]) == ("dead_lettered", "dead"), value
        assert "high.{tenant}" in row["reason"]
        assert reason in row["reason"]
    assert deliveries["channel"].to_list()[len(BAD) :] == [f"high.{value}" for value in GOOD]
    (target,) = result.targets().filter(pl.col("target") == "high").rows(named=True)
    assert (target["delivered"], target["dead_lettered"]) == (len(GOOD), len(BAD))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_message_alone_gets_the_same_verdict(protocol: str) -> None:
    config = config_of(protocol)
    deliveries = gl.replay(config, CAPTURE).deliveries().collect().sort("seq")
    for seq in range(0, len(VALUES), 3):
        (alone,) = gl.explain(config, CAPTURE.message(seq)).targets.rows(named=True)
        row = deliveries.row(seq, named=True)
        assert (alone["outcome"], alone["channel"]) == (row["outcome"], row["channel"])
        assert alone["reason"] == row["reason"]


def test_a_reason_does_not_show_the_hostile_value() -> None:
    reasons = gl.replay(config_of("nats"), CAPTURE).deliveries().collect()["reason"].drop_nulls()
    assert not any("\n" in reason or "\0" in reason or "xxx" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("protocol", "channel", "reason"),
    [
        ("kafka", "a*", "the wildcard `*`"),
        ("kafka", "a b", "a space"),
        ("kafka", "a\nb", "a line break"),
        ("kafka", "a\0b", "a NUL character"),
        ("kafka", "x" * 300, "300 bytes long, at most 249"),
        ("kafka", "__offsets", "names that begin with `__`"),
        ("kafka", "ordérs", "U+00E9"),
        ("nats", "a..b", "an empty token"),
        ("nats", "a.", "an empty token"),
        ("nats", ">", "the wildcard `>`"),
        ("nats", "$JS.API", "names that begin with `$`"),
        ("nats", "_INBOX.a", "names that begin with `_INBOX`"),
        ("rabbitmq", "amq.gen", "names that begin with `amq.`"),
    ],
)
def test_a_channel_that_a_protocol_refuses_is_a_finding(
    protocol: str, channel: str, reason: str
) -> None:
    finding = worst(_text(protocol, channel))
    assert finding.code == "channel-refused"
    assert reason in finding.text
    assert finding.line == 20


def test_a_channel_that_a_message_could_choose_whole_is_a_finding() -> None:
    finding = worst(_text("nats", "{tenant}"))
    assert (finding.code, finding.line) == ("channel-start", 20)
    assert "untrusted" in finding.hint
