from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.digest import digest_of
from gateway_lab.captures.format import COLUMNS, CaptureMetadata
from gateway_lab.captures.read import scan_capture
from tests.captures.made import a_frame


def digest(*batches: pl.DataFrame) -> str:
    return digest_of(batches, with_verdicts=False)


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_batches_do_not_count(size: int) -> None:
    frame = a_frame()
    assert digest(*frame.iter_slices(size)) == digest(frame)


def test_empty_batches_do_not_count() -> None:
    frame = a_frame()
    assert digest(frame.head(0), frame, frame.head(0)) == digest(frame)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_counts(name: str) -> None:
    frame = a_frame()
    changed = frame.with_columns(pl.when(pl.col("seq") != 12).then(pl.col(name)))
    assert digest(changed) != digest(frame)


def test_the_order_of_rows_counts() -> None:
    frame = a_frame()
    assert digest(frame.reverse()) != digest(frame)


def test_null_and_empty_bodies_differ() -> None:
    assert digest(a_frame(1, body=[None])) != digest(a_frame(1, body=[b""]))


def test_null_headers_are_the_same_as_none() -> None:
    assert digest(a_frame(1, headers=[None])) == digest(a_frame(1, headers=[[]]))


def test_what_stands_in_one_value_or_in_two_differs() -> None:
    assert digest(a_frame(2, body=[b"ab", b"c"])) != digest(a_frame(2, body=[b"a", b"bc"]))


def test_row_groups_files_and_compression_do_not_count(tmp_path: Path) -> None:
    frame = a_frame()
    frame.write_parquet(tmp_path / "one.parquet", row_group_size=3, compression="snappy")
    parts = tmp_path / "parts"
    parts.mkdir()
    for number, part in enumerate(frame.iter_slices(11)):
        part.write_parquet(parts / f"{number}.parquet")
    assert scan_capture(tmp_path / "one.parquet").digest == digest(frame)
    assert scan_capture(parts).digest == digest(frame)


def test_the_digest_is_the_same_for_ever() -> None:
    """It names captures in exports that people keep."""
    capture = Capture(a_frame().lazy(), CaptureMetadata())
    assert capture.digest == "eb2ae477e25d35a324afc53f40cb7672e1ebb1d43161dd4edb1939aa13dc5126"
