from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_lab.captures import ndjson
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.read import scan_capture
from gateway_lab.errors import CaptureError
from gateway_lab.messages.message import Message
from tests.captures.made import a_capture, a_frame
from tests.examples import examples


def read(folder: Path, *lines: str | bytes, **options: str) -> Capture:
    path = folder / "lines.ndjson"
    path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines))
    return scan_capture(path, **options)


def the_message(folder: Path, line: dict[str, Any] | str | bytes, **options: str) -> Message:
    text = json.dumps(line) if isinstance(line, dict) else line
    return read(folder, text, **options).message(0)


def refused(folder: Path, *lines: str | bytes) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        read(folder, *lines)
    return caught.value


# --- what we write ---


def test_a_header_without_a_value_is_an_empty_one(tmp_path: Path) -> None:
    capture = a_capture(1, headers=[[{"name": "x", "value": None}]])
    capture.write(tmp_path / "c.ndjson")
    assert scan_capture(tmp_path / "c.ndjson").digest == capture.digest


@pytest.mark.parametrize("name", ["c.ndjson", "c.ndjson.gz", "c.jsonl"])
def test_every_odd_value_comes_back_exactly(tmp_path: Path, name: str) -> None:
    capture = a_capture()
    capture.write(tmp_path / name)
    back = scan_capture(tmp_path / name)
    assert back.frame.collect().equals(a_frame())
    assert back.digest == capture.digest
    assert back.metadata.recorded_by == "a test"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60))
@given(
    body=st.none() | st.binary() | st.text().map(str.encode) | st.sampled_from([b"1e5", b"[1, 2]"]),
    key=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(), st.binary() | st.text().map(str.encode)), max_size=4),
)
def test_any_message_comes_back_exactly(
    tmp_path: Path, body: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    items = [{"name": name, "value": value} for name, value in headers]
    capture = a_capture(1, body=[body], key=[key], headers=[items])
    capture.write(tmp_path / "c.ndjson")
    assert scan_capture(tmp_path / "c.ndjson").digest == capture.digest


def test_lines_are_what_other_tools_expect(tmp_path: Path) -> None:
    headers = [[{"name": "x-request-id", "value": b"r-1"}]]
    a_capture(1, body=[b'{"n": 1.50}'], key=[b"k"], headers=headers).write(tmp_path / "c.ndjson")
    about, line = (tmp_path / "c.ndjson").read_text().splitlines()
    assert json.loads(about)["capture"]["recorded_by"] == "a test"
    assert line == (
        '{"seq":10,"received":"2026-03-02T08:00:00Z","timestamp":"2026-03-02T08:00:00Z",'
        '"broker":"stream","kind":"kafka","channel":"other","partition":"0","position":"0",'
        '"key":"k","headers":{"x-request-id":"r-1"},"body":{"n": 1.50}}'
    )


def test_compressed_files_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.ndjson.gz", "b.ndjson.gz"):
        a_capture().write(tmp_path / name)
    first, second = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert first == second


def test_verdicts_of_a_masked_capture_are_kept(tmp_path: Path) -> None:
    frame = a_frame(2).with_columns(invalid=pl.Series([None, "not JSON"]))
    Capture(frame.lazy(), CaptureMetadata(masked=("users: key",))).write(tmp_path / "c.ndjson")
    back = scan_capture(tmp_path / "c.ndjson")
    assert back.is_masked
    assert back.metadata.masked == ("users: key",)
    assert back.frame.collect().equals(frame)


# --- what others wrote ---


def test_only_headers_and_body_are_enough(tmp_path: Path) -> None:
    line = '{"headers":{"X-GitHub-Event":"issues"},"body":{"action": "opened","n":1.0}}'
    capture = read(tmp_path, line, line, broker="stream", protocol="kafka", channel="github")
    second = capture.message(1)
    assert second.body == b'{"action": "opened","n":1.0}'
    assert second.headers == (("X-GitHub-Event", b"issues"),)
    assert (second.broker, second.protocol, second.channel) == ("stream", "kafka", "github")
    assert second.received == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert second.timestamp is None


def test_what_a_line_says_wins_over_the_options(tmp_path: Path) -> None:
    assert the_message(tmp_path, {"channel": "a", "body": 1}, channel="b").channel == "a"


def test_a_line_without_a_body_is_itself_one(tmp_path: Path) -> None:
    text = '{"event_type": "order", "timestamp": 17, "key": {}}'
    message = the_message(tmp_path, text)
    assert message.body == text.encode()
    assert message.key is None


def test_received_is_the_timestamp_where_only_that_is_known(tmp_path: Path) -> None:
    message = the_message(tmp_path, {"timestamp": "2026-01-01T10:00:00+02:00", "body": {}})
    assert message.received == message.timestamp == datetime(2026, 1, 1, 8, tzinfo=UTC)


def test_a_null_body_is_a_tombstone(tmp_path: Path) -> None:
    assert the_message(tmp_path, {"body": None}).body is None


def test_header_values_that_are_not_text_become_their_json(tmp_path: Path) -> None:
    headers = {"n": 1, "list": ["a", "b"], "none": None, "object": {"x": True}}
    message = the_message(tmp_path, {"headers": headers, "body": {}})
    assert message.headers == (
        ("n", b"1"),
        ("list", b"a"),
        ("list", b"b"),
        ("none", b""),
        ("object", b'{"x":true}'),
    )


def test_numbers_of_partitions_and_positions_become_text(tmp_path: Path) -> None:
    message = the_message(tmp_path, {"partition": 3, "position": 17, "body": {}})
    assert (message.partition, message.position) == ("3", "17")


def test_empty_lines_windows_ends_and_a_byte_order_mark_are_no_matter(tmp_path: Path) -> None:
    capture = read(tmp_path, b'\xef\xbb\xbf{"body":1}\r', b"", b"  ", b'{"body":2}', b"")
    assert [row["body"] for row in capture.frame.collect().to_dicts()] == [b"1", b"2"]


def test_an_empty_file_has_no_messages(tmp_path: Path) -> None:
    assert read(tmp_path, "").count == 0


def test_lines_are_read_as_lazily_as_parquet(tmp_path: Path) -> None:
    capture = read(tmp_path, *(f'{{"body":{n}}}' for n in range(20)))
    assert capture.head(3).count == 3
    odd = capture.frame.filter(pl.col("seq") % 2 == 1).select("body").head(2).collect()
    assert odd["body"].to_list() == [b"1", b"3"]
    assert capture.between("1970-01-01T00:00:05", "1970-01-01T00:00:07").count == 2


def test_more_lines_than_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "_BATCH_LINES", 7)
    capture = read(tmp_path, *(f'{{"body":{n}}}' for n in range(20)))
    assert capture.frame.select("seq").collect()["seq"].to_list() == list(range(20))


# --- bad input ---


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "Expected `object`, got `array`"),
        ("17", "Expected `object`, got `int`"),
        ("{", "ends too early"),
        ('{"body":NaN}', "malformed"),
        ('{"body":1} {}', "trailing characters"),
        ('{"body":1,"broker":7}', r"Expected `str \| null`, got `int` - at `\$.broker`"),
        ('{"body":1,"received":"noon"}', r"at `\$.received`"),
        ('{"body_base64":"%%"}', "not base64"),
        ('{"body":1,"seq":-1}', "seq"),
        ('{"body":' + "[" * 9_000 + "]" * 9_000 + "}", "nested too deep"),
        (b'{"body":1,"key":"\xff"}', "utf-8"),
    ],
)
def test_a_bad_line_is_told_with_its_number(
    tmp_path: Path, line: str | bytes, problem: str
) -> None:
    error = refused(tmp_path, '{"body":1}', "", line)
    assert error.where == f"{tmp_path / 'lines.ndjson'}:3"
    with pytest.raises(CaptureError, match=problem):
        raise error


def test_a_line_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "LINE_BYTES", 100)
    error = refused(tmp_path, '{"body":1}', '{"body":"' + "x" * 100 + '"}')
    assert error.problem == "this line cannot be read: longer than 100 bytes"


def test_a_truncated_compressed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"body":1}\n' * 100)[:-20])
    with pytest.raises(CaptureError, match="truncated or damaged"):
        scan_capture(path)


def test_a_file_that_is_not_compressed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.ndjson.gz"
    path.write_bytes(b'{"body":1}\n')
    with pytest.raises(CaptureError, match="Not a gzipped file"):
        scan_capture(path)


def test_numbers_that_repeat_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, '{"seq":4,"body":1}', '{"seq":4,"body":1}')
    assert error.problem == "several messages have seq 4"
