from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures import write
from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.write import write_batches
from gateway_lab.errors import CaptureError
from tests.captures.made import a_capture, a_frame

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    capture = a_capture()
    capture.write(tmp_path / "c.parquet")
    back = scan_capture(tmp_path / "c.parquet")
    assert back.frame.collect().equals(a_frame())
    assert back.metadata.messages == 40
    assert back.metadata.digest == capture.digest
    assert back.metadata.recorded_by == "a test"


def test_batches_are_written_as_they_come(tmp_path: Path) -> None:
    """None is asked for before the one before it was taken, so no more than some are held."""
    asked = []

    def batches() -> Iterator[pl.DataFrame]:
        for number, batch in enumerate(a_frame(3000).iter_slices(10)):
            asked.append(number)
            yield batch

    write_batches(batches(), tmp_path / "c.parquet", metadata=CaptureMetadata())
    assert asked == list(range(300))
    assert scan_capture(tmp_path / "c.parquet").count == 3000


def test_a_file_can_be_replaced_by_a_part_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    a_capture().write(path)
    scan_capture(path).head(3).write(path)
    assert scan_capture(path).count == 3
    assert names(tmp_path) == ["c.parquet"]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    a_capture().write(path)
    before = path.read_bytes()

    def broken() -> Iterator[pl.DataFrame]:
        yield a_frame()
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="the source is gone"):
        write_batches(broken(), path, metadata=CaptureMetadata())
    assert path.read_bytes() == before
    assert names(tmp_path) == ["c.parquet"]


@pytest.mark.parametrize("name", ["c.csv", "c", "c.parquet.gz"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaptureError, match=r"end the name with \.parquet or \.ndjson"):
        a_capture().write(tmp_path / name)
    assert names(tmp_path) == []


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="the folder does not exist"):
        a_capture().write(tmp_path / "no" / "c.parquet")


FULL = """
import resource, sys
from gateway_lab.errors import CaptureError
from tests.captures.made import a_capture
capture = a_capture(5_000)
for path, limit in zip(sys.argv[1:], (1_000, 20_000, 20_000)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        capture.write(path)
    except CaptureError as error:
        print(error)
"""


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    """The system's limit of a file's size stands in for a disk that is full."""
    paths = [tmp_path / name for name in ("footer.parquet", "rows.parquet", "rows.ndjson")]
    code = [sys.executable, "-c", FULL, *map(str, paths)]
    run = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True)
    said = [line for line in run.stdout.splitlines() if line.startswith(str(tmp_path))]
    assert [line.rpartition(": ")[2] for line in said] == [
        "the disk takes no more",
        "file too large",
        "file too large",
    ]
    assert run.stdout.count("nothing was changed") == 3
    assert names(tmp_path) == []


def test_row_groups_of_large_bodies_are_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "ROW_GROUP_BYTES", 1_000_000)
    frame = a_frame(2000, body=[b"x" * 2000] * 2000)
    write_batches([frame], tmp_path / "c.parquet", metadata=CaptureMetadata())
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.ParquetFile(tmp_path / "c.parquet").metadata.num_row_groups == 4
