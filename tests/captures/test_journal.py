"""Journals: what a recording holds at any moment of its life."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.captures.format import COLUMNS, INVALID, CaptureMetadata
from gateway_lab.captures.journal import Journal, finish_journal, read_journal
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.write import write_batches
from gateway_lab.errors import CaptureError
from tests.captures.made import a_frame

METADATA = CaptureMetadata(recorded_by="a test")


def a_journal(folder: Path, *frames: pl.DataFrame, name: str = "part-0-000001.journal") -> Path:
    journal = Journal(folder / name, METADATA)
    for frame in frames:
        journal.append(frame)
    journal.close()
    return journal.path


def rows(n: int, first: int) -> pl.DataFrame:
    return a_frame(n, seq=range(first, first + n))


def test_a_journal_reads_as_a_capture(tmp_path: Path) -> None:
    a_journal(tmp_path, rows(30, 0), rows(10, 30))
    capture = scan_capture(tmp_path)
    assert capture.count == 40
    assert capture.metadata.recorded_by == "a test"
    expected = pl.concat([rows(30, 0), rows(10, 30)])
    assert capture.frame.collect().equals(expected)


def test_a_journal_goes_behind_the_finished_parts(tmp_path: Path) -> None:
    write_batches([rows(5, 0)], tmp_path / "part-0-000001.parquet", metadata=METADATA)
    a_journal(tmp_path, rows(5, 5), name="part-0-000002.journal")
    assert scan_capture(tmp_path).frame.collect()["seq"].to_list() == list(range(10))


def test_a_part_that_is_finished_stands_for_its_journal(tmp_path: Path) -> None:
    """Both are there when the process ends between making the one and removing the other."""
    a_journal(tmp_path, rows(5, 0))
    write_batches([rows(5, 0)], tmp_path / "part-0-000001.parquet", metadata=METADATA)
    assert scan_capture(tmp_path).count == 5


def test_a_finished_journal_is_a_parquet_file_of_the_same_content(tmp_path: Path) -> None:
    path = a_journal(tmp_path, rows(30, 0), rows(10, 30))
    before = scan_capture(tmp_path).digest
    part = finish_journal(path)
    assert part
    assert sorted(tmp_path.iterdir()) == [part]
    capture = scan_capture(tmp_path)
    assert capture.digest == before
    assert capture.metadata.messages == 40


def test_an_empty_journal_leaves_nothing(tmp_path: Path) -> None:
    assert finish_journal(a_journal(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_masked_rows_has_verdicts(tmp_path: Path) -> None:
    metadata = CaptureMetadata(masked=("users: key",))
    journal = Journal(tmp_path / "part-0-000001.journal", metadata)
    journal.append(rows(3, 0).with_columns(pl.Series(INVALID, [None, "no", None], pl.String)))
    journal.close()
    assert scan_capture(tmp_path).is_masked
    finish_journal(journal.path)
    assert scan_capture(tmp_path).frame.collect()[INVALID].to_list() == [None, "no", None]


@given(cut=st.integers(0, 400), flip=st.booleans())
def test_a_journal_cut_anywhere_holds_its_whole_chunks(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: bool
) -> None:
    """Or damaged there: what comes behind it was never told to be written."""
    folder = tmp_path_factory.mktemp("cut")
    ends = [
        a_journal(folder, *[rows(3, 3 * k) for k in range(n)], name=f"{n}.journal").stat().st_size
        for n in range(5)
    ]
    path = folder / "4.journal"
    data = bytearray(path.read_bytes())
    at = ends[0] + (len(data) - ends[0] - 1) * cut // 400
    if flip:
        data[at] ^= 0xFF
    path.write_bytes(data if flip else data[:at])
    _, frames = read_journal(path)
    whole = sum(end <= at for end in ends) - 1
    assert [each["seq"][0] for each in frames] == [3 * k for k in range(whole)]


def test_something_else_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(b"something else")
    with pytest.raises(CaptureError, match=r"x\.journal: this is no journal"):
        scan_capture(path)


def test_a_journal_that_becomes_parquet_while_it_is_scanned_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_journal(tmp_path, rows(5, 0))

    def read_too_late(journal: Path) -> None:
        monkeypatch.undo()
        finish_journal(journal)
        journal.open("rb")

    monkeypatch.setattr("gateway_lab.captures.read.read_journal", read_too_late)
    assert scan_capture(tmp_path).count == 5
    assert not path.exists()


def test_the_columns_of_a_journal_are_those_of_a_capture(tmp_path: Path) -> None:
    a_journal(tmp_path, rows(2, 0))
    assert scan_capture(tmp_path).frame.collect_schema() == pl.Schema(COLUMNS)
