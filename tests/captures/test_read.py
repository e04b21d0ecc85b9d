from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.format import METADATA_KEY
from gateway_lab.captures.read import scan_capture
from gateway_lab.errors import CaptureError
from tests.captures.made import a_capture, a_frame


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "capture.parquet"
    a_capture().write(path)
    return path


def refused(path: Path | str) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        scan_capture(path)
    return caught.value


def test_a_file_is_read(capture: Path) -> None:
    assert scan_capture(capture).frame.collect().equals(a_frame())
    assert scan_capture(str(capture)).paths == (capture,)


def test_a_file_of_another_tool_is_read_without_metadata(tmp_path: Path) -> None:
    a_frame().with_columns(mine=1).write_parquet(tmp_path / "plain.parquet")
    capture = scan_capture(tmp_path / "plain.parquet")
    assert capture.frame.collect().equals(a_frame())
    assert (capture.metadata.digest, capture.metadata.recorded_by) == (None, "")


def test_folder_and_glob_are_one_capture_in_the_order_of_names(tmp_path: Path) -> None:
    frame = a_frame()
    for name, part in zip(("b", "a", "c"), frame.iter_slices(14), strict=True):
        part.write_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / ".a.parquet.partial").write_bytes(b"")
    (tmp_path / ".hidden.parquet").write_bytes(b"")
    expected = [*range(24, 38), *range(10, 24), *range(38, 50)]
    for path in (tmp_path, tmp_path / "*.parquet"):
        found = scan_capture(path)
        assert found.frame.select("seq").collect().to_series().to_list() == expected
        assert [each.stem for each in found.paths] == ["a", "b", "c"]


def test_a_missing_file_is_told_with_its_nearest_neighbour(capture: Path) -> None:
    error = refused(capture.with_name("captures.parquet"))
    assert error.problem == "no such file"
    assert error.hint == "did you mean 'capture.parquet'?"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "is not a folder" in refused(tmp_path / "no" / "c.parquet").hint


@pytest.mark.parametrize("pattern", ["*.parquet", "a**b/*.parquet", "[.parquet"])
def test_a_glob_without_files_is_refused(tmp_path: Path, pattern: str) -> None:
    assert refused(tmp_path / pattern).where == str(tmp_path / pattern)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert error.problem == "this folder has no .parquet file"
    assert error.hint == "it is empty"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    path.touch()
    assert refused(path).problem == "this file is empty (0 bytes)"


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    path.write_text("seq,received,body\n1,2,3\n")
    assert refused(path).problem == "not a Parquet file"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(capture: Path, share: float) -> None:
    content = capture.read_bytes()
    capture.write_bytes(content[: int(len(content) * share)])
    error = refused(capture)
    assert "truncated or damaged" in error.problem
    assert error.where == str(capture)


def test_a_damaged_file_is_refused(capture: Path) -> None:
    content = bytearray(capture.read_bytes())
    content[4:400] = b"\0" * 396
    capture.write_bytes(content)
    assert "truncated or damaged" in refused(capture).problem


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    a_frame().write_parquet(path, metadata={METADATA_KEY: '{"format_version": 99}'})
    assert "format 99" in refused(path).problem


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    a_frame().drop("headers").write_parquet(tmp_path / "c.parquet")
    assert refused(tmp_path / "c.parquet").problem == "not a capture: it has no column headers"


def test_a_mistyped_column_is_named_in_whichever_file_it_is(tmp_path: Path) -> None:
    a_frame().write_parquet(tmp_path / "a.parquet")
    mistyped = a_frame().with_columns(pl.col("body").cast(pl.List(pl.UInt8)))
    mistyped.write_parquet(tmp_path / "b.parquet")
    error = refused(tmp_path)
    assert "body is List(UInt8), not Binary" in error.problem
    assert error.where == str(tmp_path / "b.parquet")


def test_a_null_received_is_told_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    a_frame(3).with_columns(
        received=pl.when(pl.col("seq") != 11).then(pl.col("received"))
    ).write_parquet(path)
    assert refused(path).problem == "received is null in row 1"


def test_a_repeated_number_is_refused(tmp_path: Path) -> None:
    a_frame(4, seq=[1, 7, 3, 7]).write_parquet(tmp_path / "c.parquet")
    assert refused(tmp_path / "c.parquet").problem == "several messages have seq 7"


def test_two_recordings_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        a_capture().write(tmp_path / f"{name}.parquet")
    error = refused(tmp_path)
    assert error.problem == "several messages have seq 10"
    assert "scanned apart" in error.hint


def test_numbers_may_come_in_any_order(tmp_path: Path) -> None:
    a_frame(3, seq=[5, 0, 2**64 - 1]).write_parquet(tmp_path / "c.parquet")
    capture = scan_capture(tmp_path / "c.parquet")
    assert capture.count == 3
    assert capture.message(2**64 - 1).position == "2"


def test_no_messages_are_a_capture_too(tmp_path: Path) -> None:
    a_capture(0).write(tmp_path / "c.parquet")
    assert scan_capture(tmp_path / "c.parquet").count == 0


def test_a_file_that_lost_rows_has_no_digest_of_old(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    a_capture().write(path)
    old = pl.read_parquet_metadata(path)[METADATA_KEY]
    a_frame(39).write_parquet(path, metadata={METADATA_KEY: old})
    capture = scan_capture(path)
    assert capture.count == 39
    assert capture.digest == a_capture(39).digest


def test_masked_and_open_files_do_not_mix(tmp_path: Path) -> None:
    a_frame(3).write_parquet(tmp_path / "a.parquet")
    masked = a_frame(3, seq=[1, 2, 3]).with_columns(invalid=pl.lit(None, pl.String))
    masked.write_parquet(tmp_path / "b.parquet")
    assert "some of these files are masked" in refused(tmp_path).problem


def test_where_lines_came_from_is_only_asked_of_ndjson(capture: Path) -> None:
    with pytest.raises(CaptureError, match="only be given for NDJSON"):
        scan_capture(capture, channel="x")
