from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS, CaptureMetadata
from gateway_lab.captures.read import scan_capture
from gateway_lab.errors import CaptureError
from tests.captures.made import START, a_capture, a_frame


def seqs(capture: Capture) -> list[int]:
    return capture.frame.select("seq").collect().to_series().to_list()


def test_a_message_is_found_by_its_number() -> None:
    message = a_capture().message(12)
    assert message.seq == 12
    assert message.body == b"null"
    assert message.key == b"k"
    assert message.headers == (("x", b"1"), ("x", b"2"))
    assert (message.broker, message.protocol, message.channel) == ("stream", "kafka", "events")
    assert message.received == START + timedelta(microseconds=2_000_002)
    assert (message.partition, message.position) == ("2", "2")


def test_all_messages_come_in_their_order() -> None:
    capture = a_capture(4)
    messages = list(capture.messages())
    assert [each.seq for each in messages] == seqs(capture)
    assert messages[2] == capture.message(12)


@pytest.mark.parametrize("seq", [9, 50, -1, 2**64, 2**100])
def test_a_number_that_nobody_has_is_told_with_those_there_are(seq: int) -> None:
    with pytest.raises(CaptureError, match=f"no message has seq {seq}\n.*from 10 to 49"):
        a_capture().message(seq)


def test_between_takes_the_start_and_not_the_end() -> None:
    capture = a_capture(4)
    start, end = (
        START + timedelta(microseconds=1_000_001),
        START + timedelta(microseconds=3_000_003),
    )
    assert seqs(capture.between(start, end)) == [11, 12]


@pytest.mark.parametrize(
    "start",
    [
        "2026-03-02T08:00:02",
        "2026-03-02T08:00:02Z",
        "2026-03-02T09:00:02+01:00",
        datetime(2026, 3, 2, 8, 0, 2),
        datetime(2026, 3, 2, 9, 0, 2, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_times_without_offset_mean_utc(start: str | datetime) -> None:
    assert seqs(a_capture(4).between(start, datetime(2027, 1, 1, tzinfo=UTC))) == [12, 13]


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(CaptureError, match="'noon' is not a time\nhint: write it like"):
        a_capture().between("noon", "2026-03-02")


def test_head_and_sample_keep_the_order() -> None:
    capture = a_capture()
    assert seqs(capture.head(3)) == [10, 11, 12]
    sample = seqs(capture.sample(10, seed=1))
    assert len(sample) == 10
    assert sample == sorted(sample)


def test_a_sample_does_not_depend_on_files_and_row_groups(tmp_path: Path) -> None:
    frame = a_frame(1000)
    frame.write_parquet(tmp_path / "one.parquet", row_group_size=13)
    (tmp_path / "parts").mkdir()
    for number, part in enumerate(frame.iter_slices(170)):
        part.write_parquet(tmp_path / "parts" / f"{number}.parquet")
    expected = seqs(a_capture(1000).sample(25, seed=4))
    assert seqs(scan_capture(tmp_path / "one.parquet").sample(25, seed=4)) == expected
    assert seqs(scan_capture(tmp_path / "parts").sample(25, seed=4)) == expected


def test_other_seeds_sample_others() -> None:
    capture = a_capture(1000)
    assert seqs(capture.sample(25, seed=4)) != seqs(capture.sample(25, seed=5))


def test_more_than_there_are_is_all_of_them() -> None:
    capture = a_capture(3)
    assert seqs(capture.sample(10, seed=1)) == seqs(capture.head(10)) == [10, 11, 12]


def test_an_amount_below_zero_is_refused() -> None:
    for narrow in (lambda: a_capture().head(-1), lambda: a_capture().sample(-1, seed=0)):
        with pytest.raises(CaptureError, match="-1 messages"):
            narrow()


def test_a_part_of_a_capture_has_its_own_digest_and_count(tmp_path: Path) -> None:
    a_capture().write(tmp_path / "c.parquet")
    capture = scan_capture(tmp_path / "c.parquet")
    part = capture.head(2)
    assert (capture.count, part.count) == (40, 2)
    assert part.digest != capture.digest
    assert part.paths == ()


def test_nothing_is_something_too() -> None:
    empty = a_capture(0)
    assert empty.count == 0
    assert seqs(empty.head(3)) == seqs(empty.sample(3, seed=1)) == []
    assert seqs(empty.between("2026-01-01", "2027-01-01")) == []
    assert repr(empty) == "Capture(0 messages)"
    assert "Capture(0 messages)" in empty._repr_html_()
    assert len(empty.digest) == 64
    with pytest.raises(CaptureError, match="the capture is empty"):
        empty.message(0)


def test_a_capture_shows_its_count_span_and_channels() -> None:
    capture = a_capture()
    assert repr(capture) == "Capture(40 messages, 2026-03-02 08:00:00 to 2026-03-02 08:00:39 UTC)"
    assert "<td>events</td><td>26</td>" in capture._repr_html_()


def test_a_capture_names_the_places_that_sources_can_be_told(tmp_path: Path) -> None:
    assert a_capture().places() == ["kafka:events", "kafka:other"]
    path = tmp_path / "others.ndjson"
    path.write_text('{"id": 1}\n')
    assert scan_capture(path).places() == [":"]


def test_a_channel_cannot_write_html() -> None:
    capture = a_capture(1, channel=["<script>"])
    assert "<script>" not in capture._repr_html_()


def test_a_masked_capture_says_so() -> None:
    capture = Capture(a_frame().lazy(), CaptureMetadata(masked=("users: key",)))
    assert repr(capture).endswith("UTC, masked)")


def test_what_another_tool_changed_is_found_out(tmp_path: Path) -> None:
    a_capture().write(tmp_path / "c.parquet")
    capture = scan_capture(tmp_path / "c.parquet")
    capture.verify()
    changed = capture.frame.with_columns(channel=pl.lit("elsewhere")).select(*COLUMNS)
    with pytest.raises(CaptureError, match="not what its metadata says"):
        Capture(changed, capture.metadata).verify()
