"""Folders of recordings: going on, and keeping others away."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.journal import Journal
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.rows import frame_of
from gateway_lab.errors import CaptureError
from gateway_lab.recording.folder import RecordingFolder
from gateway_lab.recording.recorder import Recorder
from tests.recording.test_recorder import bodies, parts, recorder, some


def test_a_second_recording_goes_on_behind_the_first(tmp_path: Path) -> None:
    for start in range(3):
        with recorder(tmp_path / "c") as writing:
            writing.put(some(5, 5 * start))
    capture = scan_capture(tmp_path / "c")
    assert bodies(capture) == list(range(15))
    assert capture.frame.collect()["seq"].to_list() == list(range(15))


def test_a_recording_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    """Its journal is finished first."""
    path = tmp_path / "c"
    path.mkdir()
    journal = Journal(path / "part-0-000001.journal", CaptureMetadata())
    journal.append(frame_of(some(5), 0))
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b"half a chunk")
    with recorder(path) as writing:
        assert parts(path) == [".parquet"]
        writing.put(some(5, 5))
    assert bodies(scan_capture(path)) == list(range(10))


def test_members_record_to_one_folder_under_their_own_numbers(tmp_path: Path) -> None:
    folders = [RecordingFolder(tmp_path / "c", member=k).open() for k in range(3)]
    recorders = [Recorder(each, CaptureMetadata(), None) for each in folders]
    for k, each in enumerate(recorders):
        each.put(some(4, 10 * k))
    for recorder_, folder in zip(recorders, folders, strict=True):
        recorder_.close()
        folder.close()
    capture = scan_capture(tmp_path / "c")
    assert bodies(capture) == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    again = RecordingFolder(tmp_path / "c", member=1).open()
    assert again.next_seq == (1 << 48) + 4
    again.close()


def test_a_file_appears_once_all_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "monday.parquet"
    with recorder(path) as writing:
        writing.put(some(5)).result()
        assert not path.exists()
        assert bodies(scan_capture(tmp_path / "monday.parquet.partial")) == list(range(5))
    assert [each.name for each in tmp_path.iterdir()] == ["monday.parquet"]
    assert bodies(scan_capture(path)) == list(range(5))


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "monday.parquet"
    path.write_bytes(b"precious")
    with pytest.raises(CaptureError, match="there already"):
        RecordingFolder(path).open()
    assert path.read_bytes() == b"precious"


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("private", encoding="utf-8")
    with pytest.raises(CaptureError, match=r"it holds letters\.txt"):
        RecordingFolder(tmp_path).open()
    assert [each.name for each in tmp_path.iterdir()] == ["letters.txt"]


def test_two_recordings_to_one_folder_at_once_are_refused(tmp_path: Path) -> None:
    first = RecordingFolder(tmp_path / "c").open()
    with pytest.raises(CaptureError, match="another process is recording"):
        RecordingFolder(tmp_path / "c").open()
    first.close()
    RecordingFolder(tmp_path / "c").open().close()


def test_a_folder_without_a_parent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no such file or directory") as refused:
        RecordingFolder(tmp_path / "a" / "b").open()
    assert "create" in refused.value.hint
