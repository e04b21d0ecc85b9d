from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from gateway_lab.captures.generate import generate_traffic
from gateway_lab.captures.profile import body_kind
from tests.captures.made import START, a_capture
from tests.captures.shop import config, messages


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b' {"a":1} ', "object"),
        (b"[1]", "other json"),
        (b"null", "other json"),
        (b"{", "not json"),
        (b"NaN", "not json"),
        (b'"\xff"', "not utf-8"),
        (b"[" * 100_000, "not json"),
    ],
)
def test_bodies_are_told_apart(body: bytes | None, kind: str) -> None:
    assert body_kind(body) == kind


def test_channels_have_their_count_share_span_and_rate() -> None:
    rows = a_capture(6).profile().channels.to_dicts()
    assert [row["channel"] for row in rows] == ["events", "other"]
    assert rows[0] | {"first": None, "last": None} == {
        "broker": "stream",
        "kind": "kafka",
        "channel": "events",
        "messages": 4,
        "share": 0.6667,
        "first": None,
        "last": None,
        "per_second": 1.0,
    }


def test_channels_of_one_name_on_two_brokers_are_told_apart() -> None:
    profile = generate_traffic("users", n=500, seed=3).profile()
    for name in ("channels", "sizes", "keys", "headers", "times", "bodies"):
        shared = getattr(profile, name).filter(channel="user-events")
        assert shared["broker"].unique().sort().to_list() == ["cache", "stream"], name
    assert profile.sizes.height == profile.keys.height == profile.times.height == 4
    shares = profile.bodies.group_by("broker", "channel").agg(pl.col("share").sum())
    assert shares["share"].round(3).to_list() == [1.0] * 4


def test_sizes_count_a_tombstone_as_nothing() -> None:
    (row,) = messages("x", b"1234", None, b"12").profile().sizes.to_dicts()
    assert (row["bytes"], row["median_bytes"], row["max_bytes"]) == (6, 2, 4)


def test_keys_are_counted_and_not_shown() -> None:
    keys = [b"secret", b"secret", b"b", None]
    profile = messages("x", *[b"{}"] * 4, key=keys).profile()
    (row,) = profile.keys.to_dicts()
    assert (row["without_key"], row["distinct"], row["top_share"]) == (0.25, 2, 0.5)
    assert "secret" not in repr(profile) + profile._repr_html_()


def test_a_header_repeated_in_a_message_counts_once() -> None:
    twice = [{"name": "x", "value": b"1"}] * 2
    (row,) = messages("c", b"{}", b"{}", headers=[twice, []]).profile().headers.to_dicts()
    assert row == {"broker": "stream", "channel": "c", "name": "x", "messages": 1, "share": 0.5}


def test_gaps_and_late_and_early_times_are_found() -> None:
    received = [START + timedelta(seconds=s) for s in (0, 1, 61, 62)]
    sent = [START, START + timedelta(seconds=3), None, START + timedelta(seconds=2)]
    (row,) = (
        messages("c", *[b"{}"] * 4, received=received, timestamp=sent).profile().times.to_dicts()
    )
    assert (row["longest_gap"], row["gap_from"]) == (timedelta(minutes=1), received[1])
    assert row["without_timestamp"] == 0.25
    assert row["out_of_order"] == pytest.approx(1 / 3, abs=1e-4)
    assert row["early"] == pytest.approx(1 / 3, abs=1e-4)
    assert row["max_late"] == timedelta(minutes=1)


def test_with_a_config_valid_and_invalid_are_counted_with_reasons() -> None:
    profile = messages("orders", b'{"id":1}', b'{"id":1.5}', b'{"id":1.5}').profile(config())
    assert profile.sources is not None
    assert profile.invalid is not None
    assert profile.sources.rows() == [("orders", "Order", 3, 1, 2, 0.6667)]
    assert profile.invalid.rows() == [
        ("orders", "Order", "id: expected integer, got number", 2, 11)
    ]


def test_a_capture_without_messages_has_a_profile() -> None:
    profile = a_capture(0).profile(config())
    assert profile.channels.is_empty()
    assert profile.invalid is not None
    assert "channels" in repr(profile)


def test_names_cannot_write_html() -> None:
    assert "<b>" not in messages("<b>", b"{}").profile()._repr_html_()
