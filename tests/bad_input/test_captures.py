"""Captures that are none, and captures of nothing: which file, which line, and what to do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

import gateway_lab as gl
from gateway_lab.captures.format import METADATA_KEY
from tests.bad_input.small import CONFIG, capture_of, refused

DATA = Path(__file__).parents[2] / "data"
GOOD = b'{"tenant":"acme","priority":"high"}'


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a good file, whose bodies cannot be packed into nothing."""
    path = tmp_path_factory.mktemp("captures") / "good.parquet"
    gl.generate_traffic("business", n=2_000).write(path)
    return path.read_bytes()


def a_file(folder: Path, data: bytes, name: str = "monday.parquet") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("share", [0.0001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_told(tmp_path: Path, whole: bytes, share: float) -> None:
    path = a_file(tmp_path, whole[: int(len(whole) * share)] or whole[:4])
    error = refused(gl.scan_capture, path)
    assert error.where == str(path)
    assert "truncated" in error.problem or "empty" in error.problem or "not a Par" in error.problem


def test_damage_within_a_file_is_told_or_judged_and_never_a_foreign_error(
    tmp_path: Path, whole: bytes
) -> None:
    """Parquet's pages have no checksum: flipped bytes that can be unpacked are other bodies."""
    config, told = gl.read_config(DATA / "business.yaml"), 0
    for start in range(1_000, len(whole) - 5_000, len(whole) // 12):
        damaged = whole[:start] + bytes(byte ^ 0x55 for byte in whole[start : start + 400])
        path = a_file(tmp_path, damaged + whole[start + 400 :])
        try:
            capture = gl.scan_capture(path)
            capture.profile()
            capture.message(1_000)
            books = gl.replay(config, capture).books()
            gl.replay(config, capture.head(500))
        except gl.GatewayLabError as error:
            told += "truncated or damaged" in str(error)
        else:
            assert books.messages == 2_000
    assert told > 3


def test_a_file_of_zero_bytes_is_told(tmp_path: Path) -> None:
    error = refused(gl.scan_capture, a_file(tmp_path, b""))
    assert "empty (0 bytes)" in error.problem


def test_a_capture_of_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "new.parquet"
    metadata = {METADATA_KEY: json.dumps({"format_version": 2, "brand_new": [1]})}
    capture_of([GOOD]).frame.collect().write_parquet(path, metadata=metadata)
    error = refused(gl.scan_capture, path)
    assert str(error) == (
        f"{path}: this capture is of format 2; this gateway_lab reads up to 1\n"
        "hint: install a newer gateway_lab"
    )


def test_missing_and_mistyped_columns_are_all_named(tmp_path: Path) -> None:
    frame = capture_of([GOOD]).frame.collect()
    path = tmp_path / "odd.parquet"
    frame.drop("key", "body").write_parquet(path)
    error = refused(gl.scan_capture, path)
    assert "it has no column key, body" in error.problem
    assert "a capture has: seq, received" in error.hint
    frame.with_columns(pl.col("seq").cast(pl.Int32), body=pl.lit("{}")).write_parquet(path)
    error = refused(gl.scan_capture, path)
    assert "seq is Int32, not UInt64" in error.problem
    assert "body is String, not Binary" in error.problem


def test_times_that_no_calendar_has_are_refused(tmp_path: Path) -> None:
    for column in ("received", "timestamp"):
        for micros in (2**63 - 1, -(2**63), 1_772_400_000_000_000_000):  # the last: nanoseconds
            odd = pl.lit(micros, pl.Int64).cast(pl.Datetime("us", "UTC"))
            path = tmp_path / "odd.parquet"
            capture_of([GOOD]).frame.with_columns(odd.alias(column)).collect().write_parquet(path)
            error = refused(gl.scan_capture, path)
            assert "seq 0 has a time outside the years 1 to 9999" in error.problem
            assert "nanoseconds" in error.hint


def test_a_repeated_or_missing_number_is_told(tmp_path: Path) -> None:
    frame = capture_of([GOOD] * 3).frame.collect()
    path = tmp_path / "odd.parquet"
    pl.concat([frame, frame]).write_parquet(path)
    assert "several messages have seq 0" in refused(gl.scan_capture, path).problem
    frame.with_columns(received=pl.lit(None, frame.schema["received"])).write_parquet(path)
    assert "received is null in row 0" in refused(gl.scan_capture, path).problem


def test_one_bad_file_of_a_folder_is_named(tmp_path: Path, whole: bytes) -> None:
    a_file(tmp_path, whole, "a.parquet")
    for data in (b"", b"junk", whole[:2_000]):
        path = a_file(tmp_path, data, "b.parquet")
        assert refused(gl.scan_capture, tmp_path).where == str(path)


@pytest.mark.parametrize(
    ("name", "problem", "hint"),
    [
        ("business.yaml", "not a Parquet file", "a config is the argument before it"),
        ("busines.parquet", "no such file", "'business.parquet'"),
        ("no/such.parquet", "no such file", "is not a folder"),
        ("nope*.parquet", "no such file", "did you mean"),
        ("a\0b.parquet", "no such file", ""),
        ("**x", "pattern", "`**`"),
    ],
)
def test_a_wrong_path_is_told_with_what_is_there(name: str, problem: str, hint: str) -> None:
    error = refused(gl.scan_capture, DATA / name)
    assert problem in error.problem
    assert hint in error.hint


def test_a_folder_without_captures_says_what_a_capture_is(tmp_path: Path) -> None:
    assert "it is empty" in refused(gl.scan_capture, tmp_path).hint
    (tmp_path / "notes.txt").touch()
    assert ".parquet file" in refused(gl.scan_capture, tmp_path).hint
    (tmp_path / "hooks.ndjson").touch()
    assert "hooks.ndjson" in refused(gl.scan_capture, tmp_path).hint


@pytest.mark.parametrize(
    ("lines", "number", "problem"),
    [
        (b'{"body":1}\n{"body":', 2, "ends too early"),
        (b"[1]\n", 1, "Expected `object`"),
        (b"7\n", 1, "Expected `object`"),
        (b'{"body":{"a":"\\ud800"}}\n', 1, "surrogate"),
        (b'{"body":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 1, "nested too deep"),
        (b'{"body":1,"seq":"1"}\n', 1, "$.seq"),
        (b'{"body":1,"seq":-1}\n', 1, "seq is not from 0"),
        (b'{"body":1,"received":"noon"}\n', 1, "$.received"),
        (b'{"body":1}\n\n{"body_base64":"*"}\n', 3, "not base64"),
        (b'{"body":1}\n{"headers":5,"body":1}\n', 2, "$.headers"),
        ('{"body":1}\n'.encode("utf-16"), 1, "invalid character"),
        (b"PAR1\0\0\0", 1, "invalid character"),
        (b'{\n  "body": 1\n}\n', 1, "ends too early"),
    ],
)
def test_a_bad_line_of_ndjson_is_told_with_its_number(
    tmp_path: Path, lines: bytes, number: int, problem: str
) -> None:
    path = a_file(tmp_path, lines, "lines.ndjson")
    error = refused(gl.scan_capture, path)
    assert error.where == f"{path}:{number}"
    assert problem in error.problem
    assert "one JSON object" in error.hint


def test_a_compressed_file_that_is_cut_or_none_is_told(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"body":1}\n' * 10_000)
    for data in (packed[:60], b'{"body":1}\n'):
        path = a_file(tmp_path, data, "lines.ndjson.gz")
        assert "truncated or damaged" in refused(gl.scan_capture, path).hint


def test_a_compressed_file_that_would_unpack_for_days_is_refused(tmp_path: Path) -> None:
    line = b'{"body":1' + b" " * 10_000 + b"}\n"
    path = a_file(tmp_path, gzip.compress(line * 2_000), "bomb.ndjson.gz")
    error = refused(gl.scan_capture, path)
    assert "more than 200 times its size" in error.problem
    assert "unpack it yourself" in error.hint


def test_a_compressed_file_of_much_the_same_is_read(tmp_path: Path) -> None:
    path = a_file(tmp_path, gzip.compress(b'{"body":1}\n' * 20_000), "same.ndjson.gz")
    assert gl.scan_capture(path).frame.select(pl.len()).collect().item() == 20_000


def test_a_body_that_no_line_of_json_can_hold_goes_through_ndjson_unchanged(
    tmp_path: Path,
) -> None:
    bodies = [b"", None, b"\xff", b"[" * 100_000, b'{"a":"\\ud800"}', b"null", b"a\nb", b"NaN"]
    path = tmp_path / "odd.ndjson"
    capture_of(bodies).write(path)
    assert gl.scan_capture(path).frame.collect()["body"].to_list() == bodies


def test_what_cannot_be_asked_of_a_capture_is_told() -> None:
    capture = capture_of([GOOD] * 3)
    assert "from 0 to 2" in refused(capture.message, 3).hint
    assert "ask for 0 or more" in refused(capture.head, -1).hint
    assert "2026-03-02T08:30:00Z" in refused(capture.between, "noon", "night").hint
    assert "'business'" in refused(lambda: gl.generate_traffic("busines", n=1)).hint
    assert "0 or more" in refused(lambda: gl.generate_traffic("business", n=-1)).hint
    config = gl.parse_config(CONFIG)
    assert "gl.scan_capture(" in refused(gl.replay, config, "a.parquet").hint


# --- captures of nothing, and of one message ---


@pytest.mark.parametrize("bodies", [[], [GOOD], [b"junk"]], ids=["none", "one", "one bad"])
def test_a_capture_of_no_or_one_message_goes_through_everything(bodies: list[bytes]) -> None:
    old, capture = gl.parse_config(CONFIG), capture_of(bodies)
    new = old.edit_route("by_priority", "high", when="priority = 'low'")
    result, difference = gl.replay(old, capture), gl.diff(old, new, capture)
    assert result.books().messages == len(bodies)
    assert result.routers()["messages"].to_list() == [len(bodies)]
    assert sum(difference.summary()["deliveries"].to_list()) == len(bodies)
    for frame in (result.routes(), result.targets(), result.channels(), result.flow()):
        assert isinstance(frame, pl.DataFrame)
    for lazy in (result.deliveries(rendered=True), result.unmatched(), difference.messages()):
        assert isinstance(lazy.lazy().collect(), pl.DataFrame)
    for figure in (
        gl.figures.flow(result),
        gl.figures.over_time(result),
        gl.figures.volume(capture),
        gl.figures.diff_flow(difference),
        gl.figures.distribution(result.channels(), x="messages", y="channel"),
    ):
        assert figure._repr_html_()
    shown = [repr(result), result._repr_html_(), repr(difference), repr(capture)]
    assert all([*shown, str(capture.profile(old))])
    assert all(gl.check(old, capture)) or not gl.check(old, capture).errors


def test_nothing_can_be_inferred_from_nothing() -> None:
    for bodies in ([], [b"junk"]):
        assert "Capture.profile" in refused(gl.infer_event_type, capture_of(bodies)).hint
